"""Connections to a server of Kubeflow Pipelines on the loopback, with little patience."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeyard import settings
from pipeyard.servers.kubeflow import connection
from pipeyard.servers.kubeflow.connection import CallLimits, Server

QUICK = CallLimits(connect=1, silence=2, call=5, upload=5, pause=0.01, longest_pause=0.05)


class Clock:
    """Time that passes only when somebody waits, for a client and, by `today`, for a server."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def today(self) -> datetime:
        """Returns the server's time."""
        return datetime(2026, 11, 29, 12, tzinfo=UTC) + timedelta(seconds=self.now)

    @property
    def options(self) -> dict[str, Any]:
        """Of `connection.connect`."""
        return {"clock": self, "sleep": self.sleep}


def connect(
    server: Any,
    namespace: str = "",
    limits: CallLimits = QUICK,
    options: dict | None = None,
    kubernetes: Any = None,
    **auth: str,
) -> Server:
    """Connects to a KubeflowServer, or to a URL.

    Args:
        options: of `connection.connect`.
        kubernetes: a KubernetesServer.
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
        kubernetes={"host": kubernetes.url} if kubernetes else {},
    )
    return connection.connect(environment, limits=limits, **(options or {}))


def quietly(server: Any, clock: Clock, kubernetes: Any = None) -> Server:
    """Connects so that time passes at once; without a KubernetesServer no Kubernetes is known."""
    patient = replace(QUICK, silence=1, call=2)
    return connect(server, limits=patient, options=clock.options, kubernetes=kubernetes)
