"""What a label or a weight can't be is said before training, with the column, the class and the remedy."""

import types

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from train import dataset, trial_batch

from stepkit.errors import StepError
from trainkit import labels, reading
from trainkit.labels import Target
from trainkit.reading import Split

KINDS = {"text": tf.string, "whole": tf.int64, "number": tf.float32}
THREE = Target("y", "multiclass", ("a", "b", "c"))


def spec(kind="whole", shape=(1,), weight=True):
    found = {"x": tf.io.FixedLenFeature([1], tf.float32), "y": tf.io.FixedLenFeature(list(shape), KINDS[kind])}
    return {**found, "w": tf.io.FixedLenFeature([1], tf.float32)} if weight else found


@pytest.fixture(name="found")
def fixture_found(monkeypatch):
    """Finds the target of a module for rows of a split, without files."""

    def find(values, kind="whole", shape=(1,), **declared):
        schema = reading.arrow_schema({"y": spec(kind, shape)["y"]})
        block = pa.record_batch([pa.array(values, schema.field("y").type)], schema=schema)
        monkeypatch.setattr(reading, "read", lambda split, spec: (each for each in [("file", block)]))
        module = types.ModuleType("module")
        vars(module).update(declared)
        split = Split("train", "parquet", (), (len(values),), "")
        return labels.find_target(module, split, spec(kind, shape), "y")

    return find


def opened(monkeypatch, target, values, kind="whole", shape=(1,), weights=None):
    given = spec(kind, shape)
    schema = reading.arrow_schema(given)
    rows = [[0.5] * len(values), values, weights or [1.0] * len(values)]
    columns = [pa.array(column, field.type) for column, field in zip(rows, schema, strict=True)]
    block = pa.record_batch(columns, schema=schema)
    monkeypatch.setattr(reading, "read", lambda split, spec: iter([("part-0", block)]))
    return dataset.open_split(Split("train", "parquet", (), (len(values),), ""), given, target)


@pytest.mark.parametrize(
    ("values", "kind", "task", "classes"),
    [
        ([1, 0, 0], "whole", "binary", (0, 1)),
        ([1.0, 0.0], "number", "binary", (0, 1)),
        ([7, 3], "whole", "binary", (3, 7)),
        ([b"yes", b"no"], "text", "binary", ("no", "yes")),
        (["é".encode(), b"b", b"a"], "text", "multiclass", ("a", "b", "é")),
        ([10, 9, 2], "whole", "multiclass", (2, 9, 10)),
        ([2.0, 1.0], "number", "multiclass", (1, 2)),
        ([1.5, 2.5], "number", "regression", ()),
    ],
)
def test_classes_are_those_of_the_data_sorted(found, values, kind, task, classes):
    assert found(values, kind, TASK=task).classes == classes


def test_classes_of_several_a_row_are_numbered_or_named(found):
    assert found([[0, 1]], shape=(2,), TASK="multilabel").classes == ("0", "1")
    assert found([[0, 1]], shape=(2,), TASK="multilabel", CLASSES=["a", "b"]).classes == ("a", "b")


@pytest.mark.parametrize(
    ("values", "kind", "shape", "declared", "message"),
    [
        ([1], "whole", (1,), {"TASK": "multi"}, "TASK is 'multi'"),
        ([b"a"], "text", (1,), {"TASK": "regression"}, "'y' is text, but TASK is 'regression'"),
        ([0.5, 1.0], "number", (1,), {}, "'y' has 0.5.*declare TASK = 'regression'"),
        ([1, 2, 3], "whole", (1,), {}, "more than 2 distinct.*too many for TASK 'binary'.*'multiclass'"),
        (list(range(60)), "whole", (1,), {"TASK": "multiclass"}, "too many for TASK 'multiclass'.*'regression'"),
        ([b"a", b""], "text", (1,), {"TASK": "multiclass"}, "'y' is missing .empty. in 1 examples"),
        ([b"a", b"a"], "text", (1,), {}, "'y' is a in every example of split 'train'"),
        ([b"\xff", b"a"], "text", (1,), {}, "'y' isn't UTF-8"),
        ([1, 0], "whole", (1,), {"CLASSES": ["a", "b"]}, "'y' is numbers, but CLASSES names 'a'"),
        (
            [[1, 0, 0]],
            "whole",
            (3,),
            {"TASK": "multilabel", "CLASSES": ["a", "b"]},
            "has 3 columns, but CLASSES names 2",
        ),
        ([[1, 0]], "whole", (2,), {}, "isn't one value a row"),
        ([1, 0], "whole", (1,), {"WEIGHT": "v"}, "called 'v' .WEIGHT of the module"),
        ([1, 0], "whole", (1,), {"WEIGHT": "y"}, "WEIGHT is 'y', which is the label"),
        ([1, 0], "whole", (1,), {"CLASS_WEIGHTS": {2: 1.0}}, "names 2, which is no class"),
        ([1, 0], "whole", (1,), {"CLASS_WEIGHTS": {1: -1}}, "the class 1 the weight -1"),
        ([1, 0], "whole", (1,), {"CLASS_WEIGHTS": [1]}, "Make it a dict"),
        ([1.5, 0], "number", (1,), {"TASK": "regression", "CLASS_WEIGHTS": {1: 1}}, "a row has no class of its own"),
    ],
)
def test_labels_that_do_not_fit_the_declaration(found, values, kind, shape, declared, message):
    with pytest.raises(StepError, match=message):
        found(values, kind, shape, **declared)


