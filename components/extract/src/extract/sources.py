"""Opening whatever `--source` names as the SQL table `source`."""

import argparse
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from extract import databases, declared, dialect, spool
from extract.dialect import Dialect
from extract.errors import explain
from extract.files import SourceFile, describe, find, format_of
from extract.inference import Column, learn
from extract.sql import identifier
from extract.streaming import stream
from extract.tables import Table
from stepkit import uris
from stepkit.errors import StepError, UsageError

TABLE = "source"
_STREAM = "source_stream"
_ALL = f"SELECT * FROM {_STREAM}"


@dataclass(frozen=True)
class Source:
    """What rows are read from.

    Attributes:
        format: csv, jsonl, parquet, tfrecord or sql.
        names: the parts of `--source`, without passwords.
        files: the files they stand for.
        table: what people should know of its columns.
    """

    format: str
    names: Sequence[str]
    files: Sequence[SourceFile] = ()
    table: Table = field(default_factory=lambda: Table(""))

    def describe(self) -> dict[str, Any]:
        """Returns the manifest's account of the source; reads all local files to hash them."""
        return {"format": self.format, "globs": list(self.names), "files": describe(self.files)}


def open_source(
    stack: contextlib.ExitStack,
    connection: Any,
    args: argparse.Namespace,
    advance: Callable[[int], None],
    bigquery: Callable[[str], tuple[Any, Any]] | None = None,
) -> Source:
    """Makes the source the table `source` of `connection`, with the types of `--column-types`.

    Args:
        stack: closes what the source keeps open.
        connection: DuckDB's.
        args: the command line.
        advance: called with the number of rows read ahead to know their types.
        bigquery: see `extract.databases.open_query`.

    Raises:
        StepError: it isn't there or can't be read.
    """
    for name, kind in args.column_types.items():
        check_type(connection, name, kind)
    if databases.is_database(args.source):
        return _open_database(stack, connection, args, advance, bigquery)
    names = [name.strip() for name in args.source.split(",") if name.strip()]
    if not names:
        raise StepError("--source is empty. Give paths or globs, or a database.")
    if args.format == "sql":
        raise UsageError(f"--format sql reads databases, and {names[0]!r} is none; leave --format out for files")
    found = find(names)
    kind = format_of(found) if args.format == "auto" else args.format
    remote = {file.path.partition("://")[0]: file.path for file in found if uris.is_remote(file.path)}
    for path in remote.values():
        connection.register_filesystem(uris.filesystem(path)[0])
    table = _table(connection, kind, found, args, advance)
    _create(connection, table, args.column_types)
    return Source(kind, names, found, table)


def _table(
    connection: Any, kind: str, found: Sequence[SourceFile], args: argparse.Namespace, advance: Callable[[int], None]
) -> Table:
    wanted = dialect.from_args(args)
    if kind == "csv":
        from extract import csv_files

        return csv_files.table(connection, found, wanted, args.null_values, args.column_types, advance)
    if wanted != Dialect():
        raise UsageError(f"--source is {kind}: the options of how CSV is written, such as --delimiter, aren't for it")
    if kind == "jsonl":
        from extract import jsonl_files

        return jsonl_files.table(connection, found, args.column_types, advance)
    if kind == "parquet":
        from extract import parquet_files

        return parquet_files.table(connection, found, args.column_types)
    from extract import tfrecord_files

    connection.register(_STREAM, tfrecord_files.reader(found, advance))
    return Table(_ALL, once=True)


def _open_database(
    stack: contextlib.ExitStack,
    connection: Any,
    args: argparse.Namespace,
    advance: Callable[[int], None],
    bigquery: Callable[[str], tuple[Any, Any]] | None,
) -> Source:
    if args.format not in ("auto", "sql"):
        raise UsageError(f"--format {args.format} reads files, and --source is a database; leave --format out")
    if not args.query.strip():
        raise UsageError("a database in --source needs a --query")
    rows = databases.open_query(stack, args.source, args.query, advance, bigquery)
    connection.register(_STREAM, rows.stream)
    numbers = [name for name in rows.numbers if name not in args.column_types]
    table = Table(_ALL, rows.reasons, frozenset(rows.reasons), once=True)
    if numbers:
        table = _typed(connection, rows, numbers)
    _create(connection, table, args.column_types)
    local = args.source.startswith(databases.SQLITE)
    files = find([str(databases.sqlite_file(args.source))]) if local else []
    return Source("sql", [databases.without_password(args.source)], files, table)


def _typed(connection: Any, rows: databases.Rows, numbers: Sequence[str]) -> Table:
    """Keeps a database's rows and gives its exact numbers, which come as text, the types that all their values fit."""
    kept = spool.keep(connection, _ALL, TABLE)
    known = dict.fromkeys(numbers, Column())
    for batch in stream(connection, f"SELECT {', '.join(map(identifier, numbers))} FROM ({kept})")[1]:
        for name, texts in zip(numbers, batch.columns, strict=True):
            known[name] = learn(known[name], texts)
    casts = ", ".join(
        f"CAST({identifier(name)} AS {'DOUBLE' if column.kind == 'NULL' else column.kind}) AS {identifier(name)}"
        for name, column in known.items()
    )
    reasons = {**rows.reasons, **{name: column.reason for name, column in known.items() if column.reason}}
    return Table(f"SELECT * REPLACE ({casts}) FROM ({kept})", reasons, frozenset(reasons))


def check_type(connection: Any, name: str, kind: Any) -> None:
    """Raises StepError unless `kind` is a SQL type; `name` is the column it is for."""
    try:
        connection.sql(f"SELECT CAST(NULL AS {kind})")
    except duckdb.Error as error:
        raise StepError(
            f"--column-types gives column {name!r} the type {kind!r}, which SQL doesn't have. "
            "Give BIGINT, DOUBLE, VARCHAR, BOOLEAN, DATE or TIMESTAMP, say."
        ) from error


def _create(connection: Any, table: Table, column_types: Mapping[str, str]) -> None:
    try:
        select = declared.apply(connection, table, column_types)
        connection.execute(f"CREATE VIEW {TABLE} AS {select}")
    except duckdb.Error as error:
        raise explain(str(error), table.places) from error
