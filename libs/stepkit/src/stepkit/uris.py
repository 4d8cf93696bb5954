"""Paths that may be local or remote (gs://, s3://, anything fsspec knows)."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stepkit.errors import StepError


def is_remote(uri: str) -> bool:
    """True for `scheme://...` other than `file://`."""
    scheme, separator, _ = uri.partition("://")
    return bool(separator) and scheme != "file"


def local_part(uri: str) -> Path:
    """Returns a local URI (`/a/b`, `a/b`, `file:///a/b`) as a path."""
    return Path(uri.removeprefix("file://"))


def filesystem(uri: str) -> tuple[Any, str]:
    """Returns fsspec's filesystem for `uri` and the path within it.

    Raises:
        StepError: the scheme is unknown or its library is missing.
    """
    import fsspec  # pylint: disable=import-outside-toplevel

    try:
        return fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise StepError(f"Can't open {uri!r}: {error}. Use a local path, gs://, s3:// or http(s)://.") from error


def exists(uri: str) -> bool:
    """True if a file or folder is there."""
    if not is_remote(uri):
        return local_part(uri).exists()
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def read_text(uri: str, what: str) -> str:
    """Reads a UTF-8 file.

    Args:
        what: what the file is to the caller, for the error ("schema", "module").

    Raises:
        StepError: nothing is there, or it isn't UTF-8.
    """
    fs, path = filesystem(uri)
    try:
        return fs.cat_file(path).decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise StepError(f"No {what} at {uri!r}. Check the path; relative ones start at {str(Path.cwd())!r}.") from error
    except UnicodeDecodeError as error:
        raise StepError(f"The {what} at {uri!r} isn't UTF-8 text ({error}). Save it as UTF-8.") from error


@contextlib.contextmanager
def local_copy(uri: str, what: str) -> Iterator[Path]:
    """Gives `uri` as a local file or folder: itself if it is local, else a download that is removed afterwards.

    Raises:
        StepError: nothing is there.
    """
    if not exists(uri):
        raise StepError(f"No {what} at {uri!r}. Check the path; relative ones start at {str(Path.cwd())!r}.")
    if not is_remote(uri):
        yield local_part(uri)
        return
    fs, path = filesystem(uri)
    with tempfile.TemporaryDirectory(prefix="stepkit-") as folder:
        target = Path(folder) / Path(path).name
        fs.get(path, str(target), recursive=fs.isdir(path))
        yield target


def join(base: str, *parts: str) -> str:
    """Joins with `/`, for local and remote alike."""
    return "/".join([base.rstrip("/"), *parts])