def test_labels_become_indices_and_weights_are_multiplied(monkeypatch):
    target = Target("y", "multiclass", ("a", "b", "c"), "w", (1.0, 10.0, 1.0))
    source = opened(monkeypatch, target, [b"c", b"b"], "text", weights=[2.0, 3.0])
    ((features, label, weights),) = source.batches()
    assert list(features) == ["x"] and label.dtype == tf.int64
    assert label.numpy().tolist() == [[2], [1]] and weights.numpy().tolist() == [2.0, 30.0]


def test_two_numbers_keep_their_type(monkeypatch):
    ((_, label),) = opened(monkeypatch, Target("y", classes=(3, 7)), [7.0, 3.0], "number").batches()
    assert label.dtype == tf.float32 and label.numpy().tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    ("target", "values", "kind", "weights", "message"),
    [
        (
            THREE,
            [b"a", b"d"],
            "text",
            None,
            "'y' has the class 'd' in 1 examples of 'part-0' .split 'train'.*'a', 'b', 'c'",
        ),
        (THREE, [b"a", b"a"], "text", None, "'y' is a in every example"),
        (Target("y", "regression", ()), [1.0, 1.0], "number", None, "'y' is 1.0 in every example"),
        (Target("y", "regression", ()), [1.0, np.inf], "number", None, "'y' is NaN or infinite in 1 examples"),
        (Target("y", weight="w"), [1, 0], "whole", [1.0, -2.0], "'w' is negative, NaN or infinite in 1 .*-2.0"),
        (Target("y", weight="w"), [1, 0], "whole", [1.0, np.nan], "'w' is negative, NaN or infinite in 1 "),
        (Target("y", weight="w"), [1, 0], "whole", [0.0, 0.0], "'w' makes every example of split 'train' count 0"),
        (Target("y", class_weights=(0.0, 0.0)), [1, 0], "whole", None, "CLASS_WEIGHTS makes every example"),
    ],
)
def test_values_that_can_not_be_trained_on(monkeypatch, target, values, kind, weights, message):
    with pytest.raises(StepError, match=message):
        opened(monkeypatch, target, values, kind, weights=weights)


def test_several_labels_a_row_are_zero_and_one(monkeypatch):
    target = Target("y", "multilabel", ("a", "b"))
    with pytest.raises(StepError, match="'y' has 2 for the class 'b'.*takes 0 and 1"):
        opened(monkeypatch, target, [[0, 1], [1, 2]], shape=(2,))
    assert opened(monkeypatch, target, [[0, 1], [0, 0]], shape=(2,)).seen == {1}


def test_a_class_that_only_the_second_split_has():
    with pytest.raises(StepError, match="'y' has the class 'c' in split 'eval', but not in split 'train'"):
        labels.check_eval(THREE, ("train", {0, 1}), ("eval", {1, 2}))
    labels.check_eval(THREE, ("train", {0, 1}), ("eval", {1}))


@pytest.mark.parametrize(
    ("target", "output", "message"),
    [
        (Target("y"), [[0.5, 0.5]], r"gives \[rows, 2\].*needs \[rows, 1\].*'multiclass'"),
        (Target("y"), [[-3.0]], "probabilities.*sigmoid"),
        (THREE, [[0.5, 0.5]], r"needs \[rows, 3\], a score for each of the classes 'a', 'b', 'c'"),
        (THREE, [[0.5, 0.5, 0.5]], "sum to 1.5, not to 1.*softmax"),
        (Target("y", "multilabel", ("a", "b")), [[0.5, 1.5]], "probabilities"),
        (Target("y", "regression", ()), [[0.5, 1.5]], r"needs \[rows, 1\]. End the model with Dense\(1\)"),
    ],
)
def test_answers_that_do_not_fit_the_task(target, output, message):
    with pytest.raises(StepError, match=message):
        trial_batch.check_outputs(np.array(output), 1, target)


def test_answers_that_fit_the_task():
    trial_batch.check_outputs(np.array([[0.2], [1.0]]), 2, Target("y"))
    trial_batch.check_outputs(np.array([0.2, np.nan]), 2, Target("y"))
    trial_batch.check_outputs(np.array([[0.2, 0.3, 0.5]]), 1, THREE)
    trial_batch.check_outputs(np.array([[-7.0]]), 1, Target("y", "regression", ()))
