"""The step: source to rows, rows to splits, splits to files."""

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from stepkit import examples, progress
from stepkit.errors import StepError
from stepkit.outputs import Outputs

from extract import selection, splits
from extract.errors import reading
from extract.shards import ShardWriter
from extract.sources import open_source
from extract.sql import engine

_BATCH_ROWS = 32_768


def run(args: argparse.Namespace) -> None:
    """Extracts as the command line says (see `extract.cli.build_parser`).

    Raises:
        StepError: the source, the selection or the splits are wrong.
    """
    if args.rows_per_shard < 1:
        raise StepError(f"--rows-per-shard is {args.rows_per_shard}. Give at least 1.")
    splits.check_names(args.splits)
    splits.check_shares(args.splits)
    with Outputs(args.executor_input) as outputs, engine() as connection, ThreadPoolExecutor(1) as background:
        with progress.bar("Inferring types") as advance:
            source = open_source(connection, args, advance)
        described = background.submit(source.describe)
        select = selection.build(connection, args)
        folder = outputs.directory(args.examples)
        with progress.bar("Extracting") as advance:
            columns, written = write(read(connection, select.sql, advance), list(args.splits), folder, args.rows_per_shard)
        for name, entry in written.items():
            if not entry["rows"]:
                raise StepError(f"Split {name!r} is empty")
        manifest = {
            "columns": columns,
            "splits": written,
            "source": {
                **described.result(),
                "query": args.query,
                "where": args.where,
                "split": {"by": args.split_by, "key": args.split_key, "splits": args.splits},
            },
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        (folder / examples.MANIFEST).write_text(text, encoding="utf-8")
        outputs.file(args.manifest).write_text(text, encoding="utf-8")
        outputs.parameter(args.row_count, sum(entry["rows"] for entry in written.values()))


def read(connection: Any, sql: str, advance: Callable[[int], None]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Runs a SELECT and returns its schema and a stream of its rows, in order."""
    with reading():
        reader = connection.sql(sql).to_arrow_reader(_BATCH_ROWS)

    def batches() -> Iterator[pa.RecordBatch]:
        while True:
            with reading():
                batch = next(reader, None)
            if batch is None:
                return
            advance(batch.num_rows)
            yield batch

    return reader.schema, batches()


def write(
    rows: tuple[pa.Schema, Iterator[pa.RecordBatch]], names: Sequence[str], folder: Path, rows_per_shard: int
) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Writes each row to its split.

    Args:
        rows: schema and batches; the last column is the index into `names`.
        names: the splits.

    Returns:
        The manifest's `columns` and `splits`.
    """
    schema = pa.schema(list(rows[0])[:-1])
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(ShardWriter(folder, name, schema, rows_per_shard)) for name in names]
        for batch in rows[1]:
            index = batch.column(batch.num_columns - 1)
            values = pa.RecordBatch.from_arrays(batch.columns[:-1], schema=schema)
            for number, writer in enumerate(writers):
                writer.add(values.filter(pc.equal(index, pa.scalar(number, pa.uint8()))))
        entries = {name: writer.finish() for name, writer in zip(names, writers, strict=True)}
    return [{"name": field.name, "type": str(field.type)} for field in schema], entries
