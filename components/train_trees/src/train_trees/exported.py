"""Trees as they are exported, and the check that they answer as XGBoost does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import xgboost

from stepkit.errors import StepError
from train_trees import columns, ensemble, walking
from train_trees.objectives import EXPONENTIAL, IDENTITY, SIGMOID, SOFTMAX
from train_trees.parameters import Recipe
from trainkit.scorer import Scorer

# Sums of floats of 32 bits in another order.
_TOLERANCE = 1e-4
_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    EXPONENTIAL: tf.exp,
    IDENTITY: tf.identity,
    SIGMOID: tf.sigmoid,
    SOFTMAX: tf.nn.softmax,
}


@dataclass(frozen=True)
class ExportedTrees:
    """A model's trees, as arrays and as operations."""

    ensemble: ensemble.Ensemble
    walk: walking.Walk
    scorer: Scorer


def of_booster(booster: xgboost.Booster, rounds: int, recipe: Recipe, outputs: int) -> ExportedTrees:
    """Returns the first rounds of what was trained.

    Raises:
        StepError: see `ensemble.parse`.
    """
    objective = recipe.objective
    trees = ensemble.parse(bytes(booster.save_raw("json")), rounds, objective.margin, outputs)
    walk = walking.Walk(trees, _ACTIVATIONS[objective.activation])
    return ExportedTrees(trees, walk, walking.scorer(walk, recipe.columns))


def check(model: ExportedTrees, booster: xgboost.Booster, rounds: int, recipe: Recipe, values: np.ndarray) -> None:
    """Checks that trees answer as XGBoost does: its format isn't ours.

    Args:
        values: float32 [rows, columns].

    Raises:
        StepError: they don't.
    """
    matrix = xgboost.DMatrix(values, feature_types=columns.feature_types(recipe.columns), enable_categorical=True)
    expected = booster.predict(matrix, iteration_range=(0, rounds)).reshape(len(values), -1)
    found = model.walk.answer(tf.constant(values)).numpy()
    if not np.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        worst = np.abs(found - expected).max()
        raise StepError(
            f"The exported trees answer otherwise than XGBoost {xgboost.__version__} does, by up to {worst:.3g}. This "
            "is a fault of train_trees: report it with the module's tree_parameters."
        )
