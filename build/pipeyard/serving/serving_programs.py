"""The programs that serve: the model server, Envoy, and deploy's for aliases, each in an environment of its own."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.repository import venvs
from pipeyard.repository.project import Project, local_packages

MODEL_SERVER = "model_server"
ROUTER = "router"
_ENVOY = "lib/python*/site-packages/envoy/_bin/envoy"


@dataclass(frozen=True)
class ServingProgram:
    """A command, and environment variables that it gets beside those of the supervisor."""

    command: tuple[str, ...]
    env: Mapping[str, str]


def model_server(project: Project, say: Callable[[str], None]) -> ServingProgram:
    """Returns the model server; its environment is made if it isn't there.

    Raises:
        PipeyardError: the environment can't be made.
    """
    folder = _synced(project, MODEL_SERVER, say)
    python = venvs.folder_of(folder) / "bin" / "python"
    sources = [each / "src" for each in (folder, *local_packages(folder))]
    env = {"PYTHONPATH": os.pathsep.join(map(str, sources)), "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return ServingProgram((str(python), "-m", MODEL_SERVER), env)


def other_server(command: Sequence[str]) -> ServingProgram:
    """Returns another model server, which finds Python's modules where this process does."""
    return ServingProgram(tuple(command), {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ})


def envoy(project: Project, say: Callable[[str], None]) -> str:
    """Returns Envoy's path; its environment is made if it isn't there.

    Raises:
        PipeyardError: the environment can't be made, or has no program for this machine.
    """
    folder = _synced(project, ROUTER, say)
    found = _program(venvs.folder_of(folder))
    if not found:
        raise PipeyardError(f"{folder} has no Envoy for this machine. Give one with --router PATH.")
    return str(found)


def promotion(project: Project) -> ServingProgram:
    """Returns deploy's program that moves aliases; no command where the component isn't there.

    Its environment is the one that pushed the models: it isn't made here.
    """
    component = project.components.get("deploy")
    python = venvs.folder_of(component.folder) / "bin" / "python" if component else None
    if component is None or python is None or not python.exists():
        return ServingProgram((), {})
    path = {"PATH": os.environ.get("PATH", os.defpath)}
    return ServingProgram((str(python), "-m", "deploy.promotion"), venvs.variables(component, path))


def _synced(project: Project, name: str, say: Callable[[str], None]) -> Path:
    folder = project.services.get(name)
    if folder is None:
        raise PipeyardError(f"{project.root} has no services/{name}. Serve from a checkout of Pipeyard.")
    venvs.sync(project, folder, say)
    return folder


def _program(venv: Path) -> Path | None:
    """Returns the program itself: the script in bin/ runs it as a child, which its end wouldn't reach."""
    return next(venv.glob(_ENVOY), None)
