"""This repository, as it is now, as one commit in a repository of its own."""

import sys
from collections.abc import Mapping
from pathlib import Path

from projects import Project
from support import checkout, scratch_git

from pipeyard.repository import project, venvs

WHOLE_STEP = "test_same_bytes.py"
# Of components that import what is worth starting ahead: those of which that takes seconds, not minutes of a core.
QUICK = frozenset({"data_validation"})
_IMPORTS = """\
import importlib

import pytest


@pytest.mark.parametrize("module", {modules!r})
def test_what_a_step_imports_is_there(module):
    assert importlib.import_module(module)
"""


def copy(folder: Path, prefix: str, python_image: str, variables: Mapping[str, str]) -> Project:
    """Makes a clone, with what isn't committed yet committed there, and the environments of the checkout.

    Of a component's tests those that run the whole step in processes of its own are left where they are quick, else one
    that imports what a step does. An image's build runs them; `make test/component/NAME` has run all, and
    `make test/whole-delivery` builds with all.
    """
    setup = {"UV": venvs.uv(project.find(checkout.ROOT)), "UV_PYTHON": sys.executable}
    made = Project(folder, prefix, python_image, {**variables, **setup})
    scratch_git.git(checkout.ROOT, "clone", "--quiet", str(checkout.ROOT), str(folder))
    checkout.copy_files(folder)
    _keep_quick_tests(folder)
    made.git("add", "--all")
    made.git("commit", "--quiet", "--allow-empty", "--message=As it is")
    (folder / ".git" / "info" / "exclude").write_text(".venv\n", encoding="utf-8")
    checkout.link_environments(folder)
    return made


def _keep_quick_tests(folder: Path) -> None:
    for name, component in project.find(folder).components.items():
        tests = component.folder / "tests"
        assert (tests / WHOLE_STEP).exists(), f"{tests} needs {WHOLE_STEP}: a step that runs twice, in unlike places"
        modules = [each.partition(":")[0] for each in component.annotation("preload", [])]
        quick = name in QUICK or not modules
        for path in tests.glob("test_*.py"):
            if path.name != WHOLE_STEP or not quick:
                path.unlink()
        if not quick:
            (tests / "test_imports.py").write_text(_IMPORTS.format(modules=modules), encoding="utf-8")
