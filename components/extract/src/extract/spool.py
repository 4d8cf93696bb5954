"""Rows that are kept on disk because they must be read twice: once to know the types, once to write them."""

from pathlib import Path
from typing import Any

from extract.errors import reading
from extract.sql import identifier, literal

_DATABASE = "spooled"


def folder(connection: Any) -> Path:
    """Returns DuckDB's temporary folder, which is there then."""
    path = Path(connection.sql("SELECT current_setting('temp_directory')").fetchall()[0][0])
    path.mkdir(exist_ok=True)
    return path


def keep(connection: Any, sql: str, name: str) -> str:
    """Runs a SELECT into a table in DuckDB's temporary folder, and returns a SELECT of its rows in the same order.

    Args:
        connection: DuckDB's.
        name: of the table, which mustn't be there.

    Raises:
        StepError: the rows can't be read.
    """
    attached = connection.sql("SELECT database_name FROM duckdb_databases()").fetchall()
    if (_DATABASE,) not in attached:
        connection.execute(f"ATTACH {literal(str(folder(connection) / f'{_DATABASE}.db'))} AS {_DATABASE}")
    table = f"{_DATABASE}.{identifier(name)}"
    with reading():
        connection.execute(f"CREATE TABLE {table} AS {sql}")
    return f"SELECT * FROM {table}"
