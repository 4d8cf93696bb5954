"""Which commit is built, and what its images are tagged."""

import contextlib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeyard.errors import PipeyardError
from pipeyard.repository.changes import Git

VARIABLE = "COMMIT_SHA"
_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Commit:
    """A state of the repository.

    Attributes:
        sha: 40 hex digits.
        tag: what images get: `sha`, or with a mark if the work tree has other content than the commit.
    """

    sha: str
    tag: str

    @property
    def dirty(self) -> bool:
        """True if the work tree differs from HEAD."""
        return self.tag != self.sha


def current(git: Git, environment: Mapping[str, str], allow_dirty: bool = False) -> Commit:
    """Returns the commit that the work tree holds.

    Args:
        environment: `$COMMIT_SHA` in it, as CI sets it, must be the commit that is checked out.

    Raises:
        PipeyardError: the tree is dirty and `allow_dirty` is False, or `$COMMIT_SHA` is empty, no commit, or another.
    """
    head = git(["rev-parse", "HEAD"]).strip()
    wanted = environment.get(VARIABLE)
    if wanted is not None:
        if not _SHA.fullmatch(wanted):
            raise PipeyardError(
                f"${VARIABLE} is {wanted!r}, not a commit's 40 hex digits. Cloud Build sets it in triggered builds: "
                f"give it as a substitution, or unset it to build what is checked out ({head})."
            )
        if wanted != head:
            raise PipeyardError(
                f"${VARIABLE} is {wanted}, but {head} is checked out: images would be tagged with a commit that they "
                f"aren't of. Check {wanted[:12]} out, or unset ${VARIABLE}."
            )
    changes = git(["status", "--porcelain", "-z"])
    if not changes:
        return Commit(head, head)
    names = [entry[3:] for entry in changes.split("\0") if entry]
    if not allow_dirty:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise PipeyardError(
            f"The work tree has changes that aren't committed ({shown}): its images would belong to no commit. "
            "Commit them, or use --allow-dirty, which marks the tag."
        )
    mark = hashlib.sha256((changes + git(["diff", "HEAD"])).encode()).hexdigest()[:8]
    return Commit(head, f"{head[:12]}-dirty-{mark}")


def fetch(git: Git, commits: Sequence[str]) -> None:
    """Gets commits, and the history before them, that this clone hasn't: CI servers clone one commit alone.

    As far as that goes: what the clone's origin doesn't have, or doesn't give, stays unknown. It asks for no password.
    """
    with contextlib.suppress(PipeyardError):
        unshallow = ["--unshallow"] if git(["rev-parse", "--is-shallow-repository"]).strip() == "true" else []
        lacking = [each for each in commits if not _has(git, each)]
        if lacking or unshallow:
            git(["-c", "core.askPass=true", "fetch", "--quiet", *unshallow, "origin", *lacking])


def _has(git: Git, commit: str) -> bool:
    try:
        git(["cat-file", "-e", f"{commit}^{{commit}}"])
    except PipeyardError:
        return False
    return True


def comes_after(git: Git, later: str, earlier: str) -> bool:
    """True if `later` is known to have `earlier` in its history; False too where this clone doesn't know it."""
    try:
        git(["merge-base", "--is-ancestor", earlier, later])
    except PipeyardError:
        return False
    return later != earlier
