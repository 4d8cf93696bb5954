"""Connections to a server of Kubeflow Pipelines on the loopback, with little patience."""

from types import SimpleNamespace
from typing import Any

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
    fields = {"kind": "none", "token_env": "", "token_file": "", "iap_client_id": "", "cookies_env": ""} | auth
    environment = SimpleNamespace(
        name="test", host=getattr(server, "url", server), namespace=namespace, auth=SimpleNamespace(**fields)
    )
    return connection.connect(environment, limits=limits, **(options or {}))
