"""This repository, as it is now, as one commit in a repository of its own."""

import sys
from collections.abc import Mapping
from pathlib import Path

from projects import Project
from support import checkout, scratch_git

from pipeyard.repository import project, venvs


def copy(folder: Path, prefix: str, python_image: str, variables: Mapping[str, str]) -> Project:
    """Makes a clone, with what isn't committed yet committed there, and the environments of the checkout."""
    setup = {"UV": venvs.uv(project.find(checkout.ROOT)), "UV_PYTHON": sys.executable}
    made = Project(folder, prefix, python_image, {**variables, **setup})
    scratch_git.git(checkout.ROOT, "clone", "--quiet", str(checkout.ROOT), str(folder))
    checkout.copy_files(folder)
    made.git("add", "--all")
    made.git("commit", "--quiet", "--allow-empty", "--message=As it is")
    (folder / ".git" / "info" / "exclude").write_text(".venv\n", encoding="utf-8")
    checkout.link_environments(folder)
    return made
