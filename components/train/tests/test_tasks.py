"""Each task from its label as it is in the data to a served answer; raw columns of any name."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import odd
import pytest
import tensorflow as tf
from conftest import example
from train import trial_batch

from stepkit import model_description
from trainkit.labels import Target

TASKS = {
    "binary": ("yes", ["no", "yes"], ["probabilities"]),
    "multiclass": ("species", odd.SPECIES, ["classes", "scores"]),
    "multilabel": ("tags", ["0", "1", "2"], ["classes", "scores"]),
    "regression": ("price", [], ["predictions"]),
}
ARGUMENTS = ["hours_per_week", "c_1st", "Fare_EUR_per_km", "a_b_2", "a_b", "A_B", "facts_id_0_", "_q_100_", "_x"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return odd.make(tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="module", params=TASKS)
def trained(request, inputs, tmp_path_factory):
    """A finished run of each task, to look at only: with its task, and what its model says."""
    task = request.param
    more = "WEIGHT = 'counts'" + ("\nCLASS_WEIGHTS = {'Gentoo': 2}" if task == "multiclass" else "")
    done = replace(inputs, out=tmp_path_factory.mktemp(task) / "out")
    assert done.run(odd.module(task, more), label_key=TASKS[task][0], epochs=6, batch_size=16) == 0
    return task, done, tf.saved_model.load(str(done.out / "model")).signatures


def columns(rows):
    """Returns transformed rows as raw columns, with the first value of the second row missing."""
    raw = {name: [0.0] * len(rows) for name in odd.RAW}
    for name, source in odd.MADE.items():
        raw[source] = [row[name] for row in rows]
    raw[odd.RAW[0]][1] = None
    return raw


def test_the_model_says_what_it_is(trained):
    task, done, _ = trained
    label, classes, _ = TASKS[task]
    said = json.loads((done.out / "model" / model_description.FILE).read_text(encoding="utf-8"))
    assert (said["label"], said["task"], said["classes"], said["weight"]) == (label, task, classes, "counts")
    assert said["raw_types"] == dict.fromkeys(odd.RAW, "FLOAT")  # neither the label's column, nor the weight's
    assert said["arguments"] == model_description.arguments(odd.RAW)
    assert model_description.read(done.out / "model").classes == tuple(classes)


def test_raw_columns_and_examples_give_equal_answers(trained):
    task, _, signatures = trained
    rows = odd.rows(4, 9)
    raw = columns(rows)
    arguments = model_description.arguments(odd.RAW)
    assert set(signatures["serve_raw"].structured_input_signature[1]) == set(arguments.values())
    sent = {
        arguments[name]: tf.constant([[np.nan if value is None else value] for value in values], tf.float32)
        for name, values in raw.items()
    }
    examples = [example(**{name: values[row] for name, values in raw.items()}) for row in range(len(rows))]
    answers = [signatures["serve_raw"](**sent), signatures["serving_default"](examples=tf.constant(examples))]
    for answer in answers:
        assert sorted(answer) == TASKS[task][2]
    for name in answers[0]:
        np.testing.assert_array_equal(answers[0][name], answers[1][name])
    if task in ("multiclass", "multilabel"):
        names = [[name.decode() for name in row] for row in answers[0]["classes"].numpy()]
        assert names == [TASKS[task][1]] * 4 and answers[0]["scores"].shape == (4, 3)
    else:
        assert answers[0][TASKS[task][2][0]].shape == (4, 1)


def test_the_answers_are_right(trained):
    task, _, signatures = trained
    rows = odd.rows(60, 5)
    raw = columns(rows)
    examples = [example(**{name: values[row] for name, values in raw.items()}) for row in range(len(rows))]
    answer = signatures["serving_default"](examples=tf.constant(examples))
    kinds = np.array([odd.SPECIES.index(row["species"]) for row in rows])
    if task == "multiclass":
        np.testing.assert_allclose(answer["scores"].numpy().sum(axis=1), 1, atol=1e-5)
        assert np.mean(answer["scores"].numpy().argmax(axis=1) == kinds) > 0.8
    elif task == "binary":
        assert np.mean((answer["probabilities"].numpy()[:, 0] > 0.5) == (kinds == 2)) > 0.8
    elif task == "multilabel":
        assert np.mean((answer["scores"].numpy()[:, :2] > 0.5) == np.stack([kinds == 0, kinds > 0], 1)) > 0.8
    else:
        assert np.corrcoef(answer["predictions"].numpy()[:, 0], kinds)[0, 1] > 0.8


def test_transform_features_keeps_text_and_weight(trained):
    _, _, signatures = trained
    rows = [example(**{"kind of bird": "Adélie", "how many": 2.0, "1st": 3.0}), example(**{"kind of bird": "Gentoo"})]
    made = signatures["transform_features"](examples=tf.constant(rows))
    assert [name.decode() for name in made["species"].numpy().ravel()] == ["Adélie", "Gentoo"]
    assert made["counts"].numpy().ravel().tolist() == [2, 0]
    assert made["1st"].numpy().ravel().tolist() == [3, 0]
    assert set(made) == {*odd.MADE, *odd.LABELS, odd.WIDE}


def test_report_names_task_and_classes(trained):
    task, done, _ = trained
    html = (done.out / "report.html").read_text(encoding="utf-8")
    assert task in html and all(name in html for name in TASKS[task][1]) and "counts" in html


NEVER = "Warning: the model never predicts the {} of the label {!r} in the split"


@pytest.mark.parametrize(
    ("task", "classes", "scores", "seen", "named"),
    [
        ("binary", ("no", "yes"), [0.1, 0.4], {0, 1}, "class 'yes'"),
        ("binary", ("no", "yes"), [0.1, 0.6], {0, 1}, ""),
        ("multiclass", ("a", "b", "c"), [[0.4, 0.3, 0.3]] * 2, {0, 1, 2}, "classes 'b', 'c'"),
        ("multiclass", ("a", "b", "c"), [[0.4, 0.3, 0.3]] * 2, {0, 2}, "class 'c'"),  # none of b is there
        ("multilabel", ("0", "1"), [[0.9, 0.1], [0.6, 0.2]], {0, 1}, "class '1'"),
        ("multilabel", ("0", "1"), [[0.9, 0.1], [0.6, 0.7]], {0, 1}, ""),
        ("regression", (), [1.0, 2.0], set(), ""),
    ],
)
def test_classes_that_are_never_predicted_are_named(task, classes, scores, seen, named):
    model = SimpleNamespace(inputs={}, predict=lambda batches, verbose: np.array(scores))
    source = SimpleNamespace(rows=len(scores), seen=seen, batches=lambda names: None)
    said = []
    trial_batch.never_predicted(model, source, Target("kind", task, classes), said.append)
    assert [line.partition(" that it is")[0] for line in said] == ([NEVER.format(named, "kind")] if named else [])
