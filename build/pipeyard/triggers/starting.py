"""Starts a trigger's run in an environment: of what is deployed there, or of what is checked out on this machine."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError

if TYPE_CHECKING:
    from pipeyard.repository.project import Project
    from pipeyard.settings import Environment

# Environment, name of the pipeline's folder, parameters over those that are set or deployed, and key, to the run's id.
# Of two with one key the second finds the first's run.
RunStarter = Callable[["Environment", str, Mapping[str, Any], str], str]


def launcher(project: "Project | None" = None) -> RunStarter:
    """Returns what starts runs.

    Args:
        project: whose pipelines run, where the environment is this machine.
    """

    def launch(environment: "Environment", pipeline: str, parameters: Mapping[str, Any], key: str) -> str:
        if environment.target == "local":
            if project is None:
                raise PipeyardError(f"The environment {environment.name!r} is this machine: run it in the repository.")
            return run_here(project, environment, pipeline, parameters, key)
        from pipeyard.deployment import deployed_runs

        return deployed_runs.start(environment, pipeline, parameters, key).run_id

    return launch


def run_here(
    project: "Project", environment: "Environment", pipeline: str, parameters: Mapping[str, Any], key: str
) -> str:
    """Runs a pipeline on this machine to its end, unless there is a run of the key; goes on with one that was killed.

    Returns:
        The run's id, however it ended: `pipeyard runs show` tells.

    Raises:
        PipeyardError: the pipeline doesn't compile, or parameters don't fit it.
    """
    import os

    from rich.console import Console

    from pipeyard import ir
    from pipeyard.compiling import compiler
    from pipeyard.ir import derivation
    from pipeyard.local import display, runner
    from pipeyard.runs import record, report
    from pipeyard.settings import fit

    text = compiler.compile_apart(project.pipeline(pipeline)).text
    retries = fit.retries(environment, pipeline, text)
    package = ir.parse(derivation.derive(text, environment.deadline_of(pipeline), retries))
    inputs = package.spec.root.input_definitions
    given = fit.check(environment, pipeline, inputs, parameters)
    folder = Path(environment.pipeline_root) / f"{package.name}-{key}"
    begun = (folder / record.FILE).exists()
    if begun:
        before = record.load(folder)
        if before.state.ended or runner.runs_still(folder):
            return folder.name
        given = before.parameters
    try:
        runner.run(
            package,
            given,
            folder.parent,
            runner.project_hosts(project),
            display.choose(Console(stderr=True)),
            runner.Options(max_parallel=os.cpu_count() or 1),
            resumed=folder if begun else None,
            commit=runner.commit_of(project.root),
            environment=environment.name,
            name=folder.name,
        )
    except runner.BegunError:
        return folder.name
    report.render(folder)
    return folder.name
