"""The launcher as a pod's first process."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from .launcher import Launch, described, launch, read
from .records import Records
from .storage import Store

_PACKAGES = Path(__file__).parents[2]


class LauncherProcess:
    """A launcher that can be stopped as Kubernetes stops a pod. The object store is a folder.

    The launcher doesn't handle SIGTERM: it dies at once, publishes nothing, and passes nothing on to the step, which is
    killed when the pod goes.
    """

    def __init__(self, attempt: Launch, store: Path, records: Path) -> None:
        attempt.pod.root.mkdir(parents=True, exist_ok=True)
        request = attempt.pod.root / "launch.json"
        request.write_text(described(attempt), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "servers.launcher.process", str(request), str(store), str(records)],
            env={**os.environ, "PYTHONPATH": str(_PACKAGES)},
            start_new_session=True,
        )

    def wait(self, seconds: float = 60) -> int:
        """Returns the launcher's exit code; negative for a signal."""
        return self._process.wait(seconds)

    def terminate(self) -> int:
        """Sends SIGTERM to the launcher alone, and returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def remove_pod(self) -> None:
        """Kills all that is left in the pod."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def main(request: str, store: str, records: str) -> int:
    """Runs the attempt that `request` describes."""
    import fsspec

    ended = launch(
        read(Path(request).read_text(encoding="utf-8")), Store(fsspec.filesystem("file"), store), Records(Path(records))
    )
    return 0 if ended.state == "COMPLETE" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
