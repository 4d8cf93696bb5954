"""The command line of `evaluate`; what each flag means is in component.yaml too."""

import argparse
import os
from collections.abc import Sequence

from stepkit import cli


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser: one flag an input or output of component.yaml, with its default."""
    parser = argparse.ArgumentParser(
        prog="evaluate", description="Evaluates a model with TFMA, against thresholds and the registry's champion."
    )
    inputs = parser.add_argument_group("inputs")
    inputs.add_argument("--examples", required=True, help="folder of Examples, as extract writes them")
    inputs.add_argument("--schema", required=True, help="schema of the raw features (pbtxt)")
    inputs.add_argument("--model", required=True, help="folder of the SavedModel to evaluate, as train writes it")
    inputs.add_argument("--label-key", required=True, help="transformed feature that the model predicts")
    inputs.add_argument("--eval-split", default="eval", help="split to evaluate on (default: %(default)s)")
    inputs.add_argument(
        "--metrics-config",
        type=cli.json_array,
        default=[],
        help="metrics, a JSON array of class names or objects with class_name, config, name, aggregate, per_class, "
        "top_k; empty: those that fit the task",
    )
    inputs.add_argument(
        "--thresholds",
        type=cli.json_object,
        default={},
        help='name of a metric to its bounds, e.g. {"AUC": {"lower": 0.7, "min_change": -0.01}}; also "upper", '
        '"max_change", and "slices": true to apply them to every slice as well',
    )
    inputs.add_argument(
        "--slices", type=cli.json_array, default=[], help="columns to slice by: names, or arrays of names to cross"
    )
    inputs.add_argument(
        "--min-slice-size",
        type=cli.integer,
        default=100,
        help="slices with fewer examples cannot fail a threshold (default: %(default)s)",
    )
    inputs.add_argument(
        "--confidence-intervals",
        choices=("", "jackknife", "poisson_bootstrap"),
        default="",
        help="how 95%% intervals of all metrics are computed, beside their values; empty: none are",
    )
    inputs.add_argument(
        "--baseline-model-uri", default="", help="SavedModel to compare with; empty: the registry's champion, if any"
    )
    inputs.add_argument("--registry-uri", default="", help="MLflow registry; empty: no champion is looked up")
    inputs.add_argument("--model-name", default="", help="name of the model in the registry")
    inputs.add_argument(
        "--operating-point-target",
        type=cli.json_object,
        default={},
        help='what the threshold of a binary model\'s score has to meet, e.g. {"metric": "precision", "at_least": 0.9, '
        '"maximise": "recall"}; empty: none is chosen',
    )
    inputs.add_argument(
        "--operating-point-split", default="eval", help="split to choose that threshold on (default: %(default)s)"
    )
    inputs.add_argument(
        "--importance-rows",
        type=cli.integer,
        default=0,
        help="rows on which permutation importance of raw columns is measured, at most 10,000; 0: it isn't",
    )
    inputs.add_argument(
        "--gap-metrics",
        type=cli.json_array,
        default=[],
        help="metrics whose gaps between slices are shown; empty: those with a threshold",
    )
    cli.add_module(inputs, "TASK, for --check; the step itself learns it from the model")
    cli.add_beam_args(inputs)
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument("--evaluation", required=True, help="folder: TFMA's results")
    outputs.add_argument("--metrics", required=True, help="JSON file: overall metrics, and the baseline's")
    outputs.add_argument("--classification-metrics", required=True, help="JSON file: ROC curve and confusion matrix")
    outputs.add_argument("--report", required=True, help="HTML file")
    outputs.add_argument("--blessed", default="", help="file: true if every threshold is met")
    outputs.add_argument("--reason", default="", help="file: why, in one line")
    outputs.add_argument(
        "--operating-point",
        default="",
        help="file: JSON of the threshold and what it reaches; {} if none",
    )
    outputs.add_argument("--baseline-version", default="", help="file: version that was compared with; 0: none")
    cli.add_executor_input(parser)
    return parser


def use_keras_2() -> None:
    """Tells TensorFlow, before it is imported, which Keras to take.

    TFMA's metrics are of Keras 2: TensorFlow would import Keras 3 beside it, which takes a second.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the step; returns the exit code (see `stepkit.cli.run`)."""

    def step(args: argparse.Namespace) -> None:
        use_keras_2()
        from evaluate.step import run

        run(args)

    def check(args: argparse.Namespace) -> None:
        use_keras_2()
        from evaluate.checking import check as check_parameters

        check_parameters(args)

    return cli.run(build_parser(), step, argv, check)
