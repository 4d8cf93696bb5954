"""An engine, a registry and a Python image for all tests of the folder, and one build of the whole repository."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_project
import whole_project
from faulty_proxy import FaultyProxy
from projects import Project
from sandbox import engine as engines
from sandbox import programs, python_image
from sandbox import registry as registries
from sandbox.engine import Engine
from sandbox.registry import Registry


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
def base_image(engine: Engine, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python image's name, in the registry."""
    name = f"{registry.host}/python:3.11"
    folder = tmp_path_factory.mktemp("python")
    python_image.publish(folder, engine, name)
    shutil.rmtree(folder)
    return name


@pytest.fixture
def make_project(engine: Engine, registry: Registry, base_image: str, tmp_path: Path) -> Callable[..., Project]:
    """Makes the tiny project; its images go to the registry, or to `host`, into repositories of the test's own."""

    def make(host: str = "", using: Engine = engine) -> Project:
        prefix = f"{host or registry.host}/{tmp_path.name.lower().replace('_', '-').strip('-')}"
        python = base_image.replace(registry.host, host or registry.host)
        return tiny_project.create(tmp_path / "project", prefix, python, using.variables)

    return make


@pytest.fixture
def bad_day(registry: Registry) -> Iterator[FaultyProxy]:
    """A proxy before the registry."""
    with FaultyProxy(registry.host).serving() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def begun(
    engine: Engine, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, subprocess.Popen[str]]]:
    """A copy of this repository, and `pipeyard build` of it, which works in the background."""
    folder = tmp_path_factory.mktemp("whole") / "pipeyard"
    copy = whole_project.copy(folder, f"{registry.host}/whole", base_image, engine.variables)
    process = copy.start_build()
    yield copy, process
    if process.poll() is None:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session", autouse=True)
def _begun_early(request: pytest.FixtureRequest) -> None:
    """The large build goes on while tests wait for what goes wrong."""
    if any("begun" in item.fixturenames for item in request.session.items if isinstance(item, pytest.Function)):
        request.getfixturevalue("begun")
