"""Runs a pipeline on this machine: parameters in, a run folder with outputs, `run.json` and `report.html` out."""

import functools
import os
import platform
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeyard import ir
from pipeyard.compiling.passes import lightweight
from pipeyard.errors import PipeyardError, disk_problem, near_misses
from pipeyard.ir import values
from pipeyard.local import cluster_objects, external, leftovers, python_environments, step_cache
from pipeyard.local.cluster_objects import ClusterObjects
from pipeyard.local.deadline import Deadline
from pipeyard.local.display import Display
from pipeyard.local.launcher import Launcher, Processes
from pipeyard.local.prestart import Prestart
from pipeyard.local.python_environments import PythonEnvironments
from pipeyard.local.run_tracker import RunTracker, UnwritableError, kept
from pipeyard.local.scheduler import Scheduler, TaskOutcome
from pipeyard.local.steps import Host, StepRunner
from pipeyard.repository import venvs
from pipeyard.repository.project import Component, Project
from pipeyard.runs import record, run_lock
from pipeyard.runs.record import Run, State
from pipeyard.settings import secret_references
from pipeyard.settings.secrets import problems as secrets_in
from pipeyard.system import files
from stepkit import digest

PIPELINE_FILE = "pipeline.yaml"
# Makes a run's launcher of its folder, of the file descriptors that whatever works for the run keeps open, and of what
# tells the user things.
Launchers = Callable[[Path, Sequence[int], Callable[[str], None]], Launcher]


class BegunError(PipeyardError):
    """Another process has begun the run of that name."""


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes:
        use_cache: False runs every step, though one was run before with the same inputs.
        max_parallel: most steps that run at once.
        task_timeout_seconds: for steps that set none; None: no limit.
        prestart: start the next step's interpreter while a step runs.
    """

    use_cache: bool = True
    max_parallel: int = 1
    task_timeout_seconds: float | None = None
    prestart: bool = True


def run(
    pipeline: ir.Pipeline,
    parameters: Mapping[str, Any],
    root: Path,
    hosts: Callable[[str], Host],
    display: Display,
    options: Options | None = None,
    resumed: Path | None = None,
    commit: str = "",
    environment: str = "local",
    launchers: Launchers | None = None,
    interrupts: Callable[[threading.Event], AbstractContextManager[None]] | None = None,
    name: str = "",
    objects: ClusterObjects | None = None,
) -> tuple[Run, Path]:
    """Runs a compiled pipeline to its end.

    Args:
        parameters: the caller's; defaults are filled in and types checked here.
        root: folder that holds a folder a run, and the step cache.
        hosts: gives the host of an image.
        resumed: folder of an earlier run to go on with: what it did is kept, and it keeps its id.
        launchers: makes what starts steps; default: processes of this machine.
        interrupts: context that sets its event when the user wants to stop; default: Ctrl-C and SIGTERM.
        objects: secrets and config maps that steps take of a cluster.
        name: of the run's folder, which appears with the run's record in it; default: one that no other run has.

    Returns:
        The run's record and folder. The record's state says how it ended; a failing step raises nothing.

    Raises:
        BegunError: there is a run of that name.
        PipeyardError: parameters are missing, unknown, or of the wrong type, or the run to resume is still running.
            Nothing has run then, in either case.
    """
    options = options or Options()
    complete = complete_parameters(pipeline, parameters)
    if lacking := cluster_objects.problems(pipeline, objects or ClusterObjects(), os.environ)[0]:
        raise PipeyardError(f"The pipeline {pipeline.name!r} can't run: " + "\n".join(lacking))
    folder = resumed or root / (name or _new_name(pipeline.name))
    stop = threading.Event()
    with _beginning(pipeline.name, folder, resumed), nullcontext(resumed) if resumed else _appearing(folder) as place:
        leftovers.sweep_root(root)
        lock = run_lock.hold(place)
        leftovers.sweep_run(place)
        pass_fds = [lock.fileno()]
        prestart = Prestart(folder, pass_fds) if options.prestart and not launchers else None
        launcher = launchers(folder, pass_fds, display.note) if launchers else Processes(folder, pass_fds, prestart)
        before = record.load(resumed) if resumed else None
        started = _begun(pipeline, folder.name, complete, environment, commit, launcher)
        started.tasks = kept(before)
        _write_beginning(place, pipeline, started)
    tracker = RunTracker(started, folder, before, display, stop)
    deadline = Deadline(pipeline.deadline, stop)
    job = _job(started, root)
    steps = StepRunner(
        pipeline,
        folder,
        hosts,
        launcher,
        tracker,
        step_cache.StepCache(root / step_cache.CACHE_FOLDER),
        threading.Semaphore(options.max_parallel),
        job,
        stop.is_set,
        options.use_cache,
        options.task_timeout_seconds,
        wait=stop.wait,
        prestart=prestart,
        # What a step reads may point to such a place: a model registry to where models are served.
        places=external.places(complete),
        overrun=lambda: deadline.told,
        objects=objects,
    )
    signals = interrupts(stop) if interrupts else _interrupts(stop, launcher.kill_all)
    with lock, closing(launcher), signals, display, deadline:
        scheduler = Scheduler(pipeline, steps, stop.is_set, job, options.max_parallel)
        _to_the_end(lambda: scheduler.run(complete), steps, tracker, stop, deadline)
    return tracker.run, folder


@contextmanager
def _beginning(pipeline: str, folder: Path, resumed: Path | None) -> Iterator[None]:
    """Says what a run can't begin for: of a new one nothing is left, one to resume is as it was."""
    try:
        yield
    except OSError as error:
        again = f"pipeyard run {pipeline}" + (f" --resume {folder.name}" if resumed else "")
        raise PipeyardError(f"The run can't begin: {disk_problem(error)} Then: {again}") from error


