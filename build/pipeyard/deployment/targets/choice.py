"""Which target an environment has."""

from typing import TYPE_CHECKING

from pipeyard.deployment.targets.interface import Target

if TYPE_CHECKING:
    from pipeyard.settings import Environment


def connect(environment: "Environment") -> Target:
    """Returns an environment's target. Nothing is contacted.

    Raises:
        PipeyardError: it lacks credentials.
    """
    if environment.target == "vertex":
        from pipeyard.deployment.targets.vertex import OnVertex
        from pipeyard.servers.vertex import connection as vertex

        return OnVertex(vertex.connect(environment), environment)
    from pipeyard.deployment.targets.kfp import OnKubeflow
    from pipeyard.servers.kubeflow import connection as kubeflow

    return OnKubeflow(kubeflow.connect(environment), environment)
