"""Connections to a server of Kubeflow Pipelines on the loopback, with little patience."""

from typing import Any

from pipeyard import settings
from pipeyard.kubeflow import connection
from pipeyard.kubeflow.connection import Limits, Server

QUICK = Limits(connect=1, silence=2, call=5, upload=5, pause=0.01, longest_pause=0.05)


def connect(
    server: Any, namespace: str = "", limits: Limits = QUICK, options: dict | None = None, **auth: str
) -> Server:
    """Connects to a KubeflowServer, or to a URL.

    Args:
        options: of `connection.connect`.
        auth: fields of settings.Auth.
    """
    environment = settings.Environment(
        name="test",
        target="kfp",
        host=getattr(server, "url", server),
        namespace=namespace,
        bucket="gs://bucket",
        pipeline_root="gs://bucket/root",
        auth=auth,
    )
    return connection.connect(environment, limits=limits, **(options or {}))
