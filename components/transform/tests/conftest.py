"""A small Examples artifact, its schema and a pipeline module."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transform import cli

# As stepkit.cli.run sets them; test modules import TensorFlow before it.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

MODULE = """
import tensorflow as tf
import tensorflow_transform as tft


def preprocessing_fn(inputs):
    city = inputs["city"]
    city = tf.sparse.to_dense(tf.SparseTensor(city.indices, city.values, [city.dense_shape[0], 1]), "")
    return {
        "fare": tft.scale_to_z_score(inputs["fare"]),
        "hour": tft.bucketize(inputs["hour"], 4),
        "city": tft.compute_and_apply_vocabulary(city, vocab_filename="city", num_oov_buckets=1),
        "city_name": inputs["city"],
        "label": tf.cast(inputs["tips"] > 1.0, tf.int64),
    }
"""

# Analyses nothing, which takes a third of the time: for tests of what comes before and after.
PLAIN = """
def preprocessing_fn(inputs):
    return {"fare": inputs["fare"], "city_name": inputs["city"]}
"""

SCHEMA = """
feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
feature { name: "hour" type: INT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
feature { name: "city" type: BYTES value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature { name: "tips" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
"""


def table(rows: int, seed: int) -> pa.Table:
    """Returns random rows; `unused` is a column that the schema doesn't have."""
    random = np.random.default_rng(seed)
    cities = np.array(["Oslo", "Bergen", "Voss", "Bodø", None], object)
    return pa.table(
        {
            "fare": random.gamma(2.0, 5.0, rows),
            "unused": random.integers(0, 9, rows),
            "hour": random.integers(0, 24, rows),
            "city": pa.array(cities[random.integers(0, 5, rows)], pa.string()),
            "tips": random.gamma(1.0, 1.5, rows),
        }
    )


def write_examples(folder: Path, splits: Mapping[str, list[pa.Table]]) -> Path:
    """Writes tables as extract would, one file each."""
    manifest: dict = {"columns": [], "splits": {}, "source": {}}
    for split, tables in splits.items():
        (folder / split).mkdir(parents=True)
        files = []
        for index, part in enumerate(tables):
            path = folder / split / f"part-{index:05d}.parquet"
            pq.write_table(part, path)
            content = path.read_bytes()
            files.append(
                {
                    "path": f"{split}/{path.name}",
                    "rows": part.num_rows,
                    "bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
            )
        manifest["splits"][split] = {
            "rows": sum(part.num_rows for part in tables),
            "bytes": sum(file["bytes"] for file in files),
            "files": files,
        }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Inputs:
    """What a run gets, and the folder its outputs go to."""

    examples: Path
    schema: Path
    outputs: Path
    module: str = MODULE

    def arguments(self, *more: str) -> list[str]:
        """Returns the command line."""
        return [
            *("--examples", str(self.examples), "--schema", str(self.schema), "--module", self.module),
            *("--transform-graph", str(self.graph), "--transformed-examples", str(self.transformed)),
            *more,
        ]

    @property
    def graph(self) -> Path:
        return self.outputs / "graph"

    @property
    def transformed(self) -> Path:
        return self.outputs / "transformed"

    def with_module(self, module: str) -> "Inputs":
        return replace(self, module=module)

    def with_schema(self, text: str) -> "Inputs":
        self.schema.write_text(text, encoding="utf-8")
        return self

    def with_splits(self, **splits: list[pa.Table]) -> "Inputs":
        return replace(self, examples=write_examples(self.examples.with_name("other"), splits))


def _prepared(folder: Path) -> Inputs:
    splits = {"train": [table(150, 1), table(60, 2)], "eval": [table(80, 3)], "empty": []}
    schema = folder / "schema.pbtxt"
    schema.write_text(SCHEMA, encoding="utf-8")
    return Inputs(write_examples(folder / "examples", splits), schema, folder / "outputs")


@pytest.fixture(name="inputs")
def _inputs(tmp_path: Path) -> Inputs:
    return _prepared(tmp_path)


@pytest.fixture(name="finished", scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A run that has succeeded; for looking only."""
    inputs = _prepared(tmp_path_factory.mktemp("finished"))
    assert cli.main(inputs.arguments()) == 0
    return inputs


@pytest.fixture(name="refused")
def _refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs what must fail: returns the message, after seeing that it is all there is and nothing was written."""

    def run(inputs: Inputs, *more: str, code: int = 1) -> str:
        capfd.readouterr()
        assert cli.main(inputs.arguments(*more)) == code
        shown = capfd.readouterr().err
        assert "Traceback" not in shown
        assert not inputs.outputs.exists() or not list(inputs.outputs.iterdir())
        return shown[shown.index("transform: error: ") :]

    return run
