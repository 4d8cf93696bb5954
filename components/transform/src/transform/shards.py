"""Which files are read, what they hold, and where their rows go."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stepkit import examples as layout
from stepkit import uris
from stepkit.errors import StepError, near_misses
from transform.raw_schema import RawSchema

SUFFIXES = {
    ("tfrecord", "gzip"): ".tfrecord.gz",
    ("tfrecord", "none"): ".tfrecord",
    ("parquet", "gzip"): ".parquet",
    ("parquet", "none"): ".parquet",
}

# Of a batch.
_MOST_ROWS, _FEWEST_ROWS, _MOST_VALUES = 32768, 1024, 1 << 20


@dataclass(frozen=True)
class Shard:
    """One Parquet file in and one file out, with the same rows in the same order.

    Attributes:
        source: URI of the file.
        target: path of the output, relative to the transformed examples.
        rows: number of rows in both.
        sha256: of the source, by extract's manifest; empty if that has none.
    """

    split: str
    source: str
    target: str
    rows: int
    sha256: str = ""


def plan(examples: str, schema: RawSchema, output_format: str, compression: str) -> dict[str, list[Shard]]:
    """Returns split to its shards, by the manifest, after a look at every file's footer.

    Raises:
        StepError: a file is missing or not Parquet, or lacks a column of the schema.
    """
    with uris.local_copy(uris.join(examples, layout.MANIFEST), "manifest of the examples") as path:
        splits = layout.read_manifest(path.parent)["splits"]
    planned: dict[str, list[Shard]] = {}
    for split, described in splits.items():
        planned[split] = []
        for index, file in enumerate(described["files"]):
            source = uris.join(examples, file["path"])
            footer = _footer(source)
            present = footer.schema.to_arrow_schema().names
            for name in schema.types:
                if name not in present:
                    raise StepError(
                        f"Column {name!r} of the schema isn't in {source!r}. {near_misses(name, present)} "
                        "Correct the schema, or extract the column."
                    )
            target = str(PurePosixPath(split) / f"part-{index:05d}{SUFFIXES[output_format, compression]}")
            planned[split].append(Shard(split, source, target, footer.num_rows, file.get("sha256", "")))
    return planned


def select(planned: Mapping[str, Sequence[Shard]], splits: Sequence[str], schema: RawSchema) -> list[Shard]:
    """Returns the shards of `splits`, to be analysed, after seeing by their footers that there is something in them.

    Raises:
        StepError: there is no such split, or no row in them, or a column whose presence the schema asks for is null in
            all rows.
    """
    for split in splits:
        if split not in planned:
            raise StepError(f"--analyze-splits: the examples have no split {split!r}. {near_misses(split, planned)}")
    shards = [shard for split in dict.fromkeys(splits) for shard in planned[split]]
    named = ", ".join(splits)
    rows = sum(shard.rows for shard in shards)
    if not rows:
        raise StepError(f"There are no rows to analyse in {named}. Give --analyze-splits that have some.")
    nulls: dict[str, int] = {}
    for shard in shards:
        for name, count in _null_counts(_footer(shard.source)):
            nulls[name] = nulls.get(name, 0) + count
    for name in schema.types:
        if name in schema.needed and nulls.get(name, 0) == rows:
            raise StepError(
                f"Column {name!r} has no value in any of the {rows} rows of {named}, but the schema asks for its "
                "presence. Check the source data, or drop the feature from the schema."
            )
    return shards


def read(shard: Shard, schema: RawSchema) -> Iterator[pa.RecordBatch]:
    """Streams a shard as record batches with the schema's features (see `stepkit.examples.read_batches`).

    Raises:
        StepError: a value is missing that must be there, or doesn't fit its type.
    """
    with uris.local_copy(shard.source, "examples file") as path:
        for batch in layout.read_batches([path], schema.types, _batch_rows(schema)):
            for name in schema.dense:
                missing = batch.column(batch.schema.get_field_index(name)).null_count
                if missing:
                    raise StepError(
                        f"Column {name!r} has {missing} missing values in a batch of {batch.num_rows} rows of "
                        f"{shard.source!r}, but the schema gives it a shape, so that every row needs one. "
                        "Remove the shape from the schema, or leave such rows out when extracting."
                    )
            yield batch


def _batch_rows(schema: RawSchema) -> int:
    """Large batches make fixed costs small; a bounded number of values bounds memory for wide data."""
    return max(_FEWEST_ROWS, min(_MOST_ROWS, _MOST_VALUES // max(1, len(schema.types))))


def _footer(uri: str) -> pq.FileMetaData:
    fs, path = uris.filesystem(uri)
    try:
        with fs.open(path, "rb") as stream:
            return pq.ParquetFile(stream).metadata
    except FileNotFoundError as error:
        raise StepError(f"{uri!r} is named in the manifest but missing. Run extract again.") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise StepError(f"{uri!r} can't be read as Parquet ({error}). Run extract again.") from error


def _null_counts(footer: pq.FileMetaData) -> Iterator[tuple[str, int]]:
    for group in range(footer.num_row_groups):
        for column in range(footer.num_columns):
            chunk: Any = footer.row_group(group).column(column)
            statistics = chunk.statistics
            if statistics is not None and statistics.has_null_count:
                yield chunk.path_in_schema, statistics.null_count
