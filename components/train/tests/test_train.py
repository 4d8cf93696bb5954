import json
import re
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf
from conftest import EVAL_ROWS, MODULE, PYTHON, TRAIN_ROWS, as_parquet, equal, splits, write_examples
from train.cli import build_parser

OUTPUTS = ["best_hyperparameters", "executor_output.json", "metrics.json", "model", "report.html", "tensorboard_logs"]


def test_writes_every_output_and_removes_its_checkpoints(trained):
    assert trained.written() == OUTPUTS
    assert json.loads((trained.out / "best_hyperparameters").read_text()) == {"units": 8, "learning_rate": 0.02}


def test_metrics_have_the_last_and_the_best_epoch(trained):
    metrics = trained.metrics()
    losses = metrics["history"]["val_loss"]
    assert len(losses) == metrics["epochs"] == 3
    assert metrics["best_epoch"] == 1 + losses.index(min(losses))
    assert metrics["best"]["val_loss"] == min(losses) and metrics["last"]["val_loss"] == losses[-1]
    assert metrics["best"]["val_auc"] > 0.75
    assert set(metrics["best"]) == {"loss", "auc", "val_loss", "val_auc"}


def test_metrics_become_kfp_metadata(trained):
    written = json.loads((trained.out / "executor_output.json").read_text())
    metadata = written["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert metadata == {**trained.metrics()["best"], "epochs": 3, "best_epoch": trained.metrics()["best_epoch"]}


def test_report_shows_curves_offline(trained):
    html = (trained.out / "report.html").read_text()
    assert html.count("<svg") == 2  # loss and auc
    assert f"{TRAIN_ROWS:,} to train, {EVAL_ROWS:,} to validate" in html
    assert "learning_rate" in html and "<script" not in html and "src=" not in html and "Tuning" not in html


def test_tensorboard_files_have_the_same_names_in_every_attempt(trained):
    """A retry's files replace those of the attempt before, instead of joining them."""
    logs = trained.out / "tensorboard_logs"
    assert sorted(str(file.relative_to(logs)) for file in logs.rglob("*") if file.is_file()) == [
        "train/events.out.tfevents.1.v2",
        "validation/events.out.tfevents.1.v2",
    ]


def test_tensorboard_logs_have_a_scalar_per_epoch(trained):
    for run in ("train", "validation"):
        (file,) = (trained.out / "tensorboard_logs" / run).iterdir()
        seen = [
            (event.step, value.tag)
            for record in tf.data.TFRecordDataset(str(file))
            for event in [tf.compat.v1.Event.FromString(record.numpy())]
            for value in event.summary.value
        ]
        assert sorted(seen) == [(epoch, tag) for epoch in (1, 2, 3) for tag in ("epoch_auc", "epoch_loss")]


def test_same_seed_same_result_and_another_seed_another(step, trained, tmp_path):
    (tmp_path / "module.py").write_text(MODULE)
    assert step.run("", module_uri=tmp_path / "module.py") == 0  # from a file it is the same module
    assert equal(trained.weights(), step.weights()) and trained.metrics() == step.metrics()
    assert step.run(seed=2) == 0
    assert not equal(trained.weights(), step.weights())


def test_hyperparameters_override_the_modules_and_integers_may_arrive_as_doubles(step):
    assert step.run(hyperparameters='{"units": 3.0}', epochs="1.0", batch_size="64.0") == 0
    assert step.metrics()["epochs"] == 1
    assert json.loads((step.out / "best_hyperparameters").read_text()) == {"units": 3, "learning_rate": 0.02}
    assert any(3 in weights.shape for weights in step.weights())


def test_patience_zero_never_stops(step):
    flat = MODULE.replace('"learning_rate": 0.02', '"learning_rate": 0.3')
    assert step.run(flat, epochs=12, early_stopping_patience=0) == 0
    assert step.metrics()["epochs"] == 12


def test_a_module_without_defaults_takes_any_hyperparameter(step):
    bare = MODULE.replace("DEFAULT_HYPERPARAMETERS =", "SOME =")
    assert step.run(bare, hyperparameters='{"units": 2, "learning_rate": 0.01}', epochs=1) == 0


def test_uncompressed_examples_and_a_single_row_in_the_last_batch(step, tmp_path):
    rows = splits()
    step.examples = write_examples(tmp_path / "plain", {"train": rows["train"][:65], "eval": rows["eval"]}, "none")
    assert step.run() == 0
    assert step.metrics()["epochs"] == 3


def test_parquet_gives_the_model_that_tfrecords_give(step, trained, tmp_path):
    step.examples = as_parquet(step.examples, tmp_path / "parquet")
    assert step.run() == 0
    assert equal(trained.weights(), step.weights()) and trained.metrics() == step.metrics()


def test_model_classes_get_all_features_without_the_label(step):
    module = """
import keras

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, "sigmoid")

    def call(self, features):
        assert set(features) == {"fare", "company", "area", "speed", "stops"}
        return self.dense(features["fare"])

def build_model(transform, hyperparameters):
    model = Own()
    model.compile("sgd", "binary_crossentropy")
    return model
"""
    assert step.run(module, epochs=1) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"epochs": 0}, "--epochs is 0; give 1 or more"),
        ({"batch_size": 0}, "--batch-size is 0; give 1 or more"),
        ({"tune_trials": -1}, "--tune-trials is -1; give 0 or more"),
        ({"early_stopping_patience": -1}, "--early-stopping-patience is -1; give 0 or more"),
        ({"seed": 2**32}, "--seed is 4294967296; give less than"),
        ({"module": "", "module_uri": ""}, "exactly one of --module and --module-uri"),
    ],
)
def test_usage_errors(step, capfd, flags, message):
    assert step.run(**flags) == 2
    assert message in capfd.readouterr().err
    assert step.written() == []


def test_flags_are_those_of_the_spec():
    spec = (Path(__file__).parents[1] / "component.yaml").read_text()
    flags = {line.strip()[2:] for line in spec.splitlines() if line.strip().startswith("- --")}
    assert set(re.findall(r"^ +(--[a-z-]+)", build_parser().format_help(), re.M)) == flags


def test_help_is_quick_because_it_imports_no_tensorflow():
    command = [PYTHON, "-X", "importtime", "-m", "train", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("usage: train") and "argparse" in shown.stderr and "tensorflow" not in shown.stderr
