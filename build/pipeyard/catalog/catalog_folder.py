"""A catalog's folder: written whole or not at all, and in nothing's place but a catalog's."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.system import files, jsons

# What a folder is told to be a catalog by: the files that it has, with their sha256. It is the last to be published.
MANIFEST = "catalog.json"
_FORMAT = 1


def manifest(pages: Mapping[str, bytes]) -> bytes:
    """Returns the manifest of pages by path."""
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(pages.items())}
    return (json.dumps({"format": _FORMAT, "files": digests}, indent=1) + "\n").encode()


def write(folder: Path, pages: Mapping[str, bytes]) -> None:
    """Writes a catalog; one that is there is replaced.

    Raises:
        PipeyardError: something else is there, or it can't be written. Nothing has changed then.
    """
    folder = folder.resolve()  # through a link, what it leads to is replaced
    check_replaceable(folder)
    old = files.aside_of(folder)
    try:
        with files.folder_whole(folder) as aside:
            for path, data in {**pages, MANIFEST: manifest(pages)}.items():
                (aside / path).parent.mkdir(parents=True, exist_ok=True)
                (aside / path).write_bytes(data)
            files.sweep(folder.parent)
            if folder.exists() and any(folder.iterdir()):
                check_replaceable(folder)
                folder.rename(old)
    except files.TakenError as error:
        raise PipeyardError(f"{folder} was written by something else meanwhile. Run again.") from error
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    files.sweep(folder.parent)  # the old one, which nobody holds


def check_replaceable(folder: Path) -> None:
    """Raises PipeyardError if a folder is there that holds anything but a catalog."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    known = set(read(folder, "Give another --output, or remove it first")) | {MANIFEST}
    foreign = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir() and path.relative_to(folder).as_posix() not in known
    )
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise PipeyardError(
            f"{folder} has files that aren't the catalog's: {', '.join(foreign[:3])}{more}. Move them elsewhere, or "
            "give another --output."
        )


def read(folder: Path, remedy: str = "Make one: `pipeyard catalog build --output FOLDER`") -> dict[str, Any]:
    """Returns the files that a catalog has, by path, with their sha256.

    Raises:
        PipeyardError: the folder is no catalog.
    """
    try:
        told = jsons.load((folder / MANIFEST).read_bytes())
        if told["format"] != _FORMAT:
            raise PipeyardError(f"{folder} is a catalog of format {told['format']!r}; this Pipeyard knows {_FORMAT}.")
        return dict(told["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PipeyardError(f"{folder} is no catalog: it has no {MANIFEST}, or another one. {remedy}.") from error
