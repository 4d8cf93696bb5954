import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import MODULE, TASKS, Step
from train_trees import boosting, dataset
from train_trees.columns import Column
from train_trees.objectives import OF_TASK
from train_trees.parameters import Recipe

from stepkit import digest, model_description
from trainkit import checkpoints, reading
from trainkit.labels import Target
from trainkit.transform_graph import TransformGraph

NAMES = {
    "big_tip": {"loss", "accuracy", "auc"},
    "kind": {"loss", "accuracy"},
    "tags": {"loss", "accuracy"},
    "amount": {"loss", "mae", "rmse"},
}


@pytest.fixture(scope="module", params=TASKS)
def trained(request, examples, graph, tmp_path_factory):
    """A finished run of each task, to look at only."""
    done = Step(examples, graph, tmp_path_factory.mktemp("trained") / "out")
    assert done.run(TASKS[request.param] + MODULE, label_key=request.param) == 0
    return request.param, done


def raw(split: dict[str, np.ndarray], rows: int) -> dict[str, tf.Tensor]:
    return {name: tf.constant(split[name][:rows, np.newaxis]) for name in ("fare", "speed", "company", "stops")}


def test_the_model_answers_without_xgboost_what_its_metrics_say(trained, splits, monkeypatch):
    label, done = trained
    monkeypatch.setitem(sys.modules, "xgboost", None)
    loaded = tf.saved_model.load(str(done.out / "model"))
    assert set(loaded.signatures) == {"serving_default", "serve_raw", "transform_features"}
    described = model_description.read(done.out / "model")
    answers = loaded.signatures["serve_raw"](**raw(splits["eval"], 300))
    found = answers[described.answer].numpy().astype(np.float64)
    assert described.label == label and found.shape == (
        300,
        max(1, len(described.classes)) if label != "big_tip" else 1,
    )
    truth, best = splits["eval"][label], done.metrics()["best"]
    if label == "amount":
        weights = splits["eval"]["rows"]
        errors = found[:, 0] - truth
        loss = np.average(errors**2, weights=weights)
        assert np.average(np.abs(errors), weights=weights) == pytest.approx(best["val_mae"], rel=1e-4)
    elif label == "kind":
        assert answers["classes"].numpy()[0].tolist() == [b"a", b"b", b"c"]
        weights = np.where(truth == "b", 2, 1)
        right = found[np.arange(300), np.searchsorted(["a", "b", "c"], truth)]
        loss = np.average(-np.log(right), weights=weights)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    else:
        loss = -np.mean(np.log(np.where(truth.reshape(found.shape), found, 1 - found)))
    assert loss == pytest.approx(best["val_loss"], rel=1e-4)


def test_metrics_have_the_names_of_kerass(trained):
    label, done = trained
    metrics = done.metrics()
    assert set(metrics["best"]) == NAMES[label] | {f"val_{name}" for name in NAMES[label]}
    assert metrics["epochs"] == len(metrics["history"]["loss"]) == 12
    assert metrics["history"]["loss"][-1] < metrics["history"]["loss"][0]
    assert json.loads((done.out / "best_hyperparameters").read_text()) == {"eta": 0.3, "max_depth": 4}
    assert "Exported trees" in (done.out / "report.html").read_text()


def test_values_that_training_had_not_are_answered(trained):
    _, done = trained
    message = tf.train.Example()
    for name, value in {"fare": 20.0, "speed": float("nan")}.items():
        message.features.feature[name].float_list.value.append(value)
    for name in ("company", "stops"):
        message.features.feature[name].int64_list.value.append(-3)
    answers = tf.saved_model.load(str(done.out / "model")).signatures["serving_default"](
        examples=tf.constant([message.SerializeToString()])
    )
    assert all(np.isfinite(value.numpy()).all() for value in answers.values() if value.dtype.is_floating)


def test_training_stops_early_and_trees_after_the_best_round_are_cut(step, splits):
    eager = MODULE.replace('"eta": 0.3', '"eta": 0.9')
    assert step.run(eager, rounds=60, early_stopping_patience=3) == 0
    metrics = step.metrics()
    assert metrics["stopped_early"] and metrics["epochs"] == metrics["best_epoch"] + 3 < 60
    served = tf.saved_model.load(str(step.out / "model")).signatures["serve_raw"]
    found = served(**raw(splits["eval"], 300))["probabilities"].numpy().ravel().astype(np.float64)
    loss = -np.mean(np.log(np.where(splits["eval"]["big_tip"], found, 1 - found)))
    assert loss == pytest.approx(metrics["best"]["val_loss"], rel=1e-4)
    assert loss != pytest.approx(metrics["last"]["val_loss"], rel=1e-4)


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(step, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(boosting, "SEGMENT_ROUNDS", 3)
    draws = "return dict(hyperparameters, subsample=0.5, colsample_bynode=0.5)"
    drawing = MODULE.replace("return dict(hyperparameters)", draws)
    save, saved = checkpoints.Checkpoints.save, []

    def die_at_the_second(self, kind, content):
        save(self, kind, content)
        saved.append(kind)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            step.run(drawing, checkpoint_uri=tmp_path / "kept")
    assert step.written() == []
    assert step.run(drawing, checkpoint_uri=tmp_path / "kept") == 0
    assert "Resuming after round 6" in capfd.readouterr().out
    whole = Step(step.examples, step.graph, tmp_path / "whole")
    assert whole.run(drawing) == 0
    assert digest.of_tree(step.out) == digest.of_tree(whole.out)
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize("algorithm", ["random", "hyperband"])
def test_search_gives_the_hyperparameters_that_trees_are_grown_with(step, capfd, algorithm):
    assert step.run(tune_trials=2, tune_algorithm=algorithm, rounds=4, hyperparameters='{"eta": 0.25}') == 0
    best = json.loads((step.out / "best_hyperparameters").read_text())
    assert best["eta"] == 0.25 and best["max_depth"] in (2, 3)
    assert sum(line.startswith("trial ") for line in capfd.readouterr().out.splitlines()) == 2
    assert "<h2>Tuning</h2>" in (step.out / "report.html").read_text()


def test_a_split_on_disk_gives_the_trees_of_one_in_memory(examples, graph, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BATCH_ROWS", 100)
    monkeypatch.setattr(dataset, "PIECE_ROWS", 200)
    columns = (Column("company", categorical=True), Column("fare"), Column("speed"), Column("stops"))
    target = Target("big_tip")
    recipe = Recipe({"max_depth": 3}, OF_TASK["binary"][0], columns)
    split = reading.find_split(examples, "train")
    losses = []
    for budget in (1 << 30, 0):
        source = dataset.open_split(split, TransformGraph(graph).transformed_spec, columns, target, budget)
        assert source.on_disk == (budget == 0)
        data = source.matrix(256, tmp_path)
        parameters, metrics = recipe.for_xgboost(target, 1), recipe.objective.metrics
        state, _ = boosting.fit(parameters, metrics, data, data, state=boosting.State(), rounds=5, patience=0)
        losses.append([log["loss"] for log in state.history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert any(tmp_path.rglob("page*"))
