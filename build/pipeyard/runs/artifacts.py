"""Reads what artifacts hold, for showing; an artifact that can't be read is said to be so, and is never an error."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import fsspec

from pipeyard.runs.record import Artifact, Attempt
from pipeyard.system import jsons, logs

MAX_JSON_BYTES = 256 * 1024
MAX_PAGE_BYTES = 24 * 1024 * 1024
LOG_LINES = 40


@dataclass(frozen=True)
class Content:
    """The text of an artifact, or in words why it isn't here (then `text` is empty)."""

    text: str = ""
    problem: str = ""


def local_path(uri: str, folder: Path) -> Path | None:
    """Returns the path of a local artifact (relative ones are relative to the run's folder); None if it's remote."""
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path))
    return None if "://" in uri else folder / uri


def link(path: Path, folder: Path) -> str:
    """Returns the URL of a local path relative to the run's folder, so that links survive a move of all runs."""
    return quote(Path(os.path.relpath(path, folder)).as_posix())


def read(artifact: Artifact, folder: Path, limit: int) -> Content:
    """Reads an artifact that is one file of at most `limit` bytes."""
    path = local_path(artifact.uri, folder)
    try:
        if path is None:
            with fsspec.open(artifact.uri, "rb") as stream:
                data = stream.read(limit + 1)
        elif path.is_dir():
            return Content(problem="It is a folder.")
        else:
            with path.open("rb") as stream:
                data = stream.read(limit + 1)
    except FileNotFoundError:
        return Content(problem=f"No longer there: {artifact.uri}")
    except Exception as error:  # pylint: disable=broad-except  # filesystem plugins raise what they like
        return Content(problem=f"Can't be read: {artifact.uri} ({error})")
    if len(data) > limit:
        return Content(problem=f"Too large to show here: {artifact.uri}")
    return Content(text=data.decode("utf-8", errors="replace"))


def read_object(artifact: Artifact, folder: Path) -> tuple[dict[str, Any], str]:
    """Returns the JSON object that a small file holds, and else an empty one and the problem in words."""
    content = read(artifact, folder, MAX_JSON_BYTES)
    if content.problem:
        return {}, content.problem
    try:
        value = jsons.load(content.text)
    except ValueError:
        return {}, f"It isn't JSON: {artifact.uri}"
    return (value, "") if isinstance(value, dict) else ({}, f"It isn't a JSON object: {artifact.uri}")


def values(artifact: Artifact, folder: Path) -> tuple[dict[str, Any], str]:
    """Returns an artifact's metadata, or if it has none what its file holds; and the problem, if there is one."""
    return (artifact.metadata, "") if artifact.metadata else read_object(artifact, folder)


def log_tail(attempt: Attempt, folder: Path) -> Content:
    """Returns the last lines of a log."""
    path = folder / attempt.log
    try:
        text = logs.read_tail(path, LOG_LINES)
    except OSError:
        return Content(problem=f"No longer there: {path}")
    return Content(text=text) if text else Content(problem="The log is empty.")
