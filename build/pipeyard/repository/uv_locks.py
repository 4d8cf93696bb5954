"""Lock files that name no package index.

uv writes the address of the index and of every file into `uv.lock`. Then the lock works only where that index is
reached, which behind a company's mirror it isn't. So the addresses are taken out: what is left (names, versions, sha256
of every file) is what pins an environment, and `build/sync-env` installs it from whichever index the machine is set up
for.
"""

import os
import re
import subprocess
from pathlib import Path

from pipeyard.errors import PipeyardError

LOCK = "uv.lock"
_REGISTRY = re.compile(r'source = \{ registry = "[^"]*" \}')
_FILE = re.compile(r'\{ url = "[^"]*/([^"/]+)"')


def without_index(text: str) -> str:
    """Returns a lock's text with indexes and addresses of files taken out."""
    return _FILE.sub(r'{ path = "\1"', _REGISTRY.sub('source = { registry = "." }', text))


def projects(root: Path) -> list[Path]:
    """Returns the folders of the repository that have a lock or should: those with a `pyproject.toml`."""
    parents = ("components", "libs", "services", "tests")
    patterns = ("pyproject.toml", *(f"{each}/*/pyproject.toml" for each in parents))
    return sorted(path.parent for pattern in patterns for path in root.glob(pattern))


def lock(folder: Path, uv: str, python: str | None = None) -> bool:
    """Locks a project anew, keeping versions that still fit. Returns True if the lock changed.

    Args:
        python: the interpreter that the project is for; None: the repository's.

    Raises:
        PipeyardError: its requirements can't be met.
    """
    path = folder / LOCK
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    _run_uv(folder, uv, python)
    after = without_index(path.read_text(encoding="utf-8"))
    path.write_text(after, encoding="utf-8")
    return after != before


def staleness(folder: Path, uv: str) -> str:
    """Returns why a lock doesn't fit its `pyproject.toml`, or ''. Changes nothing, fetches nothing.

    uv compares the lock with the requirements that it was made of. It resolves only if they differ, which without the
    network may fail: its output is ignored then.

    Raises:
        PipeyardError: uv can't compare them: the file isn't TOML, or there is no Python.
    """
    path = folder / LOCK
    if not path.exists():
        return "it is missing"
    text = path.read_text(encoding="utf-8")
    if without_index(text) != text:
        return "it names a package index"
    result = subprocess.run(
        [uv, "lock", "--check", "--offline", "--quiet", "--python", _python()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode > 1:
        raise PipeyardError(f"{path} can't be checked: {result.stderr.strip()}")
    return "requirements have changed since it was made" if result.returncode else ""


def _run_uv(folder: Path, uv: str, python: str | None) -> None:
    command = [uv, "lock", "--quiet", "--python", python or _python()]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise PipeyardError(f"{folder} can't be locked: {result.stderr.strip()}")


def _python() -> str:
    return os.environ.get("UV_PYTHON") or "3.11"
