"""JSON Lines files as a SQL table."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import fsspec

from extract import inference
from extract.errors import explain
from extract.files import SourceFile
from extract.sql import identifier, literal
from stepkit.errors import StepError

_KINDS = {"NULL": "NULL", "BOOLEAN": "BOOLEAN", "UBIGINT": "BIGINT", "BIGINT": "BIGINT", "DOUBLE": "DOUBLE"}


def table(
    connection: Any, files: Sequence[SourceFile], column_types: Mapping[str, str], advance: Callable[[int], None]
) -> str:
    """Returns a SELECT over JSON Lines files, having read every line once to know the types.

    A key that is absent is a null. Objects and arrays come as STRUCT and lists, for a query to take apart.

    Args:
        connection: DuckDB's.
        column_types: column to SQL type, where it isn't to be inferred.
        advance: called with the number of rows read.

    Raises:
        StepError: a line isn't a JSON object, or a key's values are of different types.
    """
    types = {file.path: _infer(connection, file.path, column_types, advance) for file in files}
    columns = list(dict.fromkeys(name for kinds in types.values() for name in kinds))
    inferred = inference.unify(types, [name for name in columns if name not in column_types])
    inferred = {name: "VARCHAR" if kind == "NULL" else kind for name, kind in inferred.items()}
    kinds = {name: column_types.get(name) or inferred[name] for name in columns}
    paths = [file.path for file in files]
    return (
        f"SELECT * FROM read_json({literal(paths)}, format='newline_delimited', columns={literal(kinds)}, "
        "hive_partitioning=false)"
    )


def _infer(
    connection: Any, path: str, column_types: Mapping[str, str], advance: Callable[[int], None]
) -> dict[str, str]:
    scan = f"SELECT count(*), json_group_structure(json) FROM read_ndjson_objects({literal([path])})"
    try:
        rows, text = connection.sql(scan).fetchall()[0]
    except duckdb.Error as error:
        raise _bad_line(path) or explain(f"{error} (in {path})") from error
    if not rows:
        raise StepError(f"{path!r} has no rows. Remove it, or write it again.")
    advance(rows)
    structure = json.loads(text)
    if not isinstance(structure, dict):
        raise _bad_line(path) or StepError(f"{path!r} has lines that aren't JSON objects. Write one object a line.")
    seen: dict[str, str] = {}
    for name in structure:
        if name.lower() in seen:
            raise StepError(
                f"{path!r} has the keys {seen[name.lower()]!r} and {name!r}, which SQL takes for the same. Rename one."
            )
        seen[name.lower()] = name
        if structure[name] == "JSON" and name not in column_types:
            raise _changing(path, name)
    return {name: "VARCHAR" if name in column_types else _sql_type(kind) for name, kind in structure.items()}


def _sql_type(structure: Any) -> str:
    if isinstance(structure, list):
        return f"{_sql_type(structure[0])}[]"
    if isinstance(structure, dict):
        fields = ", ".join(f"{identifier(name)} {_sql_type(kind)}" for name, kind in structure.items())
        return f"STRUCT({fields})"
    return _KINDS.get(structure, "VARCHAR")


def _bad_line(path: str) -> StepError | None:
    for number, line in _lines(path):
        try:
            value = json.loads(line)
        except UnicodeDecodeError:
            return StepError(f"{path!r}, line {number}: the bytes aren't UTF-8 text. Save the file as UTF-8.")
        except ValueError as error:
            return StepError(f"{path!r}, line {number}: not JSON ({error}). Correct it: each line is one JSON object.")
        if not isinstance(value, dict):
            return StepError(
                f"{path!r}, line {number}: {type(value).__name__}, not an object. Write one object a line."
            )
    return None


def _changing(path: str, name: str) -> StepError:
    kinds: dict[str, int] = {}
    for number, line in _lines(path):
        value = json.loads(line).get(name)
        if value is not None:
            kinds.setdefault("number" if type(value) in (int, float) else type(value).__name__, number)
    found = ", ".join(f"{kind} in line {number}" for kind, number in list(kinds.items())[:3])
    return StepError(
        f"Column {name!r} changes its type in {path!r}: {found}. "
        f'Correct the file, or say which it is by --column-types, e.g. {{"{name}": "VARCHAR"}}.'
    )


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    with fsspec.open(path, "rb", compression="infer") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, line
