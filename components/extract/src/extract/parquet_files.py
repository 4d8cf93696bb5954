"""Parquet files as a SQL table."""

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from extract import inference, types
from extract.errors import short
from extract.files import SourceFile, same_columns
from extract.inference import Column
from extract.names import refuse_clashes
from extract.sql import identifier, literal
from extract.tables import Table
from stepkit.errors import StepError

_STREAM = "parquet_stream"
_DUCKDB_DIGITS = 38


def table(connection: Any, files: Sequence[SourceFile], column_types: Collection[str]) -> Table:
    """Returns a SELECT over Parquet files.

    Args:
        connection: DuckDB's.
        column_types: the columns whose types are declared, so that files may disagree about them.

    Raises:
        StepError: a file isn't Parquet, has two columns with the same name, or other columns or types than another.
    """
    kinds: dict[str, dict[str, Any]] = {}
    reasons: dict[str, str] = {}
    wide = False
    for file in files:
        try:
            relation = connection.sql(f"SELECT * FROM read_parquet({literal([file.path])}, hive_partitioning=false)")
            wide = _check_footer(connection, file.path) or wide
            reasons.update(_durations(connection, file.path))
        except duckdb.Error as error:
            raise StepError(f"{file.path!r} can't be read as Parquet ({short(error)}). Write it again.") from error
        kinds[file.path] = dict(zip(relation.columns, relation.types, strict=True))
    columns = same_columns({path: tuple(found) for path, found in kinds.items()})
    plain = {
        path: {name: Column(types.plain_type(kind) or str(kind)) for name, kind in found.items()}
        for path, found in kinds.items()
    }
    unified = inference.unify(plain, [name for name in columns if name not in column_types])
    for name, column in unified.items():
        if column.kind == "DOUBLE":
            _refuse_rounding(connection, name, {path: found[name] for path, found in kinds.items()})
    paths = [file.path for file in files]
    if wide:
        connection.register(_STREAM, _stream(paths))
        return Table(f"SELECT * FROM {_STREAM}", reasons, frozenset(reasons), once=True)
    # DuckDB would make one type of several, which may round; text doesn't.
    disagreeing = [name for name in column_types if len({str(found.get(name)) for found in kinds.values()}) > 1]
    parts = {path: _select([path], disagreeing) for path in paths}
    sql = " UNION ALL BY NAME ".join(parts.values()) if disagreeing else _select(paths)
    return Table(sql, reasons, frozenset(reasons), parts=parts)


def _select(paths: Sequence[str], as_text: Sequence[str] = ()) -> str:
    texts = ", ".join(f"CAST({identifier(name)} AS VARCHAR) AS {identifier(name)}" for name in as_text)
    replace = f" REPLACE ({texts})" if texts else ""
    return f"SELECT *{replace} FROM read_parquet({literal(paths)}, union_by_name=true, hive_partitioning=false)"


def _check_footer(connection: Any, path: str) -> bool:
    """Refuses names that clash, which DuckDB renames; returns whether a decimal has more digits than DuckDB's."""
    scan = f"SELECT name, num_children, logical_type, precision FROM parquet_schema({literal([path])})"
    elements = iter(connection.sql(scan).fetchall())
    (_, count, _, _) = next(elements)
    names, wide = [], False
    for _ in range(count):
        name, children, _, precision = next(elements)
        names.append(name)
        wide = wide or (precision or 0) > _DUCKDB_DIGITS
        _skip(elements, children or 0)
    refuse_clashes(names, repr(path), "Rename one where the file is made.")
    return wide


def _skip(elements: Iterator[Any], children: int) -> None:
    for _ in range(children):
        _skip(elements, next(elements)[1] or 0)


def _durations(connection: Any, path: str) -> dict[str, str]:
    """Returns the columns that Arrow wrote as durations, which Parquet has only as whole numbers."""
    scan = f"SELECT value FROM parquet_kv_metadata({literal([path])}) WHERE key = 'ARROW:schema'::BLOB"
    stored = connection.sql(scan).fetchall()
    if not stored:
        return {}
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(stored[0][0])))
    except (ValueError, OSError, pa.ArrowException):  # a note of Arrow's; the file is whole without it
        return {}
    return {field.name: types.counts(field.type) for field in schema if pa.types.is_duration(field.type)}


def _refuse_rounding(connection: Any, name: str, kinds: Mapping[str, Any]) -> None:
    """Refuses files that disagree if numbers would be rounded to doubles because other files have doubles.

    Args:
        kinds: file to the column's DuckDB type there.
    """
    if not any(kind.id in ("float", "double") for kind in kinds.values()):
        return
    for path, kind in kinds.items():
        if kind.id in ("float", "double", "null"):
            continue
        column = identifier(name)
        kept = types.fitting(column, kind)[0][1] if kind.id == "decimal" else "true"
        if types.plain_type(kind) == "BIGINT":
            kept = f"{column} BETWEEN -{inference.EXACT} AND {inference.EXACT}"
        scan = f"SELECT bool_and({kept}) FROM read_parquet({literal([path])}, hive_partitioning=false)"
        if connection.sql(scan).fetchall()[0][0] is False:
            raise StepError(
                f"Column {name!r} is {kind} in {path!r} with numbers that a double would round, and a double in "
                f'another file. Give all files one type, or say {{"{name}": "VARCHAR"}} in --column-types.'
            )


def _stream(paths: Sequence[str]) -> pa.RecordBatchReader:
    """Reads Parquet by Arrow, whose decimals have up to 76 digits: DuckDB would make them doubles."""
    schema, *_ = types.acceptable(_open(paths[0]).schema_arrow)

    def batches() -> Iterator[pa.RecordBatch]:
        for path in paths:
            file = _open(path)
            _, convert, _ = types.acceptable(file.schema_arrow)
            for batch in file.iter_batches():
                yield convert(batch).select(schema.names).cast(schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _open(path: str) -> pq.ParquetFile:
    return pq.ParquetFile(fsspec.open(path, "rb").open())  # pylint: disable=no-member  # a path gives one file
