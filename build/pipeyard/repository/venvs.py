"""The locked environments of components: made by `build/sync-env` when they are missing or their lock has changed."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.repository import uv_locks
from pipeyard.repository.project import Component, Project
from pipeyard.system import files

STAMP = ".lock-digest"
# Variables of the machine's Python, which say where its parts are and that no bytecode is kept.
NOT_INHERITED = frozenset({"PYTHONHOME", "PYTHONDONTWRITEBYTECODE"})
_TAIL_LINES = 15


def folder_of(component: Path) -> Path:
    """Returns where a component's environment is."""
    return component / ".venv"


def check(component: Component) -> None:
    """Checks that a component has what its environment is made of.

    Raises:
        PipeyardError: a file is missing.
    """
    for name, remedy in (
        ("pyproject.toml", "it says what the component's environment holds."),
        (uv_locks.LOCK, "it pins what the component's environment holds. Run `pipeyard lock`."),
    ):
        if not (component.folder / name).is_file():
            raise PipeyardError(f"{component.folder / name} is missing: {remedy}")


def is_current(component: Path) -> bool:
    """True if the environment holds what the lock says; `sync-env` leaves a stamp to tell by."""
    stamp = folder_of(component) / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == _lock_digest(component)


def sync(project: Project, component: Path, say: Callable[[str], None] = lambda text: None) -> bool:
    """Makes a component's environment current. Safe to call from several processes at once.

    Args:
        say: called if there is anything to do, which can take minutes.

    Returns:
        True if there was anything to do.

    Raises:
        PipeyardError: it failed; the message has the end of what it printed.
    """
    with files.locked(component / ".venv.lock") as lock:
        if is_current(component):
            return False
        say(f"making the environment of {component.name}")
        command = [str(project.root / "build" / "sync-env"), str(component)]
        env = {**os.environ, "UV": uv(project)}
        # It holds the lock itself, should this process be killed meanwhile.
        result = subprocess.run(command, env=env, capture_output=True, text=True, check=False, pass_fds=[lock])
        if result.returncode != 0:
            tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-_TAIL_LINES:])
            raise PipeyardError(
                f"The environment of {component.name} could not be made; check the network and the disk's free space, "
                f"then run again.\n{tail}"
            )
        return True


def uv(project: Project) -> str:
    """Returns the uv to use: `$UV`, the project's own (`make` puts it there), or the one on PATH.

    Raises:
        PipeyardError: there is none.
    """
    own = project.root / ".tools" / "bin" / "uv"
    found = os.environ.get("UV") or (str(own) if own.exists() else shutil.which("uv"))
    if not found:
        raise PipeyardError("uv was not found. Run `make setup`, which installs it into .tools/.")
    return found


def variables(component: Component, base: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment variables under which a step of the component runs.

    Its own sources come first on the path, and what would let another Python environment shine through is dropped.
    Bytecode is kept, whatever the machine says: environments have none until it is made on the first import, and
    TensorFlow's alone takes 20 s of a core.
    """
    venv = folder_of(component.folder)
    sources = [folder / "src" for folder in (component.folder, *component.local_packages)]
    return {
        **{key: value for key, value in base.items() if key not in NOT_INHERITED},
        "VIRTUAL_ENV": str(venv),
        "PATH": os.pathsep.join([str(venv / "bin"), base.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(map(str, sources)),
        "PYTHONUNBUFFERED": "1",
    }


def _lock_digest(component: Path) -> str:
    """Reckons as build/sync-env does, which writes the stamp."""
    content = b"".join((component / name).read_bytes() for name in ("uv.lock", "pyproject.toml"))
    return hashlib.sha256(content).hexdigest()
