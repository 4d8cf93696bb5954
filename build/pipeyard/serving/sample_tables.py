"""Parquet of samples and labels, asked by SQL."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError


@contextlib.contextmanager
def database(what: str) -> Iterator[Any]:
    """Gives a DuckDB connection.

    Args:
        what: is read, for messages.

    Raises:
        PipeyardError: DuckDB isn't installed, or what is asked in the block fails.
    """
    try:
        import duckdb
    except ImportError as error:
        raise PipeyardError(
            "DuckDB, which reads samples and labels, isn't installed. Run `make setup`, or install pipeyard[serve]."
        ) from error
    try:
        with duckdb.connect() as connection:
            yield connection
    except duckdb.Error as error:
        raise PipeyardError(f"{what} can't be read: {str(error).splitlines()[0]}") from error


def parquet(files: Path) -> str:
    """Returns a SELECT of all rows of the files of a pattern; of columns that a file hasn't, NULL."""
    return f"SELECT * FROM read_parquet({text(files)}, union_by_name = true)"


def text(value: Path | str) -> str:
    """Returns a SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def column(name: str) -> str:
    """Returns a quoted name."""
    return '"' + name.replace('"', '""') + '"'
