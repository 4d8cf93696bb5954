"""The step: source to rows, rows to splits, splits to files."""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract import selection, splits
from extract.shards import ShardWriter
from extract.sources import open_source
from extract.sql import engine, identifier
from extract.streaming import stream
from stepkit import examples, progress
from stepkit.errors import StepError
from stepkit.outputs import Outputs

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported


def run(args: argparse.Namespace, bigquery: Callable[[str], tuple[Any, Any]] | None = None) -> None:
    """Extracts as the command line says (see `extract.cli.build_parser`).

    Args:
        bigquery: see `extract.databases.open_query`.

    Raises:
        StepError: the source, the selection or the splits are wrong.
    """
    if args.rows_per_shard < 1:
        raise StepError(f"--rows-per-shard is {args.rows_per_shard}. Give at least 1.")
    splits.check(args.split_by, args.splits, args.split_key)
    with Outputs(args.executor_input) as outputs, engine() as connection, contextlib.ExitStack() as stack:
        with progress.bar("Inferring types") as advance:
            source = open_source(stack, connection, args, advance, bigquery)
        described = stack.enter_context(ThreadPoolExecutor(1)).submit(source.describe)
        sql = selection.build(connection, args)
        folder = outputs.directory(args.examples)
        with progress.bar("Extracting") as advance:
            rows = read(connection, sql, args.split_key, advance)
            writers = write(rows, list(args.splits), folder, args.rows_per_shard)
        check(writers, args)
        manifest = {
            "columns": [{"name": field.name, "type": str(field.type)} for field in rows[0]][:-1],
            "splits": {writer.split: writer.entry() for writer in writers},
            "source": {**described.result(), **_settings(args)},
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        (folder / examples.MANIFEST).write_text(text, encoding="utf-8")
        outputs.file(args.manifest).write_text(text, encoding="utf-8")
        counts = {writer.split: writer.rows for writer in writers}
        outputs.metadata("examples", {"rows": sum(counts.values()), "splits": counts})
        outputs.parameter(args.row_count, sum(counts.values()))


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "query": args.query,
        "columns": args.columns,
        "where": args.where,
        "null_values": args.null_values,
        "column_types": args.column_types,
        "split": {"by": args.split_by, "key": args.split_key, "splits": args.splits},
        "rows_per_shard": args.rows_per_shard,
    }


def read(
    connection: Any, sql: str, split_key: str, advance: Callable[[int], None]
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Runs a SELECT and returns its schema and a stream of its rows, in order.

    Raises:
        StepError: a value can't be read, or a row has no split (its `split_key` is null); while streaming, too.
    """
    schema, stored = stream(connection, sql)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stored:
            if batch.column(batch.num_columns - 1).null_count:
                raise StepError(
                    f"A row has no value in --split-key {split_key!r}. Leave such rows out: "
                    f"--where '{identifier(split_key)} IS NOT NULL'."
                )
            advance(batch.num_rows)
            yield batch

    return schema, batches()


def write(
    rows: tuple[pa.Schema, Iterator[pa.RecordBatch]], names: Sequence[str], folder: Path, rows_per_shard: int
) -> list[ShardWriter]:
    """Writes each row to its split.

    Args:
        rows: schema and batches; the last column is the index into `names`.
        names: the splits.

    Returns:
        The splits' writers, finished.
    """
    schema = pa.schema(list(rows[0])[:-1])
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(ShardWriter(folder, name, schema, rows_per_shard)) for name in names]
        for batch in rows[1]:
            index = batch.column(batch.num_columns - 1)
            values = pa.RecordBatch.from_arrays(batch.columns[:-1], schema=schema)
            for number, writer in enumerate(writers):
                writer.add(values.filter(pc.equal(index, pa.scalar(number, pa.uint8()))))
        for writer in writers:
            writer.finish()
    return writers


def check(writers: Sequence[ShardWriter], args: argparse.Namespace) -> None:
    """Refuses empty splits and columns that are all null together; warns of one that is.

    Raises:
        StepError: as said.
    """
    total = sum(writer.rows for writer in writers)
    if not total:
        cause = f"--where {args.where!r} keeps none" if args.where.strip() else "the source has none"
        raise StepError(f"No rows: {cause}. Correct it.")
    for writer in writers:
        if not writer.rows:
            given = splits.describe(args.split_by, args.splits, writer.split)
            raise StepError(
                f"Split {writer.split!r} is empty: {given}, and there are {total} rows. "
                "Change --splits or --split-key, or extract more rows."
            )
    names = list(writers[0].nulls)
    empty = [name for name in names if sum(writer.nulls[name] for writer in writers) == total]
    if len(empty) == len(names):
        raise StepError("All columns are null in every row. Check --null-values and the source.")
    for name in empty:
        kind = writers[0].schema.field(name).type
        print(f"extract: warning: column {name!r} is null in every row; it is kept, as {kind}", file=sys.stderr)
