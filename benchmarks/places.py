"""Where things are, and the environments that sides run in."""

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from pipeyard.errors import PipeyardError
from pipeyard.repository import project, uv_locks, venvs

HERE = Path(__file__).parent
PROJECT = project.find(HERE)
ROOT = PROJECT.root
RESULTS = HERE / "results"
DATA = HERE / ".data"
PROGRAMS = HERE / "programs"
PIPEYARD = ROOT / ".venv" / "bin" / "pipeyard"
PEERS = HERE / "peers"
_TAIL_LINES = 12

# A name is the index's, a module the interpreter's; versions are read through the former.
_VERSIONS = """
import importlib.metadata, json, platform, sys
print(json.dumps({"python": platform.python_version(), **{n: importlib.metadata.version(n) for n in sys.argv[1:]}}))
"""


class UnavailableError(Exception):
    """A side can't be measured here; the message is the reason."""


def say(text: str) -> None:
    """Tells the user what goes on."""
    click.echo(text, err=True)


def python(folder: Path) -> Path:
    """Returns the interpreter of a folder's environment, which is made first if it isn't current.

    Raises:
        UnavailableError: it can't be made; the message says why.
    """
    interpreter = venvs.folder_of(folder) / "bin" / "python"
    try:
        if not interpreter.exists() and (version := _other_python(folder)):
            _make(folder, find_python(version))
        venvs.sync(PROJECT, folder, say)
    except PipeyardError as error:
        raise UnavailableError(" ".join(str(error).split())[-600:]) from error
    return interpreter


def _other_python(folder: Path) -> str:
    """Returns the minor version that an environment needs ("3.10"); empty if it is the repository's."""
    pyproject = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = pyproject["project"]["requires-python"]
    return wanted.removeprefix("==").removesuffix(".*") if wanted.startswith("==") else ""


def _make(folder: Path, interpreter: str) -> None:
    told([venvs.uv(PROJECT), "venv", "--quiet", "--python", interpreter, folder / ".venv"])


def find_python(version: str) -> str:
    """Returns an interpreter of a minor version ("3.10"): from PATH, pyenv, or those that uv knows.

    A file of the right name isn't enough: pyenv puts one on PATH that only tells which versions it has.

    Raises:
        UnavailableError: there is none.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))]
    command = [venvs.uv(PROJECT), "python", "find", "--managed-python", "--no-python-downloads", version]
    candidates.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    for candidate in filter(None, candidates):
        command = [candidate, "-c", "import ssl, sys; print(*sys.version_info[:2], sep='.')"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return candidate
    raise UnavailableError(f"Python {version} was not found on PATH, in pyenv or among uv's. Install it and run again.")


def told(command: Sequence[object], env: Mapping[str, str] | None = None) -> str:
    """Runs a program whose time isn't measured; returns what it prints on stdout.

    Args:
        env: its environment variables; None: plain_env().

    Raises:
        UnavailableError: it failed; the message has the end of what it printed.
    """
    result = subprocess.run(
        [str(part) for part in command], env=env or plain_env(), capture_output=True, text=True, check=False
    )
    if result.returncode:
        end = " / ".join((result.stdout + result.stderr).strip().splitlines()[-_TAIL_LINES:])[-1000:]
        raise UnavailableError(f"{Path(str(command[1])).name or command[0]} failed with {result.returncode}: {end}")
    return result.stdout


def versions(interpreter: Path, names: Sequence[str]) -> dict[str, str]:
    """Returns the installed versions of packages, and Python's."""
    return json.loads(told([interpreter, "-c", _VERSIONS, *names]))


def component(name: str) -> Path:
    """Returns a component's folder."""
    return PROJECT.components[name].folder


def component_env(name: str) -> dict[str, str]:
    """Returns the environment variables that a step of the component runs with."""
    return venvs.variables(PROJECT.components[name], os.environ)


def plain_env() -> dict[str, str]:
    """Returns this process's environment variables without what would let it shine through into another's."""
    return {key: value for key, value in os.environ.items() if key not in {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}}


def lock(folder: Path) -> bool:
    """Locks an environment anew, with the Python that it is for. Returns True if the lock changed.

    Raises:
        UnavailableError: that Python isn't there, or the requirements can't be met.
    """
    try:
        version = _other_python(folder)
        return uv_locks.lock(folder, venvs.uv(PROJECT), find_python(version) if version else None)
    except PipeyardError as error:
        raise UnavailableError(str(error)) from error
