"""The folder that a build works in: a clone of the commit, kept from build to build for the environments in it."""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.repository import changes

# What a new build finds of the last one, as it would take minutes to make anew: environments, which tell by their lock
# whether they are current.
_KEPT = (".venv", ".tools", ".venv.lock")


@contextlib.contextmanager
def prepared(project: Path, folder: Path, commit: str, uncommitted: bool) -> Iterator[Path]:
    """Gives a folder with the content of a commit, while no other build has it.

    Args:
        project: root of the repository.
        folder: for the workspace; made if it isn't there.
        uncommitted: with what isn't committed yet on it, as a manual submit takes it.

    Raises:
        PipeyardError: another build works there, or git fails.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PipeyardError(f"Another build works in {folder}. Wait for it, or give --workspace.") from error
        _check_out(project, folder, commit)
        if uncommitted:
            _copy_changes(project, folder)
        yield folder


def _check_out(project: Path, folder: Path, commit: str) -> None:
    if not (folder / ".git").exists():
        if folder.exists() and any(folder.iterdir()):
            raise PipeyardError(f"{folder} has files, but is no workspace. Give --workspace an empty or new folder.")
        changes.git_of(project)(["clone", "--quiet", "--no-checkout", str(project), str(folder)])
    git = changes.git_of(folder)
    git(["fetch", "--quiet", "--tags", "--force", str(project), commit])
    git(["checkout", "--quiet", "--force", "--detach", commit])
    git(["clean", "--quiet", "-ffdx", *(f"--exclude={name}" for name in _KEPT)])


def _copy_changes(project: Path, folder: Path) -> None:
    git = changes.git_of(project)
    named = git(["diff", "--name-only", "--no-renames", "-z", "HEAD", "--"])
    named += git(["ls-files", "--others", "--exclude-standard", "-z"])
    for name in filter(None, named.split("\0")):
        source, target = project / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        else:
            target.unlink(missing_ok=True)
