"""Compressed files: their checksums, which nobody else looks at, and reading them in Python."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa

from stepkit.errors import StepError

_PIECE = 1 << 20


def verify(path: str) -> None:
    """Reads a `.gz` file to its end to verify its checksums: DuckDB doesn't. (It does those of `.zst`.)

    Raises:
        StepError: the file is damaged or isn't whole.
    """
    if not path.lower().endswith(".gz"):
        return
    try:
        with fsspec.open(path, "rb") as stored, gzip.GzipFile(fileobj=stored) as content:
            while content.read(_PIECE):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StepError(f"{path!r} is damaged or isn't whole (gzip: {error}). Write it again.") from error
    except OSError as error:
        raise StepError(f"{path!r} can't be read ({error}). Check its permissions and the network.") from error


@contextlib.contextmanager
def unpacked(path: str) -> Iterator[Any]:
    """Opens a file to read its bytes as they were before it was packed, of all members or frames."""
    if path.lower().endswith(".zst"):  # fsspec needs a package for these, and passes them on as they are without it
        with fsspec.open(path, "rb") as stored, pa.CompressedInputStream(pa.PythonFile(stored), "zstd") as stream:
            yield io.BufferedReader(stream)
    else:
        with fsspec.open(path, "rb", compression="infer") as stored:
            yield stored
