"""What has passed here: a command that succeeded on a tree need not run on that very tree again."""

import hashlib
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.repository import changes
from pipeyard.system import files

# Below git's own folder: no checkout and no clean touches it, and a new clone has none.
_FOLDER = "pipeyard/passed"


@dataclass(frozen=True)
class Subject:
    """What a command is run on: all that is checked out, by this Python on this machine.

    Attributes:
        tree: git's hash of the content that is checked out; empty if some of it isn't committed.
        record: file that says what passed last.
    """

    tree: str
    record: Path

    def _key(self, command: Sequence[str]) -> str:
        """sha256 in hex of what a success of the command depends on."""
        what = [self.tree, list(command), sys.version, platform.platform()]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def has_passed(self, command: Sequence[str]) -> bool:
        """Whether the command's last success was on the same content. Never so while changes aren't committed."""
        try:
            return bool(self.tree) and self.record.read_text(encoding="utf-8") == self._key(command)
        except OSError:
            return False

    def passed(self, command: Sequence[str]) -> None:
        """Notes that the command succeeded, if what it ran on can be named."""
        if self.tree:
            self.record.parent.mkdir(parents=True, exist_ok=True)
            files.write_whole(self.record, self._key(command))


def subject(root: Path, name: str) -> Subject:
    """Returns what is checked out at `root`.

    Args:
        name: of the record; commands with separate records have different names.

    Raises:
        PipeyardError: the name can't be a file's, or git fails.
    """
    if not name or not name.replace("-", "").isalnum():
        raise PipeyardError(f"{name!r} can't name a record. Use letters, digits and dashes, such as unit-tests.")
    git = changes.git_of(root)
    record = root / git(["rev-parse", "--git-path", f"{_FOLDER}/{name}"]).strip()
    if git(["status", "--porcelain"]):
        return Subject("", record)
    return Subject(git(["rev-parse", "HEAD^{tree}"]).strip(), record)
