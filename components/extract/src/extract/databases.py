"""Databases as streams of Arrow record batches."""

import contextlib
import itertools
import re
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa

from extract import reasons as why
from extract import types
from extract.inference import EXACT
from extract.names import refuse_clashes
from extract.sql import identifier
from stepkit.errors import StepError, near_misses

SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
BIGQUERY = "bigquery://"
_SECRETS = {"password", "sslpassword", "passfile"}
_SQLITE_ASKED = (
    *(f"typeof({{0}}) = '{kind}'" for kind in ("integer", "real", "text", "blob")),
    f"typeof({{0}}) = 'integer' AND {{0}} NOT BETWEEN -{EXACT} AND {EXACT}",
)
_SQLITE_EMPTY = {"INTEGER": "0", "REAL": "0.0", "TEXT": "''", "BLOB": "x''"}


def is_database(source: str) -> bool:
    """True if `source` is a database's address and not files."""
    return source.startswith(("sqlite:", *_POSTGRES, BIGQUERY))


def without_password(source: str) -> str:
    """Returns the address of a database as it may be shown."""
    if not source.startswith(_POSTGRES):
        return source
    parts = urlsplit(source)
    user, at, host = parts.netloc.rpartition("@")
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key not in _SECRETS])
    return urlunsplit(parts._replace(netloc=user.partition(":")[0] + at + host, query=query))


def sqlite_file(source: str) -> Path:
    """Returns the file of `sqlite:///FILE` (three slashes before a relative path, four before an absolute one).

    Raises:
        StepError: there is no such file.
    """
    if not source.startswith(SQLITE) or source == SQLITE:
        raise StepError(
            f"{source!r} isn't sqlite:///FILE. Give a path after the third slash: sqlite:////folder/file.db."
        )
    path = Path(source.removeprefix(SQLITE))
    if path.is_file():
        return path
    if Path("/", path).is_file():
        raise StepError(
            f"There is no {str(path)!r}. For {str(Path('/', path))!r} give four slashes: sqlite:////{path}."
        )
    near = [item.name for item in path.parent.iterdir() if item.is_file()] if path.parent.is_dir() else []
    raise StepError(f"There is no database {str(path)!r}. {near_misses(path.name, near)}")


@dataclass(frozen=True)
class Rows:
    """The rows of a query.

    Attributes:
        stream: the rows, in the order the database gives them.
        numbers: columns of text that are exact numbers, whose type their values decide.
        reasons: column to why it is text, or another type than one might expect.
    """

    stream: pa.RecordBatchReader
    numbers: Sequence[str] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def open_query(
    stack: contextlib.ExitStack,
    source: str,
    query: str,
    advance: Callable[[int], None],
    bigquery: Callable[[str], tuple[Any, Any]] | None = None,
) -> Rows:
    """Runs `query` in a database.

    Args:
        stack: closes the connection in the end.
        source: its address.
        advance: called with the number of rows read ahead to know the types.
        bigquery: makes BigQuery's client and its storage client for a project, instead of Google's own.

    Raises:
        StepError: there is no such database, or the query fails or gives two columns the same name.
    """
    if source.startswith(BIGQUERY):
        stream = _bigquery(source.removeprefix(BIGQUERY).strip("/"), query, bigquery or _bigquery_clients)
        return _acceptable(stream, source)
    import adbc_driver_manager

    try:
        if source.startswith(_POSTGRES):
            cursor = stack.enter_context(_postgres(source))
            cursor.execute(query)
            return _acceptable(cursor.fetch_record_batch(), source)
        path = sqlite_file(source)
        return _sqlite_rows(stack.enter_context(_sqlite(path)), path, query, advance)
    except adbc_driver_manager.Error as error:
        text = re.sub(r"\s+", " ", str(error)).strip()
        raise StepError(f"{without_password(source)}: {text}. Correct --query or --source.") from error


def _acceptable(stream: pa.RecordBatchReader, source: str) -> Rows:
    """Makes a database's stream one whose types DuckDB can take without a loss."""
    refuse_clashes(stream.schema.names, f"--query on {without_password(source)}", "Rename one by AS.")
    for column in stream.schema:
        if name := _unread(column):
            raise StepError(
                f"Column {column.name!r} of --query is {name}, which comes as bytes that only the database "
                f"understands. Cast it there, e.g. {identifier(column.name)}::text."
            )
    stream = pa.RecordBatchReader.from_batches(stream.schema, _valid(stream))
    schema, convert, notes = types.acceptable(stream.schema)
    numbers = [
        after.name
        for before, after in zip(stream.schema, schema, strict=True)
        if _is_numeric(before) or (pa.types.is_decimal(before.type) and pa.types.is_string(after.type))
    ]
    if schema != stream.schema:
        stream = pa.RecordBatchReader.from_batches(schema, map(convert, stream))
    return Rows(stream, numbers, notes)


