"""The step: source to rows, rows to splits, splits to files."""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract import selection, splits
from extract.rounding import WholeDoubles
from extract.shards import ShardWriter
from extract.sources import open_source
from extract.sql import engine, identifier
from extract.streaming import stream
from extract.tables import Table
from stepkit import examples, progress
from stepkit.errors import StepError
from stepkit.outputs import Outputs

# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

_CSV = ("delimiter", "decimal", "quote", "escape", "comment", "encoding", "header", "column_names")


def run(args: argparse.Namespace, bigquery: Callable[[str], tuple[Any, Any]] | None = None) -> None:
    """Extracts as the command line says (see `extract.cli.build_parser`).

    Args:
        bigquery: see `extract.databases.open_query`.

    Raises:
        StepError: the source, the selection or the splits are wrong.
    """
    check_parameters(args)
    args = _canonical(args)
    with Outputs(args.executor_input) as outputs, engine() as connection, contextlib.ExitStack() as stack:
        with progress.bar("Inferring types") as advance:
            source = open_source(stack, connection, args, advance, bigquery)
        described = stack.enter_context(ThreadPoolExecutor(1)).submit(source.describe)
        selected = selection.build(connection, args, source.table.once)
        folder = outputs.directory(args.examples)
        with progress.bar("Extracting") as advance:
            rows = read(connection, selected.sql, args.split_key, advance, source.table.places)
            writers = write(rows, list(args.splits), folder, args.rows_per_shard)
        check(writers, args)
        notes = tell(writers[0].schema, source.table, selected)
        manifest = {
            "columns": [{"name": field.name, "type": str(field.type)} for field in rows[0]][:-1],
            "notes": notes,
            "splits": {writer.split: writer.entry() for writer in writers},
            "source": {**described.result(), **_settings(args)},
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        (folder / examples.MANIFEST).write_text(text, encoding="utf-8")
        outputs.file(args.manifest).write_text(text, encoding="utf-8")
        counts = {writer.split: writer.rows for writer in writers}
        outputs.metadata("examples", {"rows": sum(counts.values()), "splits": counts})
        outputs.parameter(args.row_count, sum(counts.values()))


def check_parameters(args: argparse.Namespace) -> None:
    """Checks what can be checked before anything is read.

    Raises:
        StepError, UsageError: parameters are wrong, or don't go together.
    """
    if args.rows_per_shard < 1:
        raise StepError(f"--rows-per-shard is {args.rows_per_shard}. Give at least 1.")
    splits.check(args.split_by, args.splits, args.split_key)


def _canonical(args: argparse.Namespace) -> argparse.Namespace:
    """Returns the command line with its JSON objects in an order of their own, which no backend changes."""
    return argparse.Namespace(
        **{
            **vars(args),
            "splits": splits.in_order(args.split_by, args.splits),
            "column_types": dict(sorted(args.column_types.items())),
        }
    )


def tell(schema: pa.Schema, table: Table, selected: selection.Selection) -> dict[str, str]:
    """Returns why columns are text, or another type than one might expect; logs what may surprise.

    Args:
        schema: of the examples.
        table: what the source's reader says.
        selected: what the types of the selected columns say.
    """
    found = {**table.reasons, **selected.reasons}
    notes = {name: found[name] for name in schema.names if name in found}
    for name, note in notes.items():
        if name in table.noted | selected.noted:
            print(f"extract: column {name!r} is {schema.field(name).type}: {note}", file=sys.stderr)
    return notes


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "query": args.query,
        "columns": args.columns,
        "where": args.where,
        "null_values": args.null_values,
        "column_types": args.column_types,
        "csv": {name: getattr(args, name) for name in _CSV},
        "split": {"by": args.split_by, "key": args.split_key, "splits": args.splits},
        "rows_per_shard": args.rows_per_shard,
    }


def read(
    connection: Any,
    sql: str,
    split_key: str,
    advance: Callable[[int], None],
    places: Mapping[str, str] | None = None,
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Runs a SELECT and returns its schema and a stream of its rows, in order.

    Raises:
        StepError: a value can't be read, or a row has no split (its `split_key` is null); while streaming, too.
    """
    schema, stored = stream(connection, sql, places)

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
    doubles = WholeDoubles(schema)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(ShardWriter(folder, name, schema, rows_per_shard)) for name in names]
        for batch in rows[1]:
            index = batch.column(batch.num_columns - 1)
            values = pa.RecordBatch.from_arrays(batch.columns[:-1], schema=schema)
            doubles.add(values)
            for number, writer in enumerate(writers):
                writer.add(values.filter(pc.equal(index, pa.scalar(number, pa.uint8()))))
        for writer in writers:
            writer.finish()
    for name in doubles.names():
        print(
            f"extract: warning: column {name!r} is of whole numbers beyond 2^53 as double, and numbers near each other "
            "may have become the same. Store them as integers or text in the source if they are identifiers",
            file=sys.stderr,
        )
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
