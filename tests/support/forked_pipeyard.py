"""`pipeyard` without the second that its imports take: a process that has them forks for each command.

    python -P -m support.forked_pipeyard

reads commands on standard input, one JSON object a line, and answers each with its exit code. A pipeline is compiled in
the command's own process.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

# What changes files, locks them, or starts a process. A file that is opened to be written counts as well.
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "subprocess.Popen", "fcntl.flock")


class ForkedPipeyard:
    """That process; one command at a time."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        self._server = subprocess.Popen(
            [sys.executable, "-P", "-m", "support.forked_pipeyard"],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def run(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        said: Path,
        at: int = 0,
        how: signal.Signals = signal.SIGKILL,
    ) -> int:
        """Runs a command to its end and returns its exit code.

        Args:
            env: all of its environment variables.
            folder: that it works in.
            said: file to which it writes; its last line has the number of events, if it isn't killed.
            at: number of the event, from 1, before which it gets a signal: a change of files, say; 0: it doesn't.
            how: the signal.
        """
        asked = {"arguments": [*arguments], "env": {**env}, "folder": str(folder), "said": str(said)}
        asked |= {"at": at, "how": how}
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(f"{json.dumps(asked)}\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


def count_events(at: int, how: signal.Signals) -> list[int]:
    """Returns where the events of this process are counted from now on; before one of them it gets a signal.

    Args:
        at: number of that one, from 1; 0: none.
    """
    counted = [0]

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in _CHANGES:
            counted[0] += 1
            if counted[0] == at:
                os.kill(os.getpid(), how)

    sys.addaudithook(count)
    return counted


def _command(asked: dict[str, Any]) -> None:
    from pipeyard import cli

    with Path(asked["said"]).open("ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["folder"])
    sys.argv = ["pipeyard", *asked["arguments"]]
    counted = count_events(asked["at"], asked["how"])
    try:
        cli.main()
    finally:
        print(f"events {counted[0]}", file=sys.stderr)


def _fork(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        code = 70
        try:
            _command(asked)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    """Serves until standard input ends."""
    import kfp.compiler  # noqa: F401

    from pipeyard.commands import local_run  # noqa: F401
    from pipeyard.commands import run as _  # noqa: F401
    from pipeyard.deployment.targets import local  # noqa: F401
    from pipeyard.local import display  # noqa: F401
    from pipeyard.runs.report import page  # noqa: F401
    from pipeyard.system import apart

    apart.call = lambda function, *arguments: function(*arguments)
    for line in sys.stdin:
        print(_fork(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
