"""Command line of the train_trees component."""

import argparse
from collections.abc import Sequence

from stepkit import cli
from trainkit import flags

_LEAST = {"rounds": 1}
_SEEDS = 2**31 - 1  # XGBoost takes smaller ones


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of `python -m train_trees`."""
    parser = argparse.ArgumentParser(
        prog="train_trees",
        description="Trains gradient-boosted trees, tunes them when asked, and exports a SavedModel.",
    )
    inputs = parser.add_argument_group("inputs")
    flags.add_data(inputs)
    cli.add_module(inputs, "tree_parameters(transform, hyperparameters) and, for tuning, tree_hyperparameter_space(hp)")
    flags.add_hyperparameters(inputs, "DEFAULT_TREE_HYPERPARAMETERS")
    inputs.add_argument(
        "--rounds", type=cli.integer, default=300, help="most rounds; each grows a tree, or one a class of several"
    )
    inputs.add_argument(
        "--early-stopping-patience",
        type=cli.integer,
        default=20,
        help="rounds without a better validation loss after which training stops; 0: never",
    )
    flags.add_search(inputs)
    flags.add_outputs(parser, "the trees were grown with")
    cli.add_executor_input(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the component; returns its exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), _step, argv, _check)


def _step(args: argparse.Namespace) -> None:
    flags.check_numbers(args, _LEAST, _SEEDS)
    from train_trees.step import run

    run(args)


def _check(args: argparse.Namespace) -> None:
    flags.check_numbers(args, _LEAST, _SEEDS)
    from train_trees.checking import check

    check(args)
