"""Which target an environment has."""

import pkgutil
from typing import TYPE_CHECKING

from pipeyard.deployment.targets.interface import Runs
from pipeyard.errors import PipeyardError
from pipeyard.settings.targets import TARGETS as SETTINGS

if TYPE_CHECKING:
    from pipeyard.deployment.targets.server import ServerTarget
    from pipeyard.repository.project import Project
    from pipeyard.settings import Environment

# `target:` of settings.yaml to its class. It is imported when an environment has it: clients of servers are heavy.
TARGETS = {
    "local": "pipeyard.deployment.targets.local:OnThisMachine",
    "kfp": "pipeyard.deployment.targets.kfp:OnKubeflow",
    "vertex": "pipeyard.deployment.targets.vertex:OnVertex",
}


def runs(environment: "Environment", project: "Project | None" = None) -> Runs:
    """Returns the runs of an environment. Nothing is contacted.

    Args:
        project: whose pipelines run, where that is what is checked out.
    """
    made: Runs = pkgutil.resolve_name(TARGETS[environment.target]).of(environment, project)
    return made


def server_of(environment: "Environment") -> "type[ServerTarget]":
    """Returns the class of an environment's server.

    Raises:
        PipeyardError: the environment is this machine, where nothing is deployed.
    """
    if not environment.on_server:
        servers = " or ".join(name for name, each in SETTINGS.items() if each.on_server)
        raise PipeyardError(
            f"The environment {environment.name!r} is this machine, where nothing is deployed. Run it with "
            f"`pipeyard run PIPELINE --env {environment.name}`, or name an environment with target {servers}."
        )
    found: type[ServerTarget] = pkgutil.resolve_name(TARGETS[environment.target])
    return found


def connect(environment: "Environment") -> "ServerTarget":
    """Returns an environment's server. Nothing is contacted.

    Raises:
        PipeyardError: it lacks credentials, or the environment is this machine.
    """
    target = server_of(environment)(environment)
    target.connect()
    return target
