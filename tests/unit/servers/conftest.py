"""A server of Kubeflow Pipelines, and connections to it, for tests that need no other."""

import pytest
from servers.kubeflow import KubeflowServer
from servers.kubernetes import KubernetesServer
from support.kubeflow_connections import Clock, connect, quietly


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(clock):
    with KubeflowServer(largest_page=2, now=clock.today) as started:
        yield started


@pytest.fixture
def quiet(server, clock):
    return quietly(server, clock)


@pytest.fixture
def watched(server, clock):
    """As `quiet`, with the Kubernetes below."""
    with KubernetesServer(server.cluster) as kubernetes:
        yield quietly(server, clock, kubernetes)


@pytest.fixture
def connection(server):
    return connect(server)
