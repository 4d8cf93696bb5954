"""What all unit tests share."""

import sys
from collections.abc import Callable, Iterator

import pytest
from servers.kubeflow import KubeflowServer
from servers.storage import storage
from support import small_repository

from pipeyard import cli
from pipeyard.repository import commits


@pytest.fixture(autouse=True, scope="session")
def no_commit_of_ci() -> Iterator[None]:
    """Tests make repositories of their own, whose commits aren't the one that CI builds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(commits.VARIABLE, raising=False)
        yield


@pytest.fixture(scope="module")
def shared_storage():
    """Cloud Storage's emulator, one for the tests of a module."""
    with storage() as started:
        yield started


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Moto's S3, which keeps If-None-Match and If-Match; without buckets."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def own_prefix(shared_storage, request) -> str:
    """A prefix in the emulator's bucket that is a test's own."""
    return f"{small_repository.BUCKET}/{abs(hash(request.node.name))}"


@pytest.fixture
def run_pipeyard(capsys, monkeypatch) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process; returns its exit code, and what it prints on stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pipeyard", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def pipeyard(run_pipeyard, project) -> Callable[..., tuple[int, str, str]]:
    """Runs a command on the module's `project`, as `run_pipeyard` does."""
    return lambda *arguments: run_pipeyard(*arguments, "--project", str(project.root))


@pytest.fixture
def kubeflow():
    """Kubeflow Pipelines' API, which runs nothing."""
    with KubeflowServer() as started:
        yield started
