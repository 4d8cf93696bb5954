"""Compressed files whose checksum nobody else looks at."""

import gzip
import zlib

import fsspec

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
        with fsspec.open(path, "rb") as stored, gzip.GzipFile(fileobj=stored) as unpacked:
            while unpacked.read(_PIECE):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StepError(f"{path!r} is damaged or isn't whole (gzip: {error}). Write it again.") from error
    except OSError as error:
        raise StepError(f"{path!r} can't be read ({error}). Check its permissions and the network.") from error
