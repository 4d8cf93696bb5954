"""CSV files as a SQL table."""

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec

from extract import inference
from extract.csv_check import find_problem
from extract.files import SourceFile, same_columns
from extract.sql import identifier, literal, plain_type
from extract.streaming import stream
from stepkit.errors import StepError

_DELIMITERS = ",\t;|"
_HEADER_BYTES = 2**20


@dataclass(frozen=True)
class Header:
    """The first row of a file, and how the rest must be read.

    Attributes:
        delimiter: the first of comma, tab, semicolon and bar that the row has.
        columns: their names.
        parallel: False where newlines in quotes keep threads from finding where rows start.
    """

    delimiter: str
    columns: tuple[str, ...]
    parallel: bool = True


def table(
    connection: Any,
    files: Sequence[SourceFile],
    null_values: Sequence[str],
    column_types: Mapping[str, str],
    advance: Callable[[int], None],
) -> str:
    """Returns a SELECT over CSV files, having read every value once to know the types.

    Args:
        connection: DuckDB's.
        null_values: texts that stand for a missing value.
        column_types: column to SQL type, where it isn't to be inferred.
        advance: called with the number of rows read.

    Raises:
        StepError: a file has no header or no rows, another file's columns, a ragged row, an unclosed quote, bytes that
            aren't UTF-8, or a column of another type than in another file.
    """
    headers = {file.path: read_header(file.path) for file in files}
    columns = same_columns({path: header.columns for path, header in headers.items()})
    types = {}
    for path, header in headers.items():
        headers[path], types[path] = _infer(connection, path, header, null_values, advance)
    for name, kind in column_types.items():
        _refuse_rounding(connection, name, kind, types)
    inferred = inference.unify(types, [name for name in columns if name not in column_types])
    inferred = {name: "VARCHAR" if kind == "NULL" else kind for name, kind in inferred.items()}
    kinds = {**inferred, **{name: kind for name, kind in column_types.items() if name in columns}}
    if len(set(headers.values())) == 1:
        return f"SELECT * FROM {_scan(list(headers), next(iter(headers.values())), kinds, null_values)}"
    selected = ", ".join(map(identifier, columns))
    return " UNION ALL ".join(
        f"SELECT {selected} FROM {_scan([path], header, kinds, null_values)}" for path, header in headers.items()
    )


def read_header(path: str) -> Header:
    """Reads a file's first row.

    Raises:
        StepError: it isn't UTF-8, is blank, or has a column without a name or two with the same.
    """
    try:
        with fsspec.open(path, "rb", compression="infer") as stored:
            head = stored.read(_HEADER_BYTES)
    except (OSError, EOFError) as error:
        raise StepError(f"{path!r} can't be read ({error}). Check its permissions and that it is whole.") from error
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4 and b"\n" not in head[: error.start]:
            raise StepError(f"{path!r}, line 1: the header isn't UTF-8 text. Save the file as UTF-8.") from error
        text = head.decode("utf-8-sig", errors="replace")
    line = text.partition("\n")[0]
    delimiter = next((item for item in _DELIMITERS if item in line), ",")
    row = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    if not row:
        raise StepError(f"{path!r} has no header: its first line is blank. Put the columns' names there.")
    seen: dict[str, str] = {}
    for number, name in enumerate(row, start=1):
        if not name.strip():
            raise StepError(f"Column {number} of {path!r} has no name in the header. Name it.")
        if name.lower() in seen:
            raise StepError(
                f"{path!r} names two columns {seen[name.lower()]!r} and {name!r} in its header "
                "(upper and lower case are alike). Rename one."
            )
        seen[name.lower()] = name
    return Header(delimiter, tuple(row))


def _infer(
    connection: Any, path: str, header: Header, null_values: Sequence[str], advance: Callable[[int], None]
) -> tuple[Header, dict[str, str]]:
    try:
        return header, _read_types(connection, path, header, null_values, advance)
    except StepError:
        if problem := find_problem(path, header.delimiter, len(header.columns)):
            raise problem from None
        header = dataclasses.replace(header, parallel=False)
        return header, _read_types(connection, path, header, null_values, advance)


def _read_types(
    connection: Any, path: str, header: Header, null_values: Sequence[str], advance: Callable[[int], None]
) -> dict[str, str]:
    kinds = dict.fromkeys(header.columns, "NULL")
    rows = 0
    scan = _scan([path], header, dict.fromkeys(header.columns, "VARCHAR"), null_values)
    for batch in stream(connection, f"SELECT * FROM {scan}")[1]:
        rows += batch.num_rows
        advance(batch.num_rows)
        for name, texts in zip(header.columns, batch.columns, strict=True):
            kinds[name] = inference.widen(kinds[name], texts)
    if not rows:
        raise StepError(f"{path!r} has a header but no rows. Remove it, or write it again.")
    return kinds


def _refuse_rounding(connection: Any, name: str, kind: str, types: Mapping[str, Mapping[str, str]]) -> None:
    declared = connection.sql(f"SELECT CAST(NULL AS {kind})").types[0]
    for path, kinds in types.items():
        if plain_type(declared) == "BIGINT" and kinds.get(name) == "DOUBLE":
            raise StepError(
                f"Column {name!r} in {path!r} has fractions, but --column-types says {kind}. "
                "Say DOUBLE, or round it in --query."
            )


def _scan(paths: Sequence[str], header: Header, kinds: Mapping[str, str], null_values: Sequence[str]) -> str:
    columns = {name: kinds[name] for name in header.columns}
    return (
        f"read_csv({literal(list(paths))}, auto_detect=false, header=true, delim={literal(header.delimiter)}, "
        f"quote='\"', escape='\"', nullstr={literal(list(null_values))}, columns={literal(columns)}, "
        f"parallel={literal(header.parallel)}, hive_partitioning=false)"
    )
