"""Flags that trainers share: one an input or output of their component.yaml."""

import argparse
from collections.abc import Mapping

from stepkit import cli
from stepkit.errors import UsageError

ALGORITHMS = ("bayesian", "hyperband", "random")


def add_data(inputs: argparse._ActionsContainer) -> None:
    """Adds where the data come from, and the label."""
    inputs.add_argument("--transformed-examples", required=True, help="folder that transform wrote its examples to")
    inputs.add_argument("--transform-graph", required=True, help="folder that transform wrote its graph to")
    inputs.add_argument("--label-key", required=True, help="transformed feature to predict")


def add_hyperparameters(inputs: argparse._ActionsContainer, defaults: str) -> None:
    """Adds what overrides the hyperparameters that the module has under the name `defaults`."""
    inputs.add_argument(
        "--hyperparameters",
        type=cli.json_object,
        default={},
        help=f"JSON object that overrides the module's {defaults}; what it names isn't tuned",
    )


def add_search(inputs: argparse._ActionsContainer) -> None:
    """Adds tuning, splits, the seed, and where checkpoints are."""
    inputs.add_argument(
        "--tune-trials", type=cli.integer, default=0, help="Keras Tuner trials before training; 0: none"
    )
    inputs.add_argument("--tune-algorithm", choices=ALGORITHMS, default="bayesian", help="how trials are chosen")
    inputs.add_argument("--train-split", default="train", help="split to train on")
    inputs.add_argument("--eval-split", default="eval", help="split to validate and tune on")
    inputs.add_argument("--seed", type=cli.integer, default=1, help="same seed, same data, same result")
    inputs.add_argument(
        "--checkpoint-uri",
        default="",
        help="folder that survives a restart of the step, for resuming (local, gs://, s3://); "
        "empty: <model>.checkpoints, removed when the step ends",
    )


def add_outputs(parser: argparse.ArgumentParser, trained: str) -> None:
    """Adds the outputs.

    Args:
        trained: what the hyperparameters were for, as the help of `--best-hyperparameters` ends.
    """
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument("--model", required=True, help="where to write the SavedModel")
    outputs.add_argument("--best-hyperparameters", required=True, help=f"where to write those {trained}")
    outputs.add_argument("--tensorboard-logs", required=True, help="where to write event files")
    outputs.add_argument("--report", required=True, help="where to write the HTML report")
    outputs.add_argument("--metrics", required=True, help="where to write last and best metrics as JSON")


def check_numbers(args: argparse.Namespace, least: Mapping[str, int], seeds: int) -> None:
    """Refuses numbers that are too small, and a seed that is too large.

    Args:
        least: argument to the smallest value, of those that only this trainer has.
        seeds: one more than the largest seed.

    Raises:
        UsageError: names the flag.
    """
    shared = {"early_stopping_patience": 0, "tune_trials": 0, "seed": 0}
    for name, smallest in {**least, **shared}.items():
        if getattr(args, name) < smallest:
            raise UsageError(f"--{name.replace('_', '-')} is {getattr(args, name)}; give {smallest} or more")
    if args.seed >= seeds:
        raise UsageError(f"--seed is {args.seed}; give less than {seeds}")
