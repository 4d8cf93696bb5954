"""The layout of Examples artifacts, as `extract` writes and later steps read them.

    <examples>/manifest.json
    <examples>/<split>/part-00000.parquet ...

`manifest.json` holds `columns` ([{name, type}], Arrow type names), `splits` ({split: {rows, bytes, files: [{path, rows,
bytes, sha256}]}}, paths relative to the artifact) and `source` (what was read, and how it was split).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepkit.errors import StepError, near_misses

MANIFEST = "manifest.json"
TRAIN = "train"


def read_manifest(examples: Path) -> dict[str, Any]:
    """Reads `manifest.json`; its splits come in the order of their names, whoever wrote them in whichever order.

    Raises:
        StepError: it isn't there, isn't JSON or is no manifest.
    """
    path = examples / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StepError(
            f"{str(examples)!r} is no Examples artifact: it has no {MANIFEST}. Give extract's output."
        ) from error
    except ValueError as error:
        raise StepError(f"{str(path)!r} isn't valid JSON ({error}). Run extract again.") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("splits"), dict):
        raise StepError(f"{str(path)!r} is no manifest of examples: it has no splits. Run extract again.")
    manifest["splits"] = {name: manifest["splits"][name] for name in sorted(manifest["splits"])}
    return manifest


def training_split(splits: Iterable[str]) -> str:
    """Returns the split that stands for the data a model learns from: `train`, or else the first by name."""
    return min(splits, key=lambda name: (name != TRAIN, name))


def split_files(examples: Path, split: str) -> list[Path]:
    """Returns the Parquet files of `split`, in order.

    Raises:
        StepError: there is no such split, or a file that the manifest names is missing.
    """
    splits = read_manifest(examples)["splits"]
    if split not in splits:
        raise StepError(f"The examples have no split {split!r}. {near_misses(split, splits)}")
    files = [examples / file["path"] for file in splits[split]["files"]]
    for file in files:
        if not file.is_file():
            raise StepError(f"{str(file)!r} is named in the manifest but missing. Run extract again.")
    return files


def read_batches(
    files: Sequence[Path], types: Mapping[str, str], batch_rows: int = 8192, keep: Sequence[str] = ()
) -> Iterator[Any]:
    """Streams Parquet files as Arrow record batches in the form that TFX libraries take.

    Args:
        files: Parquet files with the same columns.
        types: feature name to schema type: `INT`, `FLOAT` or `BYTES`. Other columns are dropped.
        batch_rows: most rows a batch has.
        keep: columns to add as they are stored, under the name `raw:<column>`.

    Yields:
        pyarrow.RecordBatch: one `list<int64 | float | binary>` column a feature, one value a row; a null value is a
        null list, which is how TFX represents a missing one.

    Raises:
        StepError: a file is damaged, a feature's column is missing or its values don't fit the type; names the file
            and the column.
    """
    import pyarrow as pa  # pylint: disable=import-outside-toplevel,import-error

    for file in files:
        for batch in read_stored(file, [*types, *keep], batch_rows, "the schema"):
            columns = {}
            for name, kind in types.items():
                try:
                    columns[name] = to_list_column(batch.column(batch.schema.get_field_index(name)), kind)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                    raise StepError(
                        f"Column {name!r} in {str(file)!r} isn't {kind} as the schema says: {error}."
                    ) from error
            for name in keep:
                columns[f"raw:{name}"] = batch.column(batch.schema.get_field_index(name))
            yield pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def read_stored(file: Path, columns: Sequence[str], batch_rows: int, wanted_by: str) -> Iterator[Any]:
    """Streams columns of a Parquet file as they are stored, each once.

    Args:
        columns: their names.
        batch_rows: most rows a batch has.
        wanted_by: whose columns they are, for errors ("the schema").

    Yields:
        pyarrow.RecordBatch.

    Raises:
        StepError: the file is damaged, or a column is missing.
    """
    import pyarrow as pa  # pylint: disable=import-outside-toplevel,import-error
    import pyarrow.parquet as pq  # pylint: disable=import-outside-toplevel,import-error

    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise StepError(f"{str(file)!r} can't be read as Parquet ({error}). Run extract again.") from error
    present = parquet.schema_arrow.names
    for name in columns:
        if name not in present:
            raise StepError(f"Column {name!r} of {wanted_by} isn't in {str(file)!r}. {near_misses(name, present)}")
    yield from _readable(parquet.iter_batches(batch_size=batch_rows, columns=list(dict.fromkeys(columns))), file)


def _readable(batches: Iterator[Any], file: Path) -> Iterator[Any]:
    """Passes on what is read; a damaged page is found only here, after the footer was fine."""
    import pyarrow as pa  # pylint: disable=import-outside-toplevel,import-error

    try:
        yield from batches
    except (pa.ArrowException, OSError) as error:
        raise StepError(f"{str(file)!r} can't be read as Parquet ({error}). Run extract again.") from error


def to_list_column(column: Any, kind: str) -> Any:
    """Turns a flat Arrow column into `list<value>` with a null list for a null value.

    Args:
        column: pyarrow.Array of numbers, booleans, times or text.
        kind: `INT`, `FLOAT` or `BYTES`. Times and booleans become text as ISO 8601, `true` and `false` for BYTES.
    """
    import pyarrow as pa  # pylint: disable=import-outside-toplevel,import-error
    import pyarrow.compute as pc  # pylint: disable=import-outside-toplevel,import-error

    values = to_flat_column(column, kind)
    valid = pc.cast(pc.is_valid(values), pa.int32())
    starts = pc.cumulative_sum(valid) if len(valid) else valid
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), starts.cast(pa.int32())])
    if values.null_count:
        # A null at an offset marks a null list; the offsets need not then be given for it.
        mask = pa.concat_arrays([pc.is_null(values), pa.array([False])])
        offsets = pc.if_else(mask, pa.scalar(None, pa.int32()), offsets)
        values = values.drop_null()
    return pa.ListArray.from_arrays(offsets, values)


def to_flat_column(column: Any, kind: str) -> Any:
    """Turns a flat Arrow column into int64, float32 or binary, as all of TFX reads it.

    Args:
        column, kind: as in `to_list_column`.
    """
    import pyarrow as pa  # pylint: disable=import-outside-toplevel,import-error

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind == "BYTES":
        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
            column = _as_text(column)
        return column.cast(pa.binary())
    return column.cast({"INT": pa.int64(), "FLOAT": pa.float32()}[kind], safe=kind == "INT")


def _as_text(column: Any) -> Any:
    """Casts each distinct value once: formatting a time takes a microsecond."""
    import pyarrow as pa  # pylint: disable=import-outside-toplevel,import-error

    if not pa.types.is_temporal(column.type):
        return column.cast(pa.string())
    coded = column.dictionary_encode()
    return coded.dictionary.cast(pa.string()).take(coded.indices)
