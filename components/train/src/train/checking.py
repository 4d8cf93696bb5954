"""What can be known before a run: see `trainkit.checking`; here with the pipeline's model."""

import argparse
import os
from types import ModuleType
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported

# pylint: disable=wrong-import-position
import keras

from train import pipeline_model
from trainkit import checking
from trainkit.labels import Target
from trainkit.transform_graph import Transform


def check(args: argparse.Namespace) -> None:
    """Checks the flags that are given; the others are at their defaults, or None.

    Raises:
        UsageError: the module is given twice.
        StepError: the step would fail.
    """

    def build(module: ModuleType, transform: Transform, hyperparameters: dict[str, Any], target: Target) -> None:
        keras.utils.set_random_seed(args.seed)
        pipeline_model.build(module, transform, hyperparameters, target.withheld)

    checking.check(args, pipeline_model.NAMES, build)
