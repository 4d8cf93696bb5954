"""Reading examples: which columns there are, what TFDV type each has, and streaming them as Arrow batches."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow_hotfix  # noqa: F401  # pylint: disable=unused-import  # see _PICKLED

from stepkit import examples as layout
from stepkit import uris
from stepkit.errors import StepError

BATCH_ROWS = 1 << 16
CHUNK_ROWS = 1 << 17

# The extension type that pyarrow before 14.0.1 unpickles from a file's schema. With pyarrow_hotfix, which has to be
# imported before any file is opened, it raises a RuntimeError that names the type.
_PICKLED = "arrow.py_extension_type"

# What pyarrow raises when a value can't be had as the type asked for.
_MISFIT = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


@dataclass(frozen=True)
class Part:
    """One row group of a Parquet file: the unit that is read at once.

    Attributes:
        file: a path, or the URI of the file where workers elsewhere read it.
    """

    file: str
    row_group: int
    rows: int


# Parts that follow each other: the unit that is computed at once.
Chunk = Sequence[Part]


@dataclass(frozen=True)
class Split:
    """A split of the examples.

    Attributes:
        parts: what to read, in order.
        columns: column name to Arrow type.
    """

    name: str
    parts: tuple[Part, ...]
    columns: Mapping[str, pa.DataType]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True)
class Misfit:
    """A column that can't be read as the type that the schema says."""

    split: str
    column: str
    kind: str
    reason: str


def open_splits(examples: Path) -> list[Split]:
    """Returns the splits of the examples, the one to train on first, from the footers of their files.

    Raises:
        StepError: the artifact, a file of it or a split's rows are missing, or the files of a split differ in columns.
    """
    names = layout.read_manifest(examples)["splits"]
    if not names:
        raise StepError(f"The examples at {str(examples)!r} have no splits. Run extract again.")
    training = layout.training_split(names)
    splits = [_open_split(examples, name) for name in [training, *(name for name in names if name != training)]]
    for split in splits:
        if not split.rows:
            raise StepError(
                f"The split {split.name!r} of the examples at {str(examples)!r} has no rows, so it has no statistics. "
                "Check the source and the filter, or leave the split out in extract."
            )
    return splits


def _open_split(examples: Path, name: str) -> Split:
    columns: dict[str, pa.DataType] = {}
    parts = []
    first = None
    for file in layout.split_files(examples, name):
        try:
            parquet = pq.ParquetFile(file)
            found = {field.name: field.type for field in parquet.schema_arrow}
        except (pa.ArrowInvalid, OSError) as error:
            raise StepError(f"{str(file)!r} can't be read as Parquet ({error}). Run extract again.") from error
        except RuntimeError as error:
            if _PICKLED not in str(error):
                raise
            raise StepError(
                f"{str(file)!r} has a column of the extension type {_PICKLED!r}, which is Python code that runs when "
                "the file is opened (CVE-2023-47248); none was run. Don't trust the file: find out who wrote it, and "
                "write the column as plain text or numbers."
            ) from error
        if first is None:
            first, columns = file, found
        _same_columns(first, columns, file, found)
        metadata = parquet.metadata
        parts += [
            Part(str(file), group, metadata.row_group(group).num_rows) for group in range(metadata.num_row_groups)
        ]
    return Split(name, tuple(parts), columns)


def _same_columns(first: Path, columns: Mapping[str, Any], file: Path, found: Mapping[str, Any]) -> None:
    for column in [*columns, *found]:
        if columns.get(column) != found.get(column):
            raise StepError(
                f"Column {column!r} is {columns.get(column, 'absent')} in {str(first)!r} but "
                f"{found.get(column, 'absent')} in {str(file)!r}: a split's files must agree. Run extract again."
            )


def kind_of(arrow: pa.DataType) -> str:
    """Returns the TFDV type that a column has by itself: `INT`, `FLOAT` or `BYTES`."""
    if pa.types.is_integer(arrow):
        return "INT"
    if pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        return "FLOAT"
    return "BYTES"


