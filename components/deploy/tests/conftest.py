"""A tiny model with both signatures, rows for it, and a way to deploy it in this process."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SCHEMA = """
feature { name: "miles" type: FLOAT presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
feature { name: "area" type: INT value_count { min: 1 max: 1 } }
feature { name: "company" type: BYTES value_count { min: 1 max: 1 } }
feature { name: "wait" type: FLOAT value_count { min: 1 max: 1 } }
feature { name: "tips" type: FLOAT not_in_environment: "SERVING" }
default_environment: "TRAINING"
default_environment: "SERVING"
"""
ROWS = {
    "miles": [0.5, 1.5, 2.5, 3.5, 4.5],
    "area": [1, None, 3, None, 5],
    "company": ["a", None, "ccc", "", "eeeee"],
    "wait": [None, 2.0, None, 4.0, 5.0],
    "tips": [1.0, 2.0, 3.0, 4.0, 5.0],
}


@dataclass(frozen=True)
class Files:
    """A step's inputs, and a folder for what it writes."""

    model: Path
    examples: Path
    schema: Path
    metrics: Path
    statistics: Path
    workspace: Path

    @property
    def outputs(self) -> Path:
        return self.workspace / "outputs"

    @property
    def serving(self) -> Path:
        return self.workspace / "serving"

    @property
    def registry_uri(self) -> str:
        return f"sqlite:///{self.workspace}/registry.db"

    def argv(self, **changes: str) -> list[str]:
        """Returns the command line, with flags changed or added."""
        flags = {
            "model": self.model,
            "examples": self.examples,
            "schema": self.schema,
            "metrics": self.metrics,
            "statistics": self.statistics,
            "serving_uri": self.serving,
            "model_name": "taxi",
            "registry_uri": self.registry_uri,
            "run_id": "run-7",
            "infra_validation": self.outputs / "infra_validation",
            "pushed_model": self.outputs / "pushed_model",
            "model_card": self.outputs / "model_card",
            "model_card_page": self.outputs / "model_card_page",
            "pushed_uri": self.outputs / "pushed_uri",
            "version": self.outputs / "version",
            "executor_input": "{{$}}",
            **changes,
        }
        return [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", str(value))]

    def written(self) -> list[str]:
        """Returns all files that the step left in its workspace."""
        return sorted(str(item.relative_to(self.workspace)) for item in self.workspace.rglob("*") if item.is_file())


@pytest.fixture(name="save_model", scope="session")
def fixture_save_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Returns a function that exports the tiny model; equal arguments give the same folder."""
    made: dict[str, Path] = {}

    def save(**options: object) -> Path:
        key = json.dumps(options, sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("model") / "model"
            _export(made[key], **options)
        return made[key]

    return save


def _export(
    folder: Path,
    weight: float = 1.0,
    raw_shift: float = 0.0,
    answer: str = "probability",
    names: tuple[str, str] = ("serving_default", "serve_raw"),
    extra_column: bool = False,
) -> None:
    import tensorflow as tf

    answers = {
        "probability": tf.sigmoid,
        "nan": lambda logits: tf.where(logits > tf.reduce_min(logits), tf.sigmoid(logits), float("nan")),
        "logits": lambda logits: logits * 10,
        "flat": lambda logits: tf.sigmoid(logits)[:, 0],
        "wide": lambda logits: tf.sigmoid(tf.concat([logits, logits], 1)),
        "one": lambda logits: tf.sigmoid(logits)[:1],
        "integers": lambda logits: tf.cast(logits > 0, tf.int64),
    }
    module = tf.Module()
    module.weight = tf.Variable(weight)

    def predict(miles, area, company, wait, shift):
        length = tf.cast(tf.strings.length(company), tf.float32)
        logits = module.weight * miles - 0.1 * tf.cast(area, tf.float32) + 0.01 * length - wait + shift
        return {"probabilities": answers[answer](logits)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def by_examples(examples):
        optional = {"area": tf.int64, "company": tf.string, "wait": tf.float32}
        spec = {name: tf.io.FixedLenFeature([1], dtype, tf.zeros([1], dtype)) for name, dtype in optional.items()}
        spec["miles"] = tf.io.FixedLenFeature([1], tf.float32)
        return predict(**tf.io.parse_example(examples, spec), shift=0.0)

    columns = {
        "miles": tf.TensorSpec([None, 1], tf.float32, name="miles"),
        "area": tf.TensorSpec([None, 1], tf.int64, name="area"),
        "company": tf.TensorSpec([None, 1], tf.string, name="company"),
        "wait": tf.TensorSpec([None, 1], tf.float32, name="wait"),
    }
    if extra_column:
        columns["tips"] = tf.TensorSpec([None, 1], tf.float32, name="tips")

    @tf.function(input_signature=[columns])
    def by_columns(raw):
        area = tf.where(raw["area"] == tf.int64.min, tf.constant(0, tf.int64), raw["area"])
        wait = tf.where(tf.math.is_nan(raw["wait"]), 0.0, raw["wait"])
        return predict(raw["miles"], area, raw["company"], wait, raw_shift)

    tf.saved_model.save(module, str(folder), signatures=dict(zip(names, (by_examples, by_columns), strict=False)))


@pytest.fixture(name="data", scope="session")
def fixture_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `examples`, `schema`, `metrics` and `statistics` that fit the tiny model."""
    folder = tmp_path_factory.mktemp("data")
    write_examples(folder / "examples", {"eval": ROWS, "empty": {name: [] for name in ROWS}})
    (folder / "schema").write_text(SCHEMA)
    (folder / "metrics").write_text('{"AUC": 0.75, "Precision": null, "baseline": {"AUC": 0.7}}')
    (folder / "statistics").mkdir()
    (folder / "statistics/stats.tfrecord").write_bytes(b"statistics")
    return folder


def write_examples(folder: Path, splits: dict[str, dict[str, list]]) -> None:
    """Writes an Examples artifact with one Parquet file a split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"miles": pa.float64(), "area": pa.int64(), "company": pa.string(), "wait": pa.float64()}
    manifest: dict = {"columns": [], "splits": {}, "source": {}}
    for split, columns in splits.items():
        (folder / split).mkdir(parents=True)
        arrays = {name: pa.array(values, types.get(name)) for name, values in columns.items()}
        pq.write_table(pa.table(arrays), folder / split / "part-00000.parquet")
        manifest["splits"][split] = {"files": [{"path": f"{split}/part-00000.parquet"}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(name="files")
def fixture_files(save_model: Callable[..., Path], data: Path, tmp_path: Path) -> Files:
    return Files(save_model(), data / "examples", data / "schema", data / "metrics", data / "statistics", tmp_path)


@pytest.fixture(name="fails")
def fixture_fails(files: Files, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Returns a function that deploys, expects exit code 1 and that nothing was written, and returns the message."""
    from deploy.cli import main

    def fails(before: list[str] | None = None, model: Path = files.model, **changes: str) -> str:
        assert main(replace(files, model=model).argv(**changes)) == 1
        assert files.written() == (before or [])
        message = capsys.readouterr().err
        assert "Traceback" not in message
        return message

    return fails
