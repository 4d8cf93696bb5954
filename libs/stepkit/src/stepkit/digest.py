"""Content digests of files and folders."""

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path


def of_text(text: str) -> str:
    """Returns the sha256 of UTF-8 text in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


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
    files = (file for file in path.rglob("*") if file.relative_to(path).as_posix() not in leave_out)
    return of_files(path, files)


def of_listing(folder: Path) -> str:
    """Returns one sha256 in hex over the names of what is in a folder, not below."""
    return of_text("\0".join(sorted(each.name for each in folder.iterdir())))


def of_files(base: Path, paths: Iterable[Path]) -> str:
    """Returns one sha256 in hex over names (relative to `base`) and contents of files, in the order of their paths."""
    total = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            total.update(f"{path.relative_to(base).as_posix()}\0{of_file(path)}\n".encode())
    return total.hexdigest()
