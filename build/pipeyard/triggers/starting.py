"""Starts a trigger's run in an environment: of what is deployed there, or of what is checked out on this machine."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

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
        from pipeyard.deployment.targets import choice

        return choice.runs(environment, project).start(pipeline, parameters, key).run_id

    return launch
