"""What can be known before a run: see `trainkit.checking`; here with the pipeline's parameters of trees."""

import argparse
from types import ModuleType
from typing import Any

from train_trees import parameters
from trainkit import checking
from trainkit.labels import Target
from trainkit.transform_graph import Transform


def check(args: argparse.Namespace) -> None:
    """Checks the flags that are given; the others are at their defaults, or None.

    Raises:
        UsageError: the module is given twice.
        StepError: the step would fail.
    """
    checking.check(args, parameters.NAMES, _build)


def _build(module: ModuleType, transform: Transform, hyperparameters: dict[str, Any], target: Target) -> None:
    from train_trees import boosting

    boosting.try_out(parameters.ask(module, transform, hyperparameters, target), target)
