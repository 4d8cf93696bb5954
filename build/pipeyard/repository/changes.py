"""Which files changed, as git tells."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeyard.errors import PipeyardError

Git = Callable[[Sequence[str]], str]


def git_of(root: Path) -> Git:
    """Returns a function that runs git in the repository at `root` and returns what it prints.

    It raises PipeyardError with git's own words where git fails or isn't there.
    """

    def run(arguments: Sequence[str]) -> str:
        try:
            result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise PipeyardError("git was not found. Install it: it finds the changes.") from error
        if result.returncode != 0:
            raise PipeyardError(f"git {' '.join(arguments)} failed: {result.stderr.strip()}")
        return result.stdout

    return run


def changed_files(git: Git, since: str) -> list[str]:
    """Returns the files that differ between the work tree and where it left `since`, untracked ones included.

    Args:
        git: as from `git_of`.
        since: a revision. What it got since the two parted isn't a change here.

    Raises:
        PipeyardError: there is no such revision, or git fails; a shallow clone may lack the history.
    """
    try:
        base = git(["merge-base", since, "HEAD"]).strip()
    except PipeyardError as error:
        raise PipeyardError(
            f"{since!r} and HEAD have no history in common here: {error}. "
            "Give a commit, branch or tag of this repository; a shallow clone needs `git fetch --unshallow` first."
        ) from error
    tracked = git(["diff", "--name-only", "--no-renames", "-z", base, "--"])
    untracked = git(["ls-files", "--others", "--exclude-standard", "-z"])
    return sorted({name for name in (tracked + untracked).split("\0") if name})
