"""Exported trees take every row to the leaf that XGBoost takes it to."""

import numpy as np
import pytest
import tensorflow as tf
import xgboost
from conftest import CATEGORIES
from train_trees import columns, ensemble, exported
from train_trees.columns import Column
from train_trees.objectives import OF_TASK
from train_trees.parameters import Recipe

from stepkit import tasks
from stepkit.errors import StepError
from trainkit.labels import Target

COLUMNS = (Column("company", categorical=True), Column("fare"), Column("speed"), Column("stops"))
ROUNDS, TAKEN = 8, 6
LARGEST = float(np.finfo(np.float32).max)  # XGBoost's DMatrix refuses infinity itself; no threshold is between
CASES = [(task, each.name) for task, several in OF_TASK.items() for each in several]


def values_of(columns_of_split: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([columns_of_split[each.name] for each in COLUMNS], 1).astype(np.float32)


def odd_values() -> np.ndarray:
    """Returns every combination of what a served model may get and training has not."""
    companies = [0, 31, 32, CATEGORIES - 1, CATEGORIES, 9999, 2**24, -1, -70, np.nan]
    numbers = [np.nan, LARGEST, -LARGEST, -0.0, 20.0]
    grid = np.meshgrid(companies, numbers, numbers, [np.nan, -9, 3], indexing="ij")
    return np.stack([each.ravel() for each in grid], 1).astype(np.float32)


def label_of(task: str, split: dict[str, np.ndarray]) -> np.ndarray:
    return {
        tasks.BINARY: split["big_tip"],
        tasks.MULTICLASS: np.searchsorted(["a", "b", "c"], split["kind"]),
        tasks.MULTILABEL: split["tags"],
        tasks.REGRESSION: split["amount"] + 1000,  # a base that sums would lose digits beside
    }[task]


@pytest.fixture(scope="module", params=CASES, ids=[name for _, name in CASES])
def grown(request, splits):
    task, name = request.param
    classes = {tasks.MULTICLASS: ("a", "b", "c"), tasks.MULTILABEL: ("x", "y", "z")}.get(task, ())
    target = Target("label", task, classes)
    objective = next(each for each in OF_TASK[task] if each.name == name)
    recipe = Recipe({"eta": 0.3, "max_depth": 5, "max_cat_to_onehot": 2}, objective, COLUMNS)
    data = matrix(values_of(splits["train"]), label_of(task, splits["train"]))
    booster = xgboost.train(recipe.for_xgboost(target, 1), data, ROUNDS)
    return booster, exported.of_booster(booster, TAKEN, recipe, target.outputs), recipe


def matrix(values: np.ndarray, label: np.ndarray | None = None) -> xgboost.DMatrix:
    types = columns.feature_types(COLUMNS)
    return xgboost.DMatrix(values, label, feature_types=types, enable_categorical=True)


@pytest.fixture(scope="module")
def asked(splits) -> np.ndarray:
    return np.concatenate([values_of(splits["eval"]), odd_values()])


def test_leaves_are_xgboosts(grown, asked):
    booster, model, _ = grown
    expected = booster.predict(matrix(asked), pred_leaf=True, iteration_range=(0, TAKEN)).reshape(len(asked), -1)
    np.testing.assert_array_equal(model.walk.local_leaves(tf.constant(asked)).numpy(), expected)
    assert len(np.unique(expected)) > 10  # trees that have split


def test_infinite_values_go_where_the_largest_do(grown, asked):
    _, model, _ = grown
    infinite = np.where(np.abs(asked) == LARGEST, np.copysign(np.float32(np.inf), asked), asked)
    assert np.isinf(infinite).any()
    found, expected = (model.walk.local_leaves(tf.constant(values)).numpy() for values in (infinite, asked))
    np.testing.assert_array_equal(found, expected)


def test_answers_are_xgboosts(grown, asked):
    booster, model, recipe = grown
    expected = booster.predict(matrix(asked), iteration_range=(0, TAKEN)).reshape(len(asked), -1)
    found = model.walk.answer(tf.constant(asked)).numpy()
    if recipe.objective.activation in ("sigmoid", "softmax"):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    exported.check(model, booster, TAKEN, recipe, asked)
    with pytest.raises(StepError, match="answer otherwise than XGBoost"):
        exported.check(model, booster, ROUNDS, recipe, asked)


def test_categories_are_split_into_sets(grown):
    _, model, _ = grown
    assert (model.ensemble.width > 1).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"booster": "dart"}, "booster is 'dart'"), ({"multi_strategy": "multi_output_tree"}, "vectors as leaves")],
)
def test_models_that_are_not_exported(splits, change, message):
    data = xgboost.DMatrix(values_of(splits["train"])[:, 1:], splits["train"]["tags"])
    booster = xgboost.train({"objective": "binary:logistic", "tree_method": "hist", **change}, data, 2)
    with pytest.raises(StepError, match=message):
        ensemble.parse(bytes(booster.save_raw("json")), 2, np.log, 3)