def _valid(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Passes batches on, and refuses text that isn't UTF-8: drivers pass on what the database has."""
    rows = 0
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                try:
                    column.validate(full=True)
                except pa.ArrowInvalid as error:
                    row = rows + 1 + next((index for index, value in enumerate(column) if not _is_text(value)), 0)
                    raise StepError(
                        f"column {name!r} of --query has text that isn't UTF-8 in row {row}. Correct it there, or take "
                        "its bytes: CAST it AS BLOB"
                    ) from error
        rows += batch.num_rows
        yield batch


def _is_text(value: pa.Scalar) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _unread(column: pa.Field) -> str:
    """Returns the name of a type that the driver passes on as it came over the wire; '' for any other."""
    if isinstance(column.type, pa.OpaqueType) and pa.types.is_binary(column.type.storage_type):
        return str(column.type.type_name)
    stored = (column.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
    return stored if pa.types.is_binary(column.type) and stored not in ("", "bytea") else ""


@contextlib.contextmanager
def _postgres(source: str) -> Iterator[Any]:
    import adbc_driver_postgresql.dbapi

    with adbc_driver_postgresql.dbapi.connect(source) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        yield cursor


def _is_numeric(column: pa.Field) -> bool:
    return bool(column.metadata) and column.metadata.get(b"POSTGRESQL:type") == b"numeric"


@contextlib.contextmanager
def _sqlite(path: Path) -> Iterator[Any]:
    import adbc_driver_sqlite.dbapi

    with adbc_driver_sqlite.dbapi.connect(_read_only(path)) as connection, connection.cursor() as cursor:
        yield cursor


def _read_only(path: Path) -> str:
    return f"{path.resolve().as_uri()}?mode=ro"


def _sqlite_rows(cursor: Any, path: Path, query: str, advance: Callable[[int], None]) -> Rows:
    """Streams with the types that all rows fit: the driver would go by the first rows, and fail at a later one."""
    inner = f"(\n{query.strip().rstrip(';')}\n)"
    kinds, reasons = _sqlite_types(path, inner, advance)
    # A first row of the right types, dropped again, tells the driver what the columns are.
    empty = ", ".join(f"{_SQLITE_EMPTY[kind]} AS {identifier(name)}" for name, kind in kinds.items())
    cast = ", ".join(_sqlite_cast(identifier(name), kind) for name, kind in kinds.items())
    cursor.execute(f"SELECT {empty} UNION ALL SELECT {cast} FROM {inner}")
    stream = cursor.fetch_record_batch()
    first = stream.read_next_batch().slice(1)
    rows = pa.RecordBatchReader.from_batches(stream.schema, _valid(itertools.chain([first], stream)))
    return Rows(rows, reasons=reasons)


def _sqlite_cast(column: str, kind: str) -> str:
    cast = f"CAST({column} AS {kind})"
    if kind != "TEXT":
        return cast
    # SQLite writes a real with 15 digits, which may not be all it has.
    return (
        f"CASE WHEN typeof({column}) = 'real' AND CAST({cast} AS REAL) <> {column} THEN printf('%!.17g', {column}) "
        f"ELSE {cast} END"
    )


def _sqlite_types(path: Path, inner: str, advance: Callable[[int], None]) -> tuple[dict[str, str], dict[str, str]]:
    with contextlib.closing(sqlite3.connect(_read_only(path), uri=True)) as connection:
        try:
            names = [item[0] for item in connection.execute(f"SELECT * FROM {inner} LIMIT 0").description]
            if any(re.search(r":\d+$", name) for name in names):  # as SQLite renames a name that comes twice
                names = [item[0] for item in connection.execute(inner.strip("()")).description]
            refuse_clashes(names, f"--query on {str(path)!r}", "Rename one by AS.")
            stored = ", ".join(
                f"coalesce(max({condition.format(identifier(name))}), 0)"
                for name in names
                for condition in _SQLITE_ASKED
            )
            rows, *found = connection.execute(f"SELECT count(*), {stored} FROM {inner}").fetchone()
        except sqlite3.Error as error:
            raise StepError(f"SQLite can't run --query on {str(path)!r}: {error}. Correct it.") from error
    advance(rows)
    asked = zip(*[iter(found)] * len(_SQLITE_ASKED), strict=True)
    kinds, reasons = {}, {}
    for name, (integer, real, text, blob, large) in zip(names, asked, strict=True):
        if blob and (integer or real or text):
            raise StepError(f"Column {name!r} of --query has both blobs and other values. Cast it to one type there.")
        if text and (integer or real):
            print(f"extract: warning: column {name!r} has numbers and text; all become text", file=sys.stderr)
            reasons[name] = "it has numbers and text"
        elif real and large:
            reasons[name] = why.LARGE_AND_FRACTIONS
        as_text = bool(text or (real and large))
        kinds[name] = "BLOB" if blob else "TEXT" if as_text else "REAL" if real else "INTEGER" if integer else "TEXT"
    return kinds, reasons


def _bigquery_clients(project: str) -> tuple[Any, Any]:
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import bigquery, bigquery_storage  # pylint: disable=no-name-in-module

    try:
        return bigquery.Client(project=project), bigquery_storage.BigQueryReadClient()
    except GoogleAuthError as error:
        raise StepError(
            f"No credentials for BigQuery ({error}). Run gcloud auth application-default login, "
            "or give the step a service account."
        ) from error


def _bigquery(project: str, query: str, clients: Callable[[str], tuple[Any, Any]]) -> pa.RecordBatchReader:
    from google.api_core.exceptions import GoogleAPIError

    if not project:
        raise StepError("--source bigquery:// names no project. Give bigquery://PROJECT.")
    client, storage = clients(project)
    try:
        rows = client.query_and_wait(query)
        # One stream keeps the rows in order and bounds what is held in memory.
        batches = iter(rows.to_arrow_iterable(bqstorage_client=storage, max_stream_count=1))
        first = next(batches, None)
    except GoogleAPIError as error:
        raise StepError(f"BigQuery can't run --query in project {project!r}: {error}. Correct it.") from error
    if first is None:
        raise StepError(f"--query on bigquery://{project} gives no rows. Correct it.")
    return pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches))
