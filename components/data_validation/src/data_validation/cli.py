"""The command line of data_validation."""

import argparse
from collections.abc import Sequence

from stepkit import cli


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser: one flag an input or output of component.yaml."""
    parser = argparse.ArgumentParser(
        prog="data_validation",
        description="Computes TFDV statistics, takes or infers a schema, and reports anomalies, skew and drift.",
    )
    inputs = parser.add_argument_group("inputs")
    inputs.add_argument("--examples", required=True, help="examples as extract writes them: a folder")
    inputs.add_argument(
        "--schema-text",
        default="",
        help="schema to check against, as text proto; empty (and no --schema-uri): inferred from the split train",
    )
    inputs.add_argument("--schema-uri", default="", help="where to read that schema instead")
    inputs.add_argument(
        "--baseline-statistics-uri",
        default="",
        help="statistics of an earlier run, for drift; empty or not there: no drift check",
    )
    inputs.add_argument(
        "--serving-statistics-uri",
        default="",
        help="statistics of serving data, for training/serving skew; empty: no skew check",
    )
    inputs.add_argument(
        "--drift-threshold",
        type=float,
        default=0.0,
        help="distance (L-infinity for text, Jensen-Shannon for numbers) past which a feature has drifted, where the "
        "schema sets no comparator; 0: only those it sets",
    )
    inputs.add_argument("--skew-threshold", type=float, default=0.0, help="the same for training/serving skew")
    inputs.add_argument(
        "--environments",
        type=cli.json_object,
        default={},
        help='JSON object of split to the schema environment that it is checked in, e.g. {"train": "TRAINING"}',
    )
    inputs.add_argument(
        "--slices",
        type=cli.json_array,
        default=[],
        help="JSON array of features to slice statistics by: names, or arrays of names to cross, "
        'e.g. ["a", ["a", "b"]]',
    )
    inputs.add_argument(
        "--label-key", default="", help="column to predict: must be there, finite, and not constant; empty: not checked"
    )
    inputs.add_argument(
        "--weight-key", default="", help="column of rows' weights: must be there, finite, and 0 or more; empty: none"
    )
    inputs.add_argument(
        "--on-anomaly",
        choices=("fail", "warn"),
        default="warn",
        help="fail: an anomaly fails the step; warn: it sets valid to false",
    )
    cli.add_beam_args(inputs)
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument("--statistics", required=True, help="statistics of every split and slice: a folder")
    outputs.add_argument("--schema", required=True, help="the schema checked against, as text proto: a file")
    outputs.add_argument("--anomalies", required=True, help="anomalies a split, of skew and of drift: a folder")
    outputs.add_argument("--report", required=True, help="HTML page, readable offline")
    outputs.add_argument("--valid", default="", help="file for true if there are no anomalies and no drift")
    outputs.add_argument(
        "--anomaly-count", default="", help="file for the number of anomalies, skew and drift included"
    )
    outputs.add_argument("--drift-detected", default="", help="file for true if a feature has drifted")
    cli.add_executor_input(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the step; returns its exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), _step, argv, _check)


def _step(args: argparse.Namespace) -> None:
    from data_validation import quiet

    quiet.import_tfdv()
    from data_validation import step  # it and what it imports import TFDV at the top

    step.run(args)


def _check(args: argparse.Namespace) -> None:
    from data_validation import quiet

    quiet.import_tfdv()
    from data_validation import step  # as above

    step.check_parameters(args)
