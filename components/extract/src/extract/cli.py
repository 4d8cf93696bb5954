"""The command line."""

import argparse
from collections.abc import Sequence

from stepkit import cli

FORMATS = ("auto", "csv", "jsonl", "parquet", "tfrecord", "sql")


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser with every input and output of `component.yaml`."""
    parser = argparse.ArgumentParser(
        prog="extract", description="Reads a source, splits its rows, and writes sharded Parquet with a manifest."
    )
    parser.add_argument(
        "--source",
        required=True,
        help="paths or globs separated by commas (local, gs://, s3://), or a database: sqlite:///FILE, "
        "postgresql://USER@HOST/NAME, bigquery://PROJECT",
    )
    parser.add_argument("--format", choices=FORMATS, default="auto", help="auto goes by the files' endings")
    parser.add_argument(
        "--query", default="", help="SQL to read from; required with a database. Over files, the table is named source"
    )
    parser.add_argument(
        "--columns", type=cli.json_array, default=[], help="columns to keep, in this order; [] keeps all"
    )
    parser.add_argument("--where", default="", help="SQL condition for the rows to keep")
    parser.add_argument(
        "--null-values",
        type=cli.json_array,
        default=[""],
        help='CSV texts that stand for a missing value, e.g. ["", "NA"]',
    )
    _add_csv(parser)
    parser.add_argument(
        "--column-types",
        type=cli.json_object,
        default={},
        help='column to SQL type where the inferred one is wrong, e.g. {"zip": "VARCHAR"}',
    )
    parser.add_argument("--split-by", choices=("hash", "time"), default="hash", help="what decides a row's split")
    parser.add_argument(
        "--splits",
        type=cli.json_object,
        default={"train": 4, "eval": 1, "test": 1},
        help='split to its share, e.g. {"train": 4, "eval": 1, "test": 1}, or, by time, to where it ends, exclusively, '
        'e.g. {"train": "2013-09-01", "eval": "2013-11-01", "test": "rest"}; null means rest',
    )
    parser.add_argument(
        "--split-key", default="", help="column whose value decides the split; empty: the hash of the whole row"
    )
    parser.add_argument("--rows-per-shard", type=cli.integer, default=1_000_000, help="most rows a Parquet file has")
    parser.add_argument("--examples", required=True, help="output folder: SPLIT/part-NNNNN.parquet and manifest.json")
    parser.add_argument("--manifest", required=True, help="output file: the manifest alone")
    parser.add_argument("--row-count", default="", help="output parameter: rows written in all splits together")
    cli.add_executor_input(parser)
    return parser


def _add_csv(parser: argparse.ArgumentParser) -> None:
    """Adds how CSV files are written."""
    parser.add_argument(
        "--delimiter", default="", help="character between CSV values; empty: the one that fits the rows of all files"
    )
    parser.add_argument("--decimal", default=".", help="decimal point of CSV numbers: . or ,")
    parser.add_argument("--quote", default='"', help="character around CSV values; empty: none")
    parser.add_argument(
        "--escape", default="", help="character that takes the next as it is in CSV; empty: a quote is doubled"
    )
    parser.add_argument("--comment", default="", help="character that starts a line to skip in CSV; empty: none")
    parser.add_argument("--encoding", default="utf-8", help="encoding of CSV files, e.g. cp1252 or utf-16")
    parser.add_argument(
        "--header", type=cli.boolean, default=True, help="whether the first CSV row has the columns' names"
    )
    parser.add_argument(
        "--column-names", type=cli.json_array, default=[], help="names of the CSV columns, instead of the header's"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the step and returns its exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), _step, argv, _check)


def _step(args: argparse.Namespace) -> None:
    from extract import step

    step.run(args)


def _check(args: argparse.Namespace) -> None:
    from extract import step

    step.check_parameters(args)
