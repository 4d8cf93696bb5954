"""A small transform output made with plain TensorFlow: the files that TFT would write, without TFT."""

import functools
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import ClassVar

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from train.cli import main

from stepkit import testing

VOCABULARY = ["Taxi A", "Taxi B", "Taxi C"]
FARE_SCALE = 10.0
TRAIN_ROWS, EVAL_ROWS = 700, 300

RAW_SCHEMA = """
feature { name: "fare" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "company" type: BYTES value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature { name: "area" type: INT value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature { name: "speed" type: FLOAT value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature { name: "stops" type: INT presence { min_count: 1 } }
feature {
  name: "tips" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } not_in_environment: "SERVING"
}
default_environment: "TRAINING"
default_environment: "SERVING"
"""
TRANSFORMED = {"fare": "FLOAT", "company": "INT", "area": "INT", "speed": "FLOAT", "stops": "INT", "big_tip": "INT"}
TRANSFORMED_SCHEMA = "\n".join(
    f'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1 }} shape {{ dim {{ size: 1 }} }} }}'
    for name, kind in TRANSFORMED.items()
)

MODULE = """
import keras

DEFAULT_HYPERPARAMETERS = {"units": 8, "learning_rate": 0.02}


def build_model(transform, hyperparameters):
    assert "big_tip" not in transform.feature_spec
    inputs = {
        "fare": keras.Input((1,), name="fare"),
        "company": keras.Input((1,), name="company", dtype="int64"),
        "area": keras.Input((1,), name="area", dtype="int64"),
    }
    sizes = {"company": transform.vocabulary_size("company") + 1, "area": 10}
    embedded = [keras.layers.Flatten()(keras.layers.Embedding(size, 2)(inputs[name])) for name, size in sizes.items()]
    joined = keras.layers.Concatenate()([inputs["fare"], *embedded])
    hidden = keras.layers.Dense(hyperparameters["units"], "relu")(joined)
    hidden = keras.layers.Dropout(0.1)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(hyperparameters["learning_rate"]), "binary_crossentropy",
                  metrics=[keras.metrics.AUC(name="auc")])
    return model


def hyperparameter_space(hp):
    rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
    return {"units": hp.Choice("units", [2, 4, 8, 16]), "learning_rate": rate}
"""


class TransformGraph(tf.Module):
    """Has a `transform_fn` like TFT's SavedModel: raw features in, transformed ones and the label out."""

    def __init__(self, vocabulary: Path) -> None:
        super().__init__()
        table = tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(table, len(VOCABULARY))

    @tf.function(
        input_signature=[
            {
                "fare": tf.TensorSpec([None, 1], tf.float32),
                "company": tf.SparseTensorSpec([None, None], tf.string),
                "area": tf.SparseTensorSpec([None, None], tf.int64),
                "speed": tf.SparseTensorSpec([None, None], tf.float32),
                "stops": tf.SparseTensorSpec([None, None], tf.int64),
                "tips": tf.TensorSpec([None, 1], tf.float32),
            }
        ]
    )
    def transform_fn(self, raw):
        return {
            "fare": raw["fare"] / FARE_SCALE,
            "company": self.table.lookup(dense(raw["company"], "")),
            "area": tf.clip_by_value(dense(raw["area"], 0), 0, 9),
            "speed": dense(raw["speed"], -1.0),
            "stops": tf.sparse.reduce_sum(raw["stops"], axis=1, keepdims=True),
            "big_tip": tf.cast(raw["tips"] > 0.2 * raw["fare"], tf.int64),
        }


def dense(feature: tf.SparseTensor, default: str | float) -> tf.Tensor:
    shape = tf.stack([feature.dense_shape[0], 1])
    return tf.sparse.to_dense(tf.SparseTensor(feature.indices, feature.values, shape), default)


def example(**columns) -> bytes:
    """Returns a serialized tf.Example; None and empty lists leave the feature out."""
    message = tf.train.Example()
    for name, value in columns.items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        for item in values:
            feature = message.features.feature[name]
            if isinstance(item, str):
                feature.bytes_list.value.append(item.encode())
            elif isinstance(item, float | np.floating):
                feature.float_list.value.append(item)
            else:
                feature.int64_list.value.append(item)
    return message.SerializeToString()


