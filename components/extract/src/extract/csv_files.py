"""CSV files as a SQL table."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract import csv_rows, dialect, inference, packed, spool
from extract.dialect import Dialect
from extract.files import SourceFile, same_columns
from extract.inference import Column
from extract.sql import identifier, literal
from extract.streaming import stream
from extract.tables import Table
from stepkit.errors import StepError

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

_SAMPLE_LINES = 400
_SAMPLE_CHARACTERS = 2**20
_NAMELESS = "no name, at the end"
_REWRITTEN = Dialect(delimiter=",")


@dataclass(frozen=True)
class _Sample:
    """The first lines of a file, without comments.

    Attributes:
        endings: what ends the first of them.
        whole: there are no others.
    """

    text: str
    endings: str
    whole: bool


@dataclass(frozen=True)
class Layout:
    """How DuckDB must read a file.

    Attributes:
        path: of the file that is read, perhaps written anew for DuckDB.
        dialect: of that file.
        columns: their names, in its order; the last may be '', which is no column if it has no values.
        newline: `\\r\\n` if that ends lines, else '': DuckDB sees for itself.
        parallel: False where newlines in quotes keep threads from finding where rows start.
    """

    path: str
    dialect: Dialect
    columns: tuple[str, ...]
    newline: str = ""
    parallel: bool = True

    def named(self) -> tuple[str, ...]:
        """Returns the columns that have names."""
        return self.columns[:-1] if self.columns[-1] == "" else self.columns


def table(
    connection: Any,
    files: Sequence[SourceFile],
    wanted: Dialect,
    null_values: Sequence[str],
    column_types: Mapping[str, str],
    advance: Callable[[int], None],
) -> Table:
    """Returns a SELECT over CSV files, having read every value once to know the types.

    Args:
        connection: DuckDB's.
        wanted: what the command line says of how the files are written.
        null_values: texts that stand for a missing value.
        column_types: column to SQL type, where it isn't to be inferred.
        advance: called with the number of rows read.

    Raises:
        StepError: a file has no header or no rows, another file's columns, a ragged row, an unclosed quote, bytes that
            aren't in its encoding, several delimiters that fit, or a column of another type than in another file.
    """
    for file in files:
        packed.verify(file.path)
    layouts = _layouts([file.path for file in files], wanted)
    columns = same_columns({path: layout.named() for path, layout in layouts.items()})
    types: dict[str, dict[str, Column]] = {}
    for number, (path, layout) in enumerate(list(layouts.items())):
        reader = _Reader(connection, path, null_values, column_types, advance)
        layouts[path], types[path] = reader.read(layout, spool.folder(connection) / f"rewritten-{number}.csv")
    inferred = inference.unify(types, [name for name in columns if name not in column_types])
    kinds = {name: "VARCHAR" if column.kind == "NULL" else column.kind for name, column in inferred.items()}
    reasons = {name: column.reason for name, column in inferred.items() if column.reason}
    noted = frozenset(name for name, column in inferred.items() if column.lookalike)
    places = {layout.path: path for path, layout in layouts.items() if layout.path != path}

    def place(path: str, number: int) -> str:
        if path in places:
            return f"row {number}"
        layout = next(each for each in layouts.values() if each.path == path)
        return f"line {csv_rows.line_of(path, layout.dialect, len(layout.columns), number)}"

    parts = {layout.path: _select([layout], columns, kinds, null_values) for layout in layouts.values()}
    selected = _select(list(layouts.values()), columns, kinds, null_values)
    return Table(selected, reasons, noted, places, parts=parts, decimal=wanted.decimal, place=place)


def _select(
    layouts: Sequence[Layout], columns: Sequence[str], kinds: Mapping[str, str], null_values: Sequence[str]
) -> str:
    selected = ", ".join(map(identifier, columns))
    if len({replace(layout, path="") for layout in layouts}) == 1:
        return f"SELECT {selected} FROM {_scan([layout.path for layout in layouts], layouts[0], kinds, null_values)}"
    return " UNION ALL ".join(
        f"SELECT {selected} FROM {_scan([layout.path], layout, kinds, null_values)}" for layout in layouts
    )


def _layouts(paths: Sequence[str], wanted: Dialect) -> dict[str, Layout]:
    samples = {path: _sample(path, wanted) for path in paths}
    delimiter = wanted.delimiter or dialect.find_delimiter(
        {path: (sample.text, sample.whole) for path, sample in samples.items()}, wanted
    )
    found = replace(wanted, delimiter=delimiter)
    return {path: _layout(path, sample, found) for path, sample in samples.items()}


def _sample(path: str, wanted: Dialect) -> _Sample:
    """Reads a file's first lines.

    Raises:
        StepError: it can't be read, or its first line isn't in its encoding.
    """
    lines = csv_rows.Lines(path, wanted)
    taken: list[str] = []
    size = 0
    try:
        for line in lines:
            if len(taken) == _SAMPLE_LINES or size > _SAMPLE_CHARACTERS:
                return _Sample("".join(taken), taken[0], False)
            taken.append(line)
            size += len(line)
    except UnicodeError as error:
        if not taken:
            raise StepError(
                f"{path!r}, line 1: the header isn't {wanted.encoding.upper()} text. Say which encoding it is by "
                "--encoding, e.g. cp1252, latin-1 or utf-16."
            ) from error
        return _Sample("".join(taken), taken[0], False)
    except (OSError, EOFError) as error:
        raise StepError(f"{path!r} can't be read ({error}). Check its permissions and that it is whole.") from error
    return _Sample("".join(taken), taken[0] if taken else "", True)


def _layout(path: str, sample: _Sample, found: Dialect) -> Layout:
    rows = dialect.first_rows(sample.text, found)
    if not rows or (sample.text[0] in "\r\n" and not found.comment):
        raise StepError(
            f"{path!r} has no header: its first line is blank. Put the columns' names there, or say --header false "
            "and --column-names."
        )
    row, below = rows[0], rows[min(1, len(rows) - 1)]
    if row[0].startswith("#") and len(row) < len(below) and not found.comment:
        raise StepError(
            f"{path!r}, line 1: it starts with '#' and has {len(row)} values, the next {len(below)}. If such lines are "
            "comments, say --comment '#'."
        )
    newline = "\r\n" if sample.endings.endswith("\r\n") else ""
    return Layout(path, found, dialect.header(path, row, found), newline)


@dataclass(frozen=True)
class _Reader:
    """Finds the types of a file's columns, and how DuckDB must read it.

    Attributes: see `table`; `path` is the file's own, for messages.
    """

    connection: Any
    path: str
    null_values: Sequence[str]
    column_types: Mapping[str, str]
    advance: Callable[[int], None]

    def read(self, layout: Layout, rewritten: Path) -> tuple[Layout, dict[str, Column]]:
        """Returns the layout by which the file can be read, and its columns; writes it to `rewritten` if need be."""
        if layout.dialect.plain():
            try:
                return layout, self._types(layout)
            except StepError:
                problem, plain_ends = csv_rows.find_problem(self.path, layout.dialect, len(layout.columns))
                if problem:
                    raise problem from None
            if plain_ends:
                try:
                    layout = replace(layout, parallel=False)
                    return layout, self._types(layout)
                except StepError:
                    pass
        with rewritten.open("w", encoding="utf-8", newline="") as stream_:
            writer = csv.writer(stream_, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(layout.columns)
            writer.writerows(csv_rows.read(self.path, layout.dialect, len(layout.columns)))
        dialect_ = replace(_REWRITTEN, decimal=layout.dialect.decimal)
        layout = Layout(str(rewritten), dialect_, layout.columns, parallel=False)
        return layout, self._types(layout)

    def _refuse_header(self, names: Sequence[str], batch: pa.RecordBatch, rows: int) -> None:
        """Refuses a row that repeats the header, as files have that were joined; one column may well have its name."""
        if len(names) < 2:
            return
        found = pc.equal(batch.column(0), names[0])
        for index in pc.indices_nonzero(found).to_pylist() if pc.any(found).as_py() else ():
            if [column[index].as_py() for column in batch.columns] == list(names):
                raise StepError(
                    f"{self.path!r} has its header again in row {rows + index + 1}, as files have that were joined: "
                    "names of columns would be values. Remove that line."
                )

    def _types(self, layout: Layout) -> dict[str, Column]:
        names = [name or _NAMELESS for name in layout.columns]
        known = dict.fromkeys(names, Column())
        rows = 0
        scan = _scan([layout.path], layout, dict.fromkeys(names, "VARCHAR"), self.null_values)
        for batch in stream(self.connection, f"SELECT * FROM {scan}", {layout.path: self.path})[1]:
            if layout.dialect.header:
                self._refuse_header(names, batch, rows)
            for name, texts in zip(names, batch.columns, strict=True):
                if name not in self.column_types:
                    known[name] = inference.learn(known[name], texts, layout.dialect.decimal)
            rows += batch.num_rows
            self.advance(batch.num_rows)
        if not rows:
            raise StepError(f"{self.path!r} has a header but no rows. Remove it, or write it again.")
        if known.pop(_NAMELESS, Column()).kind != "NULL":
            raise StepError(
                f"Column {len(names)} of {self.path!r} has no name in the header. Name it, or give --column-names."
            )
        return known


def _scan(paths: Sequence[str], layout: Layout, kinds: Mapping[str, str], null_values: Sequence[str]) -> str:
    columns = {name or _NAMELESS: kinds.get(name or _NAMELESS, "VARCHAR") for name in layout.columns}
    how = layout.dialect
    newline = f"new_line={literal(layout.newline)}, " if layout.newline else ""
    comma = f"decimal_separator={literal(how.decimal)}, " if how.decimal != "." else ""
    return (
        f"read_csv({literal(list(paths))}, auto_detect=false, header={literal(how.header)}, "
        f"delim={literal(how.delimiter)}, quote={literal(how.quote)}, escape={literal(how.quote)}, {newline}{comma}"
        f"nullstr={literal(list(null_values))}, columns={literal(columns)}, parallel={literal(layout.parallel)}, "
        "hive_partitioning=false)"
    )
