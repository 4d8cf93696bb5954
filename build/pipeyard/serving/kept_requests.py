"""Removing what is kept of a model's requests: samples, labels, and what was computed of them."""

import time
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.serving.serving_folder import ServingFolder

# A file that a model server or a command is writing now.
_UNFINISHED = ".partial"


@dataclass(frozen=True)
class Removed:
    """How many files were removed, and their bytes."""

    files: int
    bytes: int


def remove(folder: ServingFolder, model: str, seconds: float = 0.0, now: float | None = None) -> Removed:
    """Removes samples and labels of a model, and examples and statistics that `live_monitoring` made of them.

    The folder of samples stays, as servers write there.

    Args:
        seconds: only what was written longer ago; 0: all.
        now: epoch seconds.

    Raises:
        PipeyardError: nothing is kept of a model of that name, or something can't be removed.
    """
    places = [folder.samples(model), folder.labels(model), folder.monitoring(model)]
    known = sorted({each.name for place in places for each in place.parent.glob("*") if each.is_dir()})
    if model not in known:
        raise PipeyardError(f"Nothing is kept of a model {model!r} in {folder.own}. {near_misses(model, known)}")
    oldest = (time.time() if now is None else now) - seconds
    found = [path for place in places for path in sorted(place.rglob("*"), reverse=True)]  # files before their folder
    try:
        sizes = [size for path in found if (size := _remove(path, oldest)) is not None]
    except OSError as error:
        raise PipeyardError(f"{error.filename} can't be removed: {error.strerror}. Remove it as its owner.") from error
    return Removed(len(sizes), sum(sizes))


def _remove(path: Path, oldest: float) -> int | None:
    """Removes a file that is old enough, or a folder that is empty; returns the bytes of a file that was removed."""
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            path.rmdir()
        return None
    try:
        state = path.lstat()
        if state.st_mtime > oldest or path.name.endswith(_UNFINISHED):
            return None
        path.unlink()
    except FileNotFoundError:  # by a server, which removes old samples too
        return None
    return state.st_size
