"""Runs by the local runner: what is submitted is executed on this machine."""

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeyard.errors import PipeyardError
from pipeyard.local import ir, runner
from pipeyard.local.record import Run, Task
from pipeyard.local.steps import Host

from . import nodes, packages, statuses

if TYPE_CHECKING:
    from .http import KubeflowServer


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
        self._logs: dict[tuple[str, str], Path | str] = {}

    def start(self, run: dict, spec: dict, server: "KubeflowServer") -> None:
        key = run["run_id"]
        self._stops[key] = threading.Event()
        thread = threading.Thread(target=self._run, args=(key, run["runtime_config"], spec, server), daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, run: dict) -> None:
        self._stops[run["run_id"]].set()

    def log(self, run_id: str, pod: str) -> str:
        log = self._logs.get((run_id, pod), "")
        if isinstance(log, str):
            return log
        return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""

    def close(self) -> None:
        for each in self._stops.values():
            each.set()
        for thread in self._threads:
            thread.join()

    def _run(self, key: str, config: Mapping[str, Any], spec: dict, server: "KubeflowServer") -> None:
        documents = [spec["pipeline_spec"], spec["platform_spec"]] if "pipeline_spec" in spec else [spec]
        tasks: list[Task] = []

        def changed(run: Run) -> None:
            tasks[:] = run.tasks
            self._show(key, spec, run.tasks, server)

        server.set_state(key, "RUNNING")
        try:
            run, folder = runner.run(
                ir.parse(yaml.safe_dump_all(documents)),
                config.get("parameters") or {},
                self._folder,
                self._hosts,
                _Shown(changed),
                self._options,
                environment="kubeflow",
                launchers=statuses.launchers(self._launchers, key, lambda: list(tasks)),
                interrupts=lambda stop: _stopping(self._stops[key], stop),
            )
        except PipeyardError as error:
            server.set_state(key, "FAILED", str(error))
            return
        state = "SUCCEEDED" if run.state.has_outputs else "FAILED"
        self._show(key, spec, run.tasks, server, state, folder)

    def _show(
        self,
        key: str,
        spec: dict,
        tasks: Sequence[Task],
        server: "KubeflowServer",
        state: str = "RUNNING",
        folder: Path | None = None,
    ) -> None:
        """Tells the server of a run's state and nodes.

        Args:
            folder: with its logs, when it has ended.
        """
        workflow = server.workflow_of(key)
        found = nodes.of_run(packages.plain(spec), tasks, folder is not None)
        if folder:
            logs = {
                each.path: folder / each.attempts[-1].log if each.attempts else each.reason
                for each in tasks
                if each.attempts or each.reason
            }
            self._logs |= {
                (key, nodes.identifier(workflow, each.path)): logs[each.task] for each in found if each.task in logs
            }
        server.set_state(key, state, tasks=nodes.details(key, workflow, found, server.store.time()))


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
