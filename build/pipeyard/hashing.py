"""Content digests of files and folders."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def of_text(text: str) -> str:
    """Returns the sha256 of UTF-8 text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def of_file(path: Path) -> str:
    """Returns a file's sha256, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def of_path(path: Path) -> str:
    """Returns a file's digest, or one over the names and contents of all files in a folder."""
    return of_file(path) if path.is_file() else of_files(path, sorted(path.rglob("*")))


def of_files(base: Path, paths: Iterable[Path]) -> str:
    """Returns one digest over names (relative to `base`) and contents of files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        if path.is_file():
            total.update(f"{path.relative_to(base).as_posix()}\0{of_file(path)}\n".encode())
    return total.hexdigest()


def size_of(path: Path) -> int:
    """Returns the bytes in a file or below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
