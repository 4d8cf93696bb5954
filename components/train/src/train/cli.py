"""Command line of the train component."""

import argparse
from collections.abc import Sequence

from stepkit import cli
from trainkit import flags

_LEAST = {"epochs": 1, "batch_size": 1}
_SEEDS = 2**32 - 1  # NumPy takes smaller ones


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of `python -m train`."""
    parser = argparse.ArgumentParser(
        prog="train", description="Trains the pipeline's Keras model, tunes it when asked, and exports a SavedModel."
    )
    inputs = parser.add_argument_group("inputs")
    flags.add_data(inputs)
    cli.add_module(inputs, "build_model(transform, hyperparameters) and, for tuning, hyperparameter_space(hp)")
    flags.add_hyperparameters(inputs, "DEFAULT_HYPERPARAMETERS")
    inputs.add_argument("--epochs", type=cli.integer, default=5, help="most passes over the training split")
    inputs.add_argument("--batch-size", type=cli.integer, default=256, help="examples a step (over all workers)")
    inputs.add_argument(
        "--early-stopping-patience",
        type=cli.integer,
        default=2,
        help="epochs without a better validation loss after which training stops; 0: never",
    )
    flags.add_search(inputs)
    flags.add_outputs(parser, "the model was built with")
    cli.add_executor_input(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the component; returns its exit code (see `stepkit.cli.run`)."""
    return cli.run(build_parser(), _step, argv, _check)


def _step(args: argparse.Namespace) -> None:
    flags.check_numbers(args, _LEAST, _SEEDS)
    from train.step import run

    run(args)


def _check(args: argparse.Namespace) -> None:
    flags.check_numbers(args, _LEAST, _SEEDS)
    from train.checking import check

    check(args)
