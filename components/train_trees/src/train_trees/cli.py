"""Command line of the train_trees component."""

import argparse
from collections.abc import Sequence

from stepkit import cli
from stepkit.errors import UsageError

ALGORITHMS = ("bayesian", "hyperband", "random")


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of `python -m train_trees`."""
    parser = argparse.ArgumentParser(
        prog="train_trees",
        description="Trains gradient-boosted trees, tunes them when asked, and exports a SavedModel.",
    )
    inputs = parser.add_argument_group("inputs")
    inputs.add_argument("--transformed-examples", required=True, help="folder that transform wrote its examples to")
    inputs.add_argument("--transform-graph", required=True, help="folder that transform wrote its graph to")
    inputs.add_argument("--label-key", required=True, help="transformed feature to predict")
    cli.add_module(inputs, "tree_parameters(transform, hyperparameters) and, for tuning, tree_hyperparameter_space(hp)")
    inputs.add_argument(
        "--hyperparameters",
        type=cli.json_object,
        default={},
        help="JSON object that overrides the module's DEFAULT_TREE_HYPERPARAMETERS; what it names isn't tuned",
    )
    inputs.add_argument(
        "--rounds", type=cli.integer, default=300, help="most rounds; each grows a tree, or one a class of several"
    )
    inputs.add_argument(
        "--early-stopping-patience",
        type=cli.integer,
        default=20,
        help="rounds without a better validation loss after which training stops; 0: never",
    )
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
    outputs = parser.add_argument_group("outputs")
    outputs.add_argument("--model", required=True, help="where to write the SavedModel")
    outputs.add_argument("--best-hyperparameters", required=True, help="where to write those the trees were grown with")
    outputs.add_argument("--tensorboard-logs", required=True, help="where to write event files")
    outputs.add_argument("--report", required=True, help="where to write the HTML report")
    outputs.add_argument("--metrics", required=True, help="where to write last and best metrics as JSON")
    cli.add_executor_input(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the component; returns its exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), _step, argv, _check)


def _step(args: argparse.Namespace) -> None:
    _check_numbers(args)
    from train_trees.step import run

    run(args)


def _check(args: argparse.Namespace) -> None:
    _check_numbers(args)
    from train_trees.checking import check

    check(args)


def _check_numbers(args: argparse.Namespace) -> None:
    for flag, least in {"rounds": 1, "early_stopping_patience": 0, "tune_trials": 0, "seed": 0}.items():
        if getattr(args, flag) < least:
            raise UsageError(f"--{flag.replace('_', '-')} is {getattr(args, flag)}; give {least} or more")
    if args.seed >= 2**31 - 1:
        raise UsageError(f"--seed is {args.seed}; give less than {2**31 - 1}")