def _write_beginning(place: Path, pipeline: ir.Pipeline, started: Run) -> None:
    """Writes what a run begins with, the record last: until then it hasn't begun.

    Raises:
        OSError: the disk is full, say.
    """
    events = place / record.EVENTS
    started.folded = events.stat().st_size if events.exists() else 0
    try:
        record.reserve(place)
        files.write_whole(place / PIPELINE_FILE, pipeline.text)
        started.save(place)
    except OSError:
        record.release(place)
        raise


def _begun(
    pipeline: ir.Pipeline,
    identity: str,
    parameters: dict[str, Any],
    environment: str,
    commit: str,
    launcher: Launcher,
) -> Run:
    """Returns the record of a run that begins now."""
    return Run(
        id=identity,
        pipeline=pipeline.name,
        environment=environment,
        state=State.RUNNING,
        started_at=datetime.now(UTC),
        parameters=parameters,
        pipeline_digest=digest.of_text(pipeline.text),
        commit=commit,
        versions={**versions(), **launcher.versions},
    )


def _job(started: Run, root: Path) -> dict[str, str]:
    """Returns what the placeholders of a pipeline job stand for."""
    time = started.started_at.isoformat()
    return {
        "pipeline_job_uuid": started.id,
        "pipeline_job_name": started.id,
        "pipeline_job_resource_name": started.id,
        "pipeline_root": str(root),
        "pipeline_job_create_time_utc": time,
        "pipeline_job_schedule_time_utc": time,
    }


def _to_the_end(
    run_steps: Callable[[], TaskOutcome],
    steps: StepRunner,
    tracker: RunTracker,
    stop: threading.Event,
    deadline: Deadline,
) -> None:
    """Runs the steps, and records how the run ended, even if what runs them fails.

    Raises:
        PipeyardError: the record can't be written.
    """
    go_on = f"Then go on: pipeyard run {tracker.run.pipeline} --resume {tracker.run.id}"
    try:
        outcome = run_steps()
        state = State.FAILED if deadline.told else State.CANCELED if stop.is_set() else outcome.state
        if state == State.SUCCEEDED:
            steps.restamp()
        tracker.end(state, outcome.error or deadline.told)
    except UnwritableError as error:
        tracker.broke(error)
        raise PipeyardError(f"{error} {go_on}") from error
    except OSError as error:  # between two tasks, and at the end
        problem = PipeyardError(f"{disk_problem(error)} {go_on}")
        tracker.broke(problem)
        raise problem from error
    except BaseException as error:
        tracker.broke(error)
        raise


