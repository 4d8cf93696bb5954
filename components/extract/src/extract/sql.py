"""SQL text, and the engine that runs it."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any


def identifier(name: str) -> str:
    """Quotes a column's name."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """Writes text, a number, a boolean, None, or a list or dict of them as a SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    return "'" + str(value).replace("'", "''") + "'"


@contextlib.contextmanager
def engine() -> Iterator[Any]:
    """Opens a DuckDB connection in memory that is set up to give the same rows in the same order everywhere.

    It never downloads an extension: remote files come through fsspec, databases through ADBC.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="extract-") as folder:
        settings = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "enable_progress_bar": False,
            "preserve_insertion_order": True,
            "python_enable_replacements": False,
            "temp_directory": folder,
            "TimeZone": "UTC",
        }
        with duckdb.connect() as connection:
            for name, value in settings.items():
                connection.execute(f"SET {name} = {literal(value)}")
            yield connection
