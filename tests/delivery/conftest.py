"""An engine, a registry, Cloud Storage and Kubeflow Pipelines on this machine, and a project delivered there."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from engine.faulty_proxy import FaultyProxy
from engine.sandbox import engine as engines
from engine.sandbox import programs, python_image
from engine.sandbox import registry as registries
from engine.sandbox.engine import Engine
from engine.sandbox.registry import Registry
from servers.kubeflow import KubeflowServer
from servers.kubeflow.execution import LocalRunner
from servers.storage import BUCKET, Storage, storage
from shop import DATA, ROOT, Places, Shop

from pipeyard.local import runner
from pipeyard.repository import project, venvs


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    """Without the programs, or not as root: skipped on a laptop, failed in CI, which installs them."""
    try:
        programs.need_root()
        for name in programs.PACKAGES:
            programs.find(name)
    except programs.NotAvailableError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def engine(_installed: None) -> Iterator[Engine]:
    with engines.running() as found:
        yield found


@pytest.fixture(scope="session")
def registry(_installed: None) -> Iterator[Registry]:
    with registries.running() as found:
        yield found


@pytest.fixture(scope="session")
def bad_registry(registry: Registry) -> Iterator[FaultyProxy]:
    """A proxy before the registry."""
    with FaultyProxy(registry.host).serving() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def base_image(engine: Engine, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python image's repository and tag, without the registry."""
    folder = tmp_path_factory.mktemp("python")
    python_image.publish(folder, engine, f"{registry.host}/python:3.11")
    shutil.rmtree(folder)
    return "python:3.11"


@pytest.fixture(scope="session")
def cloud_storage() -> Iterator[Storage]:
    with storage() as found:
        yield found


@pytest.fixture(scope="session")
def make_shop(
    engine: Engine,
    registry: Registry,
    base_image: str,
    cloud_storage: Storage,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., tuple[Shop, KubeflowServer]]]:
    """Makes the project with a Kubeflow Pipelines of its own, which executes what is submitted on this machine."""
    servers: list[KubeflowServer] = []

    def make(name: str, registry_host: str = "") -> tuple[Shop, KubeflowServer]:
        folder = tmp_path_factory.mktemp(name)
        found = project.Project(folder / "shop")
        server = KubeflowServer(execute=LocalRunner(folder / "kubeflow", runner.project_hosts(found)))
        servers.append(server)
        host = registry_host or registry.host
        variables = {
            **engine.variables,
            **cloud_storage.variables,
            "UV": venvs.uv(project.find(ROOT)),
        }
        places = Places(
            server.url, f"{host}/{name}", f"gs://{BUCKET}/{name}", folder / "data", f"{host}/{base_image}", variables
        )
        return Shop(folder / "shop", places, DATA), server

    yield make
    for server in servers:
        server.close()
