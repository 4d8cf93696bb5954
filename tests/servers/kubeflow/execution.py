"""Runs by the local runner: what is submitted is executed on this machine."""

import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeyard.errors import PipeyardError
from pipeyard.local import ir, runner
from pipeyard.local.record import Run, State, Task
from pipeyard.local.steps import Host

if TYPE_CHECKING:
    from .http import KubeflowServer

# What the API has no state for: a step whose outputs were there already has no container.
_STATES = {State.CACHED: "SKIPPED"}


class LocalRunner:
    """Runs pipelines, each in a thread, with a step cache in common.

    Args:
        folder: gets a folder a run.
        hosts: gives the host of an image, as `pipeyard.local.runner.project_hosts` does.
        options: of the local runner.
        launchers: of the local runner; default: steps are processes.
    """

    def __init__(
        self,
        folder: Path,
        hosts: Callable[[str], Host],
        options: runner.Options | None = None,
        launchers: runner.Launchers | None = None,
    ) -> None:
        self._folder = folder
        self._hosts = hosts
        self._options = options or runner.Options(max_parallel=os.cpu_count() or 1, prestart=False)
        self._launchers = launchers
        self._threads: list[threading.Thread] = []
        self._stops: dict[str, threading.Event] = {}
        self._logs: dict[tuple[str, str], Path] = {}

    def start(self, run: dict, spec: dict, server: "KubeflowServer") -> None:
        key = run["run_id"]
        self._stops[key] = threading.Event()
        thread = threading.Thread(target=self._run, args=(key, run["runtime_config"], spec, server), daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, run: dict) -> None:
        self._stops[run["run_id"]].set()

    def log(self, run_id: str, pod: str) -> str:
        path = self._logs.get((run_id, pod))
        return path.read_text(encoding="utf-8", errors="replace") if path and path.is_file() else ""

    def close(self) -> None:
        for each in self._stops.values():
            each.set()
        for thread in self._threads:
            thread.join()

    def _run(self, key: str, config: Mapping[str, Any], spec: dict, server: "KubeflowServer") -> None:
        documents = [spec["pipeline_spec"], spec["platform_spec"]] if "pipeline_spec" in spec else [spec]
        server.set_state(key, "RUNNING")
        try:
            run, folder = runner.run(
                ir.parse(yaml.safe_dump_all(documents)),
                config.get("parameters") or {},
                self._folder,
                self._hosts,
                _Shown(lambda run: self._show(key, run, server)),
                self._options,
                environment="kubeflow",
                launchers=self._launchers,
                interrupts=lambda stop: _stopping(self._stops[key], stop),
            )
        except PipeyardError as error:
            server.set_state(key, "FAILED", str(error))
            return
        for task in run.tasks:
            if task.attempts:
                self._logs[key, _pod(key, f"{task.path}/executor")] = folder / task.attempts[-1].log
        server.set_state(key, run.state, run.error, _details(key, run.tasks))

    @staticmethod
    def _show(key: str, run: Run, server: "KubeflowServer") -> None:
        server.set_state(key, "RUNNING", tasks=_details(key, run.tasks))


def this_python() -> Callable[[str], Host]:
    """Returns hosts for images of which all are this Python, as those of tests/conformance's components are."""
    env = {**os.environ, "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]}
    return lambda image: Host(component="tests", source_digest="1", env=env)


class _Shown:
    """A display that shows nobody anything but the API."""

    def __init__(self, changed: Callable[[Run], None]) -> None:
        self._changed = changed

    def __enter__(self) -> "_Shown":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def task(self, run: Run, _task: Task) -> None:
        self._changed(run)

    def note(self, text: str) -> None:
        pass


@contextmanager
def _stopping(asked: threading.Event, stop: threading.Event):
    """Passes on that the run is to stop."""
    ended = threading.Event()

    def pass_on() -> None:
        while not ended.is_set():
            if asked.wait(0.05):
                stop.set()
                return

    threading.Thread(target=pass_on, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _details(run_id: str, tasks: Iterable[Task]) -> list[dict]:
    """Returns what the API tells of a run's steps: a node a DAG, a node a step, and in it its driver and container."""
    states: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for task in tasks:
        state = _STATES.get(task.state, str(task.state))
        states[f"{task.path}/executor"] = states[task.path] = state
        reasons[f"{task.path}/executor"] = task.reason if state == "FAILED" else ""
        if task.state.ended and task.state not in (State.SKIPPED, State.CANCELED):
            states[f"{task.path}/{task.name}-driver"] = "SUCCEEDED"
        path = task.path
        while path:
            path = path.rpartition("/")[0]
            key = path or "root"
            states[key] = _worse(states.get(key), state)
    return [
        {
            "run_id": run_id,
            "task_id": _id(run_id, path),
            "display_name": path.rpartition("/")[2],
            "state": state,
            "pod_name": _pod(run_id, path),
            "child_tasks": [{"pod_name": _pod(run_id, each)} for each in states if _around(each) == path],
            **({"error": {"code": 13, "message": reasons[path]}} if reasons.get(path) else {}),
        }
        for path, state in states.items()
    ]


def _around(path: str) -> str:
    """Returns what a node is in."""
    return "" if path == "root" else path.rpartition("/")[0] or "root"


def _worse(one: str | None, other: str) -> str:
    order = ["FAILED", "CANCELED", "RUNNING", "PENDING", "SUCCEEDED", "SKIPPED"]
    return other if one is None else min(one, other, key=order.index)


def _id(run_id: str, path: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id}/{path}"))


def _pod(run_id: str, path: str) -> str:
    return f"run-{run_id[:8]}-{uuid.uuid5(uuid.NAMESPACE_URL, path).int % 10**10}"
