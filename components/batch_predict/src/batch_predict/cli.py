"""The command line of `batch_predict`; what each flag means is in component.yaml too."""

import argparse
from collections.abc import Sequence

from stepkit import cli

BATCH_ROWS = 8192


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser: one flag an input or output of component.yaml, with its default."""
    parser = argparse.ArgumentParser(
        prog="batch_predict",
        description="Scores examples with a model, as the model server answers, and writes the predictions.",
    )
    parser.add_argument("--examples", required=True, help="output of extract: a folder or URI")
    parser.add_argument("--model", required=True, help="SavedModel, of train or pushed by deploy: a folder or URI")
    parser.add_argument("--splits", type=cli.json_array, default=[], help="splits to score, a JSON array; []: all")
    parser.add_argument(
        "--columns",
        type=cli.json_array,
        default=[],
        help="columns of the examples to carry along, a JSON array; they come before the predictions, in this order",
    )
    parser.add_argument("--prefix", default="", help="what the names of the columns of predictions begin with")
    parser.add_argument(
        "--operating-point",
        type=cli.json_object,
        default={},
        help='output of evaluate, e.g. {"threshold": 0.3}; {}: the one beside the model, else 0.5',
    )
    parser.add_argument(
        "--output-uri",
        default="",
        help="where the predictions go, which must not exist: a folder, FILE.parquet, or "
        "bigquery://PROJECT/DATASET/TABLE; empty: --predictions",
    )
    parser.add_argument(
        "--batch-rows",
        type=cli.integer,
        default=BATCH_ROWS,
        help="rows that the model is asked at a time (default: %(default)s)",
    )
    cli.add_beam_args(parser)
    parser.add_argument(
        "--predictions",
        required=True,
        help="output folder: manifest.json, and the files where there is no --output-uri",
    )
    parser.add_argument("--row-count", default="", help="output file: rows that were scored")
    cli.add_executor_input(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the step; returns the exit code (see `stepkit.cli.run`)."""

    def step(args: argparse.Namespace) -> None:
        from batch_predict.step import run

        run(args)

    def check(args: argparse.Namespace) -> None:
        from batch_predict.step import check as check_parameters

        check_parameters(args)

    return cli.run(build_parser(), step, argv, check)
