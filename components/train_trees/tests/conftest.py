"""A small transform output made with plain TensorFlow, with what trees are sensitive to: missing values, categories."""

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import ClassVar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from train_trees.cli import main

from stepkit import testing

CATEGORIES = 70  # more than two words of a set
RAW = {"fare": "FLOAT", "speed": "FLOAT", "company": "INT", "stops": "INT"}
LABELS = {"big_tip": "INT", "kind": "BYTES", "tags": "INT", "amount": "FLOAT", "rows": "FLOAT"}


def _feature(name: str, kind: str, width: int = 1, more: str = "") -> str:
    return (
        f'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1 }} '
        f"shape {{ dim {{ size: {width} }} }} {more} }}"
    )


def _schema(labels: str = "") -> str:
    columns = [_feature(name, kind) for name, kind in RAW.items()]
    columns += [_feature(name, kind, 3 if name == "tags" else 1, labels) for name, kind in LABELS.items()]
    return "\n".join([*columns, 'default_environment: "TRAINING"', 'default_environment: "SERVING"'])


MODULE = """
DEFAULT_TREE_HYPERPARAMETERS = {"eta": 0.3, "max_depth": 4}


def tree_parameters(transform, hyperparameters):
    return dict(hyperparameters), ["company"], ["fare", "speed", "company", "stops"]


def tree_hyperparameter_space(hp):
    return {"eta": hp.Float("eta", 0.05, 0.5), "max_depth": hp.Choice("max_depth", [2, 3])}
"""
# Label to what the module declares.
TASKS = {
    "big_tip": "TASK = 'binary'\n",
    "kind": "TASK = 'multiclass'\nCLASS_WEIGHTS = {'b': 2}\n",
    "tags": "TASK = 'multilabel'\nCLASSES = ['x', 'y', 'z']\n",
    "amount": "TASK = 'regression'\nWEIGHT = 'rows'\n",
}


class Graph(tf.Module):
    """Has a `transform_fn` like TFT's SavedModel: here features stay as they are."""

    @tf.function(
        input_signature=[
            {
                name: tf.TensorSpec(
                    [None, 3 if name == "tags" else 1],
                    {"FLOAT": tf.float32, "INT": tf.int64, "BYTES": tf.string}[kind],
                )
                for name, kind in (RAW | LABELS).items()
            }
        ]
    )
    def transform_fn(self, raw):
        return {name: tf.identity(value) for name, value in raw.items()}


def rows(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    fare = random.uniform(3, 40, count).astype(np.float32)
    speed = random.normal(0, 1, count).astype(np.float32)
    speed[random.random(count) < 0.2] = np.nan
    company = random.integers(0, CATEGORIES, count)
    stops = random.integers(-5, 6, count)
    score = fare / 10 + np.nan_to_num(speed, nan=1.5) + np.where(company % 7 < 3, 1.0, -1.0) + 0.1 * stops
    score += random.normal(0, 0.5, count)
    return {
        "fare": fare,
        "speed": speed,
        "company": company,
        "stops": stops,
        "big_tip": (score > 2).astype(np.int64),
        "kind": np.array(["a", "b", "c"])[np.digitize(score, [1, 3])],
        "tags": np.stack([score > 1, speed > 0, company % 2 == 0], 1).astype(np.int64),
        "amount": (score * 10 + 50).astype(np.float32),
        "rows": random.integers(1, 4, count).astype(np.float32),
    }


def write_examples(folder: Path, splits: dict[str, dict[str, np.ndarray]]) -> Path:
    """Writes columns as transform does with --output-format parquet."""
    manifest: dict = {"format": "parquet", "compression": "none", "splits": {}}
    for split, columns in splits.items():
        (folder / split).mkdir(parents=True)
        arrays = {
            name: pa.array(values.tolist(), pa.list_(pa.int64())) if values.ndim == 2
            else pa.array([each.encode() for each in values]) if values.dtype.kind == "U" else pa.array(values)
            for name, values in columns.items()
        }  # fmt: skip
        path = folder / split / "part-00000.parquet"
        pq.write_table(pa.table(arrays), path)
        count = len(next(iter(columns.values())))
        entry = {
            "path": f"{split}/{path.name}",
            "rows": count,
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        manifest["splits"][split] = {"rows": count, "bytes": entry["bytes"], "files": [entry]}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def graph(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("graph") / "graph"
    tf.saved_model.save(Graph(), str(folder / "transform_fn"))
    texts = {"metadata": _schema('not_in_environment: "SERVING"'), "transformed_metadata": _schema()}
    for name, text in texts.items():
        (folder / name).mkdir()
        (folder / name / "schema.pbtxt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def splits() -> dict[str, dict[str, np.ndarray]]:
    return {"train": rows(600, 1), "eval": rows(300, 2)}


@pytest.fixture(scope="session")
def examples(tmp_path_factory, splits) -> Path:
    return write_examples(tmp_path_factory.mktemp("examples") / "examples", splits)


class Step(testing.Trainer):
    """Runs the component with the outputs below `out`."""

    program = "train_trees"
    main = staticmethod(main)
    module = MODULE
    flags: ClassVar = {"label_key": "big_tip", "rounds": 12}


@pytest.fixture
def step(examples, graph, tmp_path) -> Step:
    return Step(examples, graph, tmp_path / "out")


@pytest.fixture
def fails(step, capfd):
    """Runs the step, expects it to refuse its input with nothing written; returns the message."""
    return functools.partial(step.refused, capfd.readouterr)
