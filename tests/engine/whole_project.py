"""This repository, as it is now, as one commit in a repository of its own."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from projects import Project

from pipeyard import environments, project

ROOT = Path(__file__).parents[2]


def copy(folder: Path, prefix: str, python_image: str, variables: Mapping[str, str]) -> Project:
    """Makes a clone, with what isn't committed yet committed there, and the environments of the checkout."""
    setup = {"UV": environments.uv(project.find(ROOT)), "UV_PYTHON": sys.executable}
    made = Project(folder, prefix, python_image, {**variables, **setup})
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
        else:
            target.unlink(missing_ok=True)
    made.git("add", "--all")
    made.git("commit", "--quiet", "--allow-empty", "--message=As it is")
    (folder / ".git" / "info" / "exclude").write_text(".venv\n", encoding="utf-8")
    for component in project.find(ROOT).components.values():
        environment = component.folder / ".venv"
        (folder / environment.relative_to(ROOT)).symlink_to(environment)
    return made