def transformed_rows(rows: int, seed: int) -> list[dict]:
    random = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        fare, company, area = float(random.uniform(3, 40)), int(random.integers(-1, 3)), int(random.integers(0, 10))
        tipping = 0.15 * fare - 2 + company + random.normal(0, 1)
        made.append(
            {"fare": fare / FARE_SCALE, "company": max(company, 0), "area": area, "speed": 1.0, "stops": 2,
             "big_tip": int(tipping > 0)}
        )  # fmt: skip
    return made


def write_examples(folder: Path, splits: dict[str, list[dict]], compression: str = "gzip", files: int = 2) -> Path:
    """Writes rows as transform does."""
    manifest = {"format": "tfrecord", "compression": compression, "splits": {}}
    suffix, option = (".tfrecord.gz", "GZIP") if compression == "gzip" else (".tfrecord", "")
    for split, rows in splits.items():
        (folder / split).mkdir(parents=True)
        entries = []
        for index in range(files if rows else 0):
            mine = rows[index::files]
            path = folder / split / f"part-{index:05d}{suffix}"
            with tf.io.TFRecordWriter(str(path), option) as writer:
                for row in mine:
                    writer.write(example(**row))
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            size = path.stat().st_size
            entries.append({"path": f"{split}/{path.name}", "rows": len(mine), "bytes": size, "sha256": digest})
        total = sum(entry["bytes"] for entry in entries)
        manifest["splits"][split] = {"rows": len(rows), "bytes": total, "files": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def as_parquet(examples: Path, folder: Path) -> Path:
    """Writes the same rows as transform does with --output-format parquet."""
    shutil.copytree(examples, folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    rows = splits()
    for split, described in manifest["splits"].items():
        for index, entry in enumerate(described["files"]):
            mine = rows[split][index :: len(described["files"])]
            entry["path"] = f"{split}/part-{index:05d}.parquet"
            columns = {name: [row[name] for row in mine] for name in mine[0]}
            arrays = {
                name: pa.array(values, pa.float32() if isinstance(values[0], float) else pa.int64())
                for name, values in columns.items()
            }
            pq.write_table(pa.table(arrays), folder / entry["path"])
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": "parquet"}), encoding="utf-8")
    return folder


def splits() -> dict[str, list[dict]]:
    return {"train": transformed_rows(TRAIN_ROWS, 1), "eval": transformed_rows(EVAL_ROWS, 2)}


@pytest.fixture(scope="session")
def graph(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    vocabulary = folder / "company"
    vocabulary.write_text("".join(f"{name}\n" for name in VOCABULARY), encoding="utf-8")
    tf.saved_model.save(TransformGraph(vocabulary), str(folder / "graph" / "transform_fn"))
    for name, text in {"metadata": RAW_SCHEMA, "transformed_metadata": TRANSFORMED_SCHEMA}.items():
        (folder / "graph" / name).mkdir()
        (folder / "graph" / name / "schema.pbtxt").write_text(text, encoding="utf-8")
    return folder / "graph"


@pytest.fixture(scope="session")
def examples(tmp_path_factory) -> Path:
    return write_examples(tmp_path_factory.mktemp("examples") / "examples", splits())


class Step(testing.Trainer):
    """Runs the component with the outputs below `out`."""

    program = "train"
    main = staticmethod(main)
    module = MODULE
    flags: ClassVar = {"label_key": "big_tip", "epochs": 3, "batch_size": 64}

    def weights(self) -> list[np.ndarray]:
        reader = tf.train.load_checkpoint(str(self.out / "model" / "variables" / "variables"))
        names = sorted(name for name in reader.get_variable_to_shape_map() if not name.startswith("_CHECKPOINTABLE"))
        return [reader.get_tensor(name) for name in names]


@pytest.fixture(scope="session")
def trained(examples, graph, tmp_path_factory) -> Step:
    """A finished run, to look at only."""
    done = Step(examples, graph, tmp_path_factory.mktemp("trained") / "out")
    metrics = {"artifacts": [{"name": "metrics", "uri": str(done.out / "metrics.json")}]}
    outputs = {"artifacts": {"metrics": metrics}, "outputFile": str(done.out / "executor_output.json")}
    assert done.run(executor_input=json.dumps({"outputs": outputs})) == 0
    return done


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def step(examples, graph, tmp_path) -> Step:
    return Step(examples, graph, tmp_path / "out")


@pytest.fixture
def fails(step, capfd):
    """Runs the step, expects it to refuse its input with nothing written; returns the message."""
    return functools.partial(step.refused, capfd.readouterr)


PYTHON = sys.executable
