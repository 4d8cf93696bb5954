"""Content digests of files and folders."""

import hashlib
from collections.abc import Collection
from pathlib import Path


def of_file(path: Path) -> str:
    """Returns the file's sha256 in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def of_tree(path: Path, leave_out: Collection[str] = ()) -> str:
    """Returns one sha256 in hex over the names and contents of all files below `path` (or of the one file).

    Files named in `leave_out`, relative to `path`, don't count.

    Equal trees give equal digests wherever they are; times and owners don't count.
    """
    if path.is_file():
        return of_file(path)
    total = hashlib.sha256()
    for file in sorted(item for item in path.rglob("*") if item.is_file()):
        name = file.relative_to(path).as_posix()
        if name not in leave_out:
            total.update(f"{name}\0{of_file(file)}\n".encode())
    return total.hexdigest()
