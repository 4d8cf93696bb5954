"""The final status that an exit handler gets, in ML Metadata's words.

The local runner tells it in KFP's documented words; the driver of 2.17.0 tells the state that ML Metadata has of the
exit handler's group: COMPLETE; FAILED when a step failed; RUNNING when a condition in it wasn't met, or a driver
failed, for then nobody sets it to anything else. The error is empty. Seen under the real driver on 2026-11-29.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeyard.local.launcher import Launch, Launcher, Processes
from pipeyard.runs.record import State, Task
from pipeyard.system.process import Ended

_KEYS = {"state", "pipelineTaskName"}


def of_group(tasks: Sequence[Task]) -> str:
    """Returns the state that ML Metadata has of a group of tasks that have ended.

    Args:
        tasks: the leaves in it.
    """
    if any(each.state == State.FAILED and each.attempts for each in tasks):
        return "FAILED"
    return "COMPLETE" if all(each.state.has_outputs for each in tasks) else "RUNNING"


class MlmdStatuses:
    """A launcher that rewrites final statuses in a step's command, and leaves the rest to another launcher.

    Args:
        tasks: gives the run's tasks as they are now.
    """

    def __init__(self, launcher: Launcher, run: str, tasks: Callable[[], Sequence[Task]]) -> None:
        self.versions: Mapping[str, str] = launcher.versions
        self._launcher = launcher
        self._run = run
        self._tasks = tasks

    def run(
        self,
        launch: Launch,
        canceled: Callable[[], bool],
        timeout_seconds: float | None,
        started: Callable[[], object],
    ) -> Ended:
        around = launch.task.rpartition("/")[0]
        command = [self._rewritten(each, around) for each in launch.command]
        return self._launcher.run(replace(launch, command=command), canceled, timeout_seconds, started)

    def kill_all(self) -> None:
        self._launcher.kill_all()

    def close(self) -> None:
        self._launcher.close()

    def _rewritten(self, argument: str, around: str) -> str:
        """Returns a command's argument, which may be a status, or the executor's input with one in it."""
        if not argument.startswith("{") or "pipelineTaskName" not in argument:
            return argument
        try:
            value = json.loads(argument)
        except ValueError:
            return argument
        return json.dumps(self._replaced(value, around))

    def _replaced(self, value: Any, around: str) -> Any:
        if isinstance(value, list):
            return [self._replaced(each, around) for each in value]
        if not isinstance(value, dict):
            return value
        if not _KEYS <= set(value) <= {*_KEYS, "error", "pipelineJobResourceName"}:
            return {key: self._replaced(each, around) for key, each in value.items()}
        name = value["pipelineTaskName"]
        path = f"{around}/{name}" if around else name
        inside = [each for each in self._tasks() if f"{each.path}/".startswith((f"{path}/", f"{path}["))]
        return {
            "state": of_group(inside),
            "error": {},
            "pipelineJobResourceName": self._run,
            "pipelineTaskName": name,
        }


def launchers(
    make: Callable[..., Launcher] | None, run: str, tasks: Callable[[], Sequence[Task]]
) -> Callable[[Path, Sequence[int], Callable[[str], None]], Launcher]:
    """Returns what makes a run's launcher, for the local runner.

    Args:
        make: makes the launcher that does the work; None: steps are processes.
    """

    def made(folder: Path, pass_fds: Sequence[int], note: Callable[[str], None]) -> Launcher:
        return MlmdStatuses(make(folder, pass_fds, note) if make else Processes(folder, pass_fds), run, tasks)

    return made