def choose_kinds(split: Split, wanted: Mapping[str, str]) -> tuple[dict[str, str], list[Misfit]]:
    """Decides as which type each column of a split is read.

    Args:
        wanted: column name to the schema's type, where the schema has the column.

    Returns:
        Column name to `INT`, `FLOAT` or `BYTES`: the schema's type if every value fits, else the column's own; and
        the columns whose values don't fit. (TFDV then finds the type unexpected, which makes it an anomaly.)
    """
    kinds = {name: wanted.get(name) or kind_of(arrow) for name, arrow in split.columns.items()}
    doubtful = {name: kind for name, kind in kinds.items() if not _always_fits(split.columns[name], kind)}
    misfits: list[Misfit] = []
    for part in split.parts:
        if not doubtful:
            break
        for batch in _raw_batches(part, list(doubtful)):
            for name, kind in list(doubtful.items()):
                try:
                    layout.to_list_column(batch.column(batch.schema.get_field_index(name)), kind)
                except _MISFIT as error:
                    misfits.append(Misfit(split.name, name, kind, f"{error} (in {part.file!r})"))
                    kinds[name] = kind_of(split.columns[name])
                    del doubtful[name]
    return kinds, misfits


def _always_fits(arrow: pa.DataType, kind: str) -> bool:
    if kind == "INT":
        return pa.types.is_null(arrow) or (pa.types.is_integer(arrow) and not pa.types.is_uint64(arrow))
    if kind == "FLOAT":
        return pa.types.is_null(arrow) or kind_of(arrow) in ("INT", "FLOAT")
    return True


def batches(part: Part, kinds: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Streams a part as TFDV takes it: a `list` column a feature, a null list for a missing value.

    Raises:
        StepError: a column has values that are no number, text or time (lists, structs), or above int64.
    """
    for batch in _raw_batches(part, list(kinds)):
        columns = []
        for name, kind in kinds.items():
            try:
                columns.append(layout.to_list_column(batch.column(batch.schema.get_field_index(name)), kind))
            except _MISFIT as error:
                if pa.types.is_uint64(batch.schema.field(name).type):
                    raise StepError(
                        f"Column {name!r} in {part.file!r} has a number that exceeds signed 64-bit integers: {error}. "
                        f'Cast it in extract: --column-types \'{{"{name}": "VARCHAR"}}\', or DOUBLE.'
                    ) from error
                raise StepError(
                    f"Column {name!r} in {part.file!r} can't be read as {kind}: {error}. "
                    "Only numbers, text, booleans and times have statistics: drop or convert the column in extract."
                ) from error
        yield pa.RecordBatch.from_arrays(columns, names=list(kinds))


def _raw_batches(part: Part, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    try:
        parquet = pq.ParquetFile(_source(part.file))
        yield from parquet.iter_batches(BATCH_ROWS, row_groups=[part.row_group], columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise StepError(f"{part.file!r} is damaged ({str(error).strip()}). Run extract again.") from error


def chunks(parts: Sequence[Part], rows: int = CHUNK_ROWS) -> list[Chunk]:
    """Groups parts into chunks of at least `rows` rows, but for the last."""
    found: list[list[Part]] = []
    for part in parts:
        if not found or sum(before.rows for before in found[-1]) >= rows:
            found.append([])
        found[-1].append(part)
    return list(found)


def _source(file: str) -> Any:
    if not uris.is_remote(file):
        return file
    fs, path = uris.filesystem(file)
    return fs.open(path, "rb")


def declared_uri(executor_input: str) -> str:
    """Returns the URI that KFP's launcher downloaded the examples from; empty where the backend doesn't tell."""
    try:
        return str(json.loads(executor_input)["inputs"]["artifacts"]["examples"]["artifacts"][0]["uri"])
    except (ValueError, KeyError, IndexError, TypeError):  # no KFP, or a backend that leaves the placeholder as it is
        return ""
