"""The part of Kubernetes' API that concerns Kubeflow Pipelines' objects, on the loopback.

    cluster   the objects: Argo's Workflows and Kubeflow's ScheduledWorkflows, by namespace and name
    server    the API: list with labelSelector, get, delete

A `Cluster` is shared with `servers.kubeflow.KubeflowServer`, which makes an object in it for every run and recurring
run, as the API server of Kubeflow Pipelines does in its cluster.

No answer of this API was recorded, those of Kubeflow Pipelines alone were. Paths, lists, Status objects and their
codes follow Kubernetes' API conventions (https://kubernetes.io/docs/reference/using-api/api-concepts/).
"""

from .cluster import SCHEDULED_WORKFLOWS, WORKFLOWS, Cluster
from .server import KubernetesServer

__all__ = ["SCHEDULED_WORKFLOWS", "WORKFLOWS", "Cluster", "KubernetesServer"]
