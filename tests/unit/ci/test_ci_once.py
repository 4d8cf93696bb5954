"""`pipeyard ci once`: what passed on a tree isn't run on that tree again, and nothing else is left out."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import scratch_git

from pipeyard.ci import passed
from pipeyard.commands import ci

# Counts its runs outside the tree, and fails if the tree says so.
PROGRAM = """\
import pathlib, sys
count = pathlib.Path(sys.argv[1])
count.write_text(str(int(count.read_text()) + 1))
sys.exit(int(pathlib.Path("code").read_text()))
"""


class Clone:
    """A project whose only test is a program that ends with the code in the file `code`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self._count = folder / "count"
        self._count.write_text("0")
        self.command = [sys.executable, "test.py", str(self._count)]
        for name in ("components", "pipelines"):
            (self.root / name).mkdir(parents=True)
            (self.root / name / "README.md").write_text("")
        scratch_git.git(self.root, "init", "--quiet")
        self.commit({"code": "0", "test.py": PROGRAM})

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.root / name).write_text(text)

    def commit(self, files: dict[str, str]) -> None:
        self.write(files)
        scratch_git.commit(self.root, "Change")

    def once(self, *more: str, name: str = "tests") -> tuple[bool, str]:
        """Returns whether the program ran, and what was said."""
        before = self._count.read_text()
        done = CliRunner().invoke(ci.command, ["once", "--project", str(self.root), name, *self.command, *more])
        return self._count.read_text() != before, done.output + str(done.exception or "")


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


def _ran(clone: Clone, *more: str, name: str = "tests") -> bool:
    return clone.once(*more, name=name)[0]


def test_it_runs_once_on_a_tree_and_says_how_to_run_it_again(clone):
    assert _ran(clone)
    ran, said = clone.once()
    assert not ran
    assert "passed before" in said
    Path(said.strip().rpartition("remove ")[2]).unlink()
    assert _ran(clone)


def test_the_same_tree_is_the_same_whichever_commit_has_it(clone):
    assert _ran(clone)
    scratch_git.git(clone.root, "commit", "--quiet", "--allow-empty", "--message=Nothing")
    assert not _ran(clone)


def test_another_tree_command_or_name_runs(clone):
    assert _ran(clone)
    assert _ran(clone, "more")
    assert _ran(clone, name="others")
    clone.commit({"new": ""})
    assert _ran(clone)


def test_what_failed_runs_again_and_gives_its_code(clone):
    clone.commit({"code": "3"})
    pipeyard = Path(sys.executable).with_name("pipeyard")
    done = subprocess.run([pipeyard, "ci", "once", "tests", *clone.command], cwd=clone.root, check=False)
    assert done.returncode == 3
    assert _ran(clone)


def test_with_changes_that_are_not_committed_it_always_runs_and_is_not_noted(clone):
    clone.write({"new": ""})
    assert _ran(clone)
    assert _ran(clone)
    (clone.root / "new").unlink()
    assert _ran(clone)


def test_a_command_that_changes_what_it_was_to_test_is_not_noted(clone):
    clone.commit({"test.py": PROGRAM.replace("sys.exit", "pathlib.Path('left').write_text('')\nsys.exit")})
    assert _ran(clone)
    (clone.root / "left").unlink()
    assert _ran(clone)


def test_a_program_that_is_not_there_is_named(clone):
    done = CliRunner().invoke(ci.command, ["once", "--project", str(clone.root), "tests", "no-such-program"])
    assert "no-such-program can't be run: No such file" in str(done.exception)


def test_another_python_is_another_subject(clone, monkeypatch):
    assert _ran(clone)
    monkeypatch.setattr(passed.sys, "version", "3.11.99")
    assert _ran(clone)


def test_a_name_that_is_no_name_and_a_folder_without_git_are_refused(clone, tmp_path):
    ran, said = clone.once(name="../tests")
    assert not ran
    assert "letters, digits and dashes" in said
    for name in ("components", "pipelines"):
        (tmp_path / "bare" / name).mkdir(parents=True)
    done = CliRunner().invoke(ci.command, ["once", "--project", str(tmp_path / "bare"), "tests", "true"])
    assert done.exit_code != 0
