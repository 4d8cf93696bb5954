"""Runs components on little data, and looks whether they wrote every output that their specs declare.

What is run are the pipelines that the environment `check` of settings.yaml names, with its parameters: components get
the inputs that they get in earnest. The run's folder is used again, so a step whose sources, lock and inputs are
unchanged isn't run again; that it wrote its outputs is known.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeyard import settings
from pipeyard.checks import single_runs
from pipeyard.deployment.targets import local
from pipeyard.errors import PipeyardError
from pipeyard.findings import Finding
from pipeyard.local import runner
from pipeyard.local.display import Display
from pipeyard.repository import dependency_graph
from pipeyard.repository.project import Project
from pipeyard.runs.record import Run, State, Task
from stepkit import machine

ENVIRONMENT = "check"


def findings(
    project: Project, names: Iterable[str], display: Display, notes: list[str], max_parallel: int | None = None
) -> Iterator[Finding]:
    """Runs the pipelines that components are in, and yields what the components left unwritten.

    A component that is in none is run by itself, see `single_runs`.

    Args:
        names: the components that findings are wanted of.
        display: shows the run.
        notes: takes which components couldn't be looked at.

    Raises:
        PipeyardError: settings.yaml isn't right, or a pipeline doesn't compile or can't be started.
    """
    found = settings.load(project.root)
    found.check()
    place = found.environment(ENVIRONMENT) if ENVIRONMENT in found.names else None
    loaded = {
        name: dependency_graph.loaded_components(project.pipeline(name) / "pipeline.py", project.components)
        for name in (place.pipelines if place else ())
    }
    wanted = set(names)
    for name in sorted(wanted - set().union(*loaded.values())):
        root = Path(place.pipeline_root) if place else project.root / "runs" / ".check"
        yield from _alone(project, name, root, display, notes)
    for name, components in loaded.items():
        if place and wanted & components:
            run = _run(project, name, place, display, max_parallel or machine.cpus())
            yield from judge(run, wanted & components, name)


def _alone(project: Project, name: str, root: Path, display: Display, notes: list[str]) -> Iterator[Finding]:
    component = project.components[name]
    values = single_runs.made_up(component)
    reason = "what it takes, only a pipeline has"
    if values is not None:
        try:
            run = single_runs.run(project, component, values, root, display)
        except PipeyardError as error:
            notes.append(f"components/{name}: no dry run shows that it writes its outputs: {error}")
            return
        if run.state == State.CANCELED:
            raise KeyboardInterrupt
        failed = [task for task in run.tasks if task.state == State.FAILED]
        if all(task.attempts and task.attempts[-1].exit_code == 0 for task in failed):  # which left outputs unwritten
            yield from judge(run, [name], f"{name} alone")
            return
        reason = f"on made-up values it failed: {failed[0].reason}"
    notes.append(
        f"components/{name}: no dry run shows that it writes its outputs: {reason}. "
        f"Load it in a pipeline that {settings.FILE} has under environments.{ENVIRONMENT}.pipelines."
    )


def judge(run: Run, names: Iterable[str], pipeline: str) -> Iterator[Finding]:
    """Yields what a finished run tells of its components: those that failed, else those that weren't run.

    Args:
        names: the components that findings are wanted of.
        pipeline: name of the pipeline's folder.
    """
    tasks: dict[str, list[Task]] = {name: [] for name in names}
    for task in run.tasks:
        tasks.setdefault(task.component, []).append(task)
    failed = [task for task in run.tasks if task.state == State.FAILED]
    for task in failed:
        if task.component in names:
            yield Finding(
                f"components/{task.component}",
                "outputs",
                f"in the dry run of {pipeline}, {task.name} failed: {task.reason}",
                "Mend the step, or the spec if it declares what isn't written.",
            )
    for name in sorted(set(names)):
        done = [task for task in tasks[name] if task.state.has_outputs]
        if not done and not failed:
            reason = next((f": {task.reason}" for task in tasks[name] if task.reason), "")
            yield Finding(
                f"components/{name}",
                "outputs",
                f"the dry run of {pipeline} did not get to it{reason}",
                f"Set parameters in environments.{ENVIRONMENT} of {settings.FILE} with which it does.",
            )
        empty = sorted({each.name for task in done for each in task.output_artifacts.values() if not each.bytes})
        if empty:
            yield Finding(
                f"components/{name}",
                "outputs",
                f"in the dry run of {pipeline} it wrote nothing into its outputs {', '.join(empty)}",
                "Write them, or take them out of the spec.",
            )


def _run(project: Project, name: str, place: settings.Environment, display: Display, max_parallel: int) -> Run:
    manner = local.Manner(runner.Options(max_parallel=max_parallel), again=True, ask=False, shown=display)
    run = local.OnThisMachine(place, project, manner).start(name).record
    if run.state == State.CANCELED:
        raise KeyboardInterrupt
    return run
