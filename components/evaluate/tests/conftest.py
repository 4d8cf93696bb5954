"""A small split, and SavedModels with the signatures that train exports, made by plain TensorFlow."""

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from evaluate.cli import main

from stepkit import registry

SCHEMA = """
feature { name: "x" type: FLOAT presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
feature { name: "group" type: BYTES presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
feature { name: "note" type: BYTES value_count { min: 1 max: 1 } }
feature {
  name: "target" type: FLOAT presence { min_fraction: 1.0 } shape { dim { size: 1 } } not_in_environment: "SERVING"
}
default_environment: "TRAINING"
default_environment: "SERVING"
"""
# big: both classes. quiet: one class. tiny: both classes, few rows.
GROUPS = {"big": 400, "quiet": 150, "tiny": 20}
ARTIFACTS = ("evaluation", "metrics", "classification_metrics", "report")
PARAMETERS = ("blessed", "reason", "baseline_version")


def make_table() -> pa.Table:
    """Returns 570 rows whose label (target > 0.5) follows x, with noise; the `tiny` group's goes against it."""
    random = np.random.default_rng(7)
    group = np.repeat(list(GROUPS), list(GROUPS.values()))
    x = random.normal(size=len(group))
    target = (x + random.normal(scale=0.7, size=len(group)) > 0).astype(np.float64)
    target[group == "quiet"] = 0.0
    target[group == "tiny"] = (x[group == "tiny"] < 0).astype(np.float64)
    # A column of which half is null, and one that the schema doesn't have.
    note = [None if i % 2 else "n" for i in range(len(group))]
    return pa.table(
        {"x": x, "group": group.tolist(), "note": note, "target": target, "day": random.integers(1, 3, len(group))}
    )


def write_examples(folder: Path, table: pa.Table, split: str = "eval", shards: int = 2) -> Path:
    """Writes `table` as extract does."""
    (folder / split).mkdir(parents=True)
    files = []
    bounds = [len(table) * shard // shards for shard in range(shards + 1)]
    for shard, (start, end) in enumerate(itertools.pairwise(bounds)):
        rows = table.slice(start, end - start)
        path = folder / split / f"part-{shard:05}.parquet"
        pq.write_table(rows, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(
            {"path": f"{split}/{path.name}", "rows": len(rows), "bytes": path.stat().st_size, "sha256": digest}
        )
    manifest = {
        "columns": [{"name": field.name, "type": str(field.type)} for field in table.schema],
        "splits": {split: {"rows": len(table), "bytes": sum(file["bytes"] for file in files), "files": files}},
        "source": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def write_model(folder: Path, weight: float = 2.0, kind: str = "", feature: str = "x") -> Path:
    """Exports a logistic model of `feature`.

    Args:
        kind: what is wrong with it: `logits`, `nan`, `wide`, `nan_label`, `inf_label`, `class_3`, `no_transform`,
            `raw_only`.
    """
    served = {feature: tf.io.FixedLenFeature([1], tf.float32)}
    labelled = served | {"target": tf.io.FixedLenFeature([1], tf.float32)}

    class Exported(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(weight)
            self.functions = []

    exported = Exported()
    examples = [tf.TensorSpec([None], tf.string, name="examples")]

    @tf.function(input_signature=examples)
    def serve(examples):
        logits = exported.weight * tf.io.parse_example(examples, served)[feature]
        if kind == "nan":
            logits = tf.math.log(logits)
        if kind == "wide":
            logits = tf.concat([logits, logits], axis=1)
        return {"probabilities": 10 * logits if kind == "logits" else tf.sigmoid(logits)}

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def serve_raw(x):
        return {"probabilities": tf.sigmoid(exported.weight * x)}

    @tf.function(input_signature=examples)
    def transform(examples):
        parsed = tf.io.parse_example(examples, labelled)
        x, label = parsed[feature], tf.cast(parsed["target"] > 0.5, tf.float32)
        odd = {"nan_label": np.nan, "inf_label": np.inf, "class_3": 3.0}.get(kind)
        return {"x_scaled": x / 2, "label": label if odd is None else tf.where(x > 1.5, odd, label)}

    signatures = {"serving_default": serve, "transform_features": transform}
    if kind == "no_transform":
        del signatures["transform_features"]
    if kind == "raw_only":
        signatures["serving_default"] = serve_raw
    exported.functions = list(signatures.values())
    tf.saved_model.save(exported, str(folder), signatures=signatures)
    return folder


class Step:
    """Runs `evaluate` in this process, on its own output folder."""

    def __init__(self, folder: Path, examples: Path, schema: Path, model: Path) -> None:
        self.out = folder / "out"
        self.paths = {"examples": examples, "schema": schema, "model": model}
        self.inputs = self.paths | {"label_key": "label"}

    def argv(self, **inputs: object) -> list[str]:
        paths = {name: self.out / name for name in ARTIFACTS + PARAMETERS}
        values = self.inputs | inputs | paths
        flags = []
        for name, value in values.items():
            text = json.dumps(value) if isinstance(value, list | dict) else str(value)
            flags += [f"--{name.replace('_', '-')}", text]
        return flags

    def run(self, **inputs: object) -> int:
        return main(self.argv(**inputs))

    def json(self, name: str):
        return json.loads((self.out / name).read_text(encoding="utf-8"))

    def text(self, name: str) -> str:
        return (self.out / name).read_text(encoding="utf-8")

    def nothing_written(self) -> bool:
        return not self.out.exists() or not list(self.out.iterdir())


@pytest.fixture(scope="session", name="shared")
def fixture_shared(tmp_path_factory) -> Path:
    """Inputs that no test changes: examples, schema, and models."""
    folder = tmp_path_factory.mktemp("shared")
    write_examples(folder / "examples", make_table())
    (folder / "schema").write_text(SCHEMA, encoding="utf-8")
    write_model(folder / "model")
    write_model(folder / "opposite", weight=-2.0)
    return folder


@pytest.fixture(name="step")
def fixture_step(tmp_path, shared) -> Step:
    return Step(tmp_path, shared / "examples", shared / "schema", shared / "model")


@pytest.fixture
def failing(step, capsys):
    """Runs the step; asserts that it fails as bad input has to, and returns its message."""

    def run(code: int = 1, **inputs: object) -> str:
        try:
            assert step.run(**inputs) == code
        except SystemExit as error:  # argparse's way
            assert error.code == code
        message = capsys.readouterr().err
        assert "Traceback" not in message
        assert step.nothing_written()
        return message

    return run


@pytest.fixture(scope="session", name="empty_registry")
def fixture_empty_registry(tmp_path_factory) -> Path:
    """An MLflow registry without the models of tests; making one takes seconds."""
    file = tmp_path_factory.mktemp("registry") / "registry.db"
    version = registry.ModelVersion("other", 1, "/none", "", {})
    registry.register(f"sqlite:///{file}", version, registry.CHAMPION, {})
    return file


@pytest.fixture
def new_registry(tmp_path, empty_registry) -> str:
    return f"sqlite:///{shutil.copy(empty_registry, tmp_path / 'registry.db')}"
