"""Which target an environment has."""

from typing import TYPE_CHECKING

from pipeyard.delivery.targets import Target

if TYPE_CHECKING:
    from pipeyard.settings import Environment


def connect(environment: "Environment") -> Target:
    """Returns an environment's target. Nothing is contacted.

    Raises:
        PipeyardError: it lacks credentials.
    """
    if environment.target == "vertex":
        from pipeyard.delivery.on_vertex import OnVertex
        from pipeyard.servers.vertex import connection as vertex

        return OnVertex(vertex.connect(environment), environment)
    from pipeyard.delivery.on_kubeflow import OnKubeflow
    from pipeyard.servers.kubeflow import connection as kubeflow

    return OnKubeflow(kubeflow.connect(environment), environment)
