"""What can be known before a run: see `trainkit.checking`; here with the pipeline's parameters of trees."""

import argparse

from train_trees import parameters
from trainkit import checking


def check(args: argparse.Namespace) -> None:
    """Checks the flags that are given; the others are at their defaults, or None.

    Raises:
        UsageError: the module is given twice.
        StepError: the step would fail.
    """
    checking.check(args, parameters.NAMES, parameters.ask)
