"""Finding what is wrong with a CSV file, slowly but for certain."""

import csv
from collections.abc import Iterator

import fsspec

from stepkit.errors import StepError

_LONGEST = 2_000_000  # bytes of a row that DuckDB takes


def find_problem(path: str, delimiter: str, columns: int) -> StepError | None:
    """Reads a CSV file by Python's own reader and returns the first thing wrong with it, if there is one.

    DuckDB's threads may start within a quoted text that has newlines and then complain of good files, while its serial
    reader drops the end of a file whose last quote is never closed.

    Args:
        columns: how many values a row must have.
    """
    before = csv.field_size_limit(_LONGEST)
    start = 1
    try:
        with fsspec.open(path, "rb", compression="infer") as stored:
            reader = csv.reader(_decoded(stored), delimiter=delimiter, strict=True)
            for row in reader:
                if row and len(row) != columns:
                    shown = delimiter.join(row)[:200]
                    return StepError(
                        f"{path!r}, line {start}: the row has {len(row)} values, the header {columns}: {shown!r}. "
                        "Correct the row; quote a value that has the delimiter in it."
                    )
                start = reader.line_num + 1
    except csv.Error as error:
        return StepError(
            f"{path!r}, line {start}: a quote isn't closed as it should be ({error}). "
            "Close it, and double a quote within a quoted value."
        )
    except UnicodeDecodeError as error:
        line = reader.line_num + 1
        return StepError(
            f"{path!r}, line {line}: the bytes aren't UTF-8 text ({error.reason} at byte {error.start} of the line). "
            "Save the file as UTF-8, e.g. by iconv -f LATIN1 -t UTF-8."
        )
    finally:
        csv.field_size_limit(before)
    return None


def _decoded(stored: Iterator[bytes]) -> Iterator[str]:
    for number, line in enumerate(stored):
        yield line.decode("utf-8-sig" if not number else "utf-8")