def complete_parameters(pipeline: ir.Pipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the pipeline's parameters with defaults filled in and types checked.

    Raises:
        PipeyardError: names every parameter that is unknown, missing or of the wrong type.
    """
    declared = pipeline.spec.root.input_definitions.parameters
    problems = [
        f"there is no parameter {name!r}. {near_misses(name, declared)}" for name in given if name not in declared
    ]
    complete: dict[str, Any] = {}
    defaults = {
        name: values.from_proto(each.default_value) for name, each in declared.items() if each.HasField("default_value")
    }
    in_force = defaults | dict(given)
    secret = secrets_in(in_force, lambda name: f"the parameter {name!r}")
    problems += secret.values()
    problems += secret_references.problems(in_force, lambda name: f"the parameter {name!r}", os.environ)
    for name, definition in declared.items():
        if name not in in_force and not definition.is_optional:
            problems.append(f"the parameter {name!r} has no value. Set it in settings.yaml or by --param {name}=...")
        if name not in in_force or name in secret:
            continue
        value = in_force[name]
        try:
            complete[name] = values.coerce(value, definition.parameter_type, f"the parameter {name!r}")
        except PipeyardError as error:
            problems.append(str(error))
    if problems:
        raise PipeyardError(f"The pipeline {pipeline.name!r} can't run: " + "\n".join(problems))
    return complete


def project_hosts(project: Project, pythons: PythonEnvironments | None = None) -> Callable[[str], Host]:
    """Returns what maps an image to the component of the project that it is built from, see `Project.component_of`.

    Args:
        pythons: environments for steps of Python's image; None: the user's.
    """
    known: dict[str, Host] = {}
    lock = threading.Lock()
    environments = pythons or PythonEnvironments(
        python_environments.default_folder(os.environ), functools.partial(venvs.uv, project), os.environ
    )

    def host(image: str) -> Host:
        if lightweight.is_python(image):
            return environments.image_host(image)
        component = project.component_of(image)
        with lock:
            if component.name not in known:
                venvs.check(component)
                made = Host(
                    component=component.name,
                    source_digest=component.source_digest,
                    env=venvs.variables(component, os.environ),
                    **declarations(component),
                    preload=component.annotation("preload", []),
                    check=component.annotation("check", []),
                    check_reads=component.annotation("check-reads", []),
                    prepared=functools.partial(venvs.is_current, component.folder),
                    prepare=functools.partial(venvs.sync, project, component.folder),
                    digest_now=functools.partial(_source_digest, component.folder),
                )
                known[component.name] = replace(made, of_container=functools.partial(_no_function, made))
        return known[component.name]

    return host


def _no_function(host: Host, container: Mapping[str, Any]) -> Host:
    lightweight.check_component(host.component, container)
    return host


def declarations(component: Component) -> dict[str, Any]:
    """Returns the fields of `Host` that a component declares in its annotations, however it runs."""
    return {
        "external_state": component.annotation("external-state", []),
        "external_writes": component.annotation("external-writes", []),
        "external_creates": component.annotation("external-creates", []),
        "cache_ignores": component.annotation("cache-ignores", []),
        "meanings": component.annotation("output-types", {}),
    }


def _source_digest(folder: Path) -> str:
    return Component(folder).source_digest


def commit_of(folder: Path) -> str:
    """Returns the checkout's commit, with `-dirty` if files differ from it; empty outside git."""
    try:
        git = ["git", "-C", str(folder)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{head}-dirty" if status.strip() else head


def versions() -> dict[str, str]:
    """Returns the versions of what runs pipelines here."""
    return {
        "pipeyard": metadata.version("pipeyard"),
        "kfp": metadata.version("kfp"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


@contextmanager
def _interrupts(stop: threading.Event, kill_all: Callable[[], None]):
    """Lets Ctrl-C, SIGTERM and a closed terminal end the run in order; a second signal doesn't wait for steps to."""

    def handle(_signum: int, _frame: object) -> None:
        if stop.is_set():
            kill_all()
        stop.set()

    previous = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _new_name(pipeline: str) -> str:
    return f"{pipeline}-{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """Gives the place of a new run's folder, where nobody looks until its record is in it."""
    try:
        with files.folder_whole(folder) as place:
            yield place
    except files.TakenError as error:
        if (folder / record.FILE).exists():
            raise BegunError(f"Another process has just begun {folder.name}. Wait for it, or resume it.") from error
        raise PipeyardError(f"{folder} is in the way: it has no {record.FILE}, so it is no run's. Move it.") from error
    except OSError as error:  # of a place that is gone by now
        raise OSError(error.errno, error.strerror, str(folder)) from error
