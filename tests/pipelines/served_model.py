"""Asks a pushed model through its signatures; run in the transform component's environment, whose TensorFlow serves it.

Usage: python served_model.py SAVED_MODEL EXAMPLES SCHEMA TRANSFORMED_EXAMPLES LABEL -> JSON on stdout
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_transform.tf_metadata import schema_utils
from tfx_bsl.coders import example_coder

from stepkit import examples

ROWS = 512
MISSING_INT = np.iinfo(np.int64).min


def main(model_uri: str, examples_uri: str, schema_uri: str, transformed_uri: str, label: str) -> None:
    schema = _schema(Path(schema_uri))
    types = {feature.name: {1: "BYTES", 2: "INT", 3: "FLOAT"}[feature.type] for feature in schema.feature}
    served = {
        feature.name: types[feature.name] for feature in schema.feature if "SERVING" not in feature.not_in_environment
    }
    files = examples.split_files(Path(examples_uri), "eval")
    batch = next(examples.read_batches(files, types, ROWS))
    model = tf.saved_model.load(model_uri)

    without_label = batch.select(list(served))
    by_example = _predict(model, "serving_default", examples=_serialized(without_label))
    columns = {name: _column(batch.column(name).to_pylist(), kind) for name, kind in served.items()}
    by_row = _predict(model, "serve_raw", **columns)

    at_serving = model.signatures["transform_features"](examples=_serialized(batch))
    at_training = _transformed(Path(transformed_uri), at_serving)
    difference = {
        name: float(np.max(np.abs(_numbers(value) - _numbers(at_training[name])))) for name, value in at_serving.items()
    }
    print(
        json.dumps(
            {
                "rows": len(by_example),
                "spread": float(by_example.max() - by_example.min()),
                "examples_against_rows": float(np.max(np.abs(by_example - by_row))),
                "serving_against_training": difference,
                "label_in_features": label in difference,
            }
        )
    )


def _schema(path: Path):
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = text_format.Parse(path.read_text(), schema_pb2.Schema())
    schema_utils.schema_as_feature_spec(schema)  # raises for a schema that TFT couldn't read
    return schema


def _serialized(batch) -> tf.Tensor:
    return tf.constant(example_coder.RecordBatchToExamplesEncoder().encode(batch))


def _column(values: list, kind: str) -> tf.Tensor:
    missing = {"BYTES": b"", "INT": MISSING_INT, "FLOAT": float("nan")}[kind]
    dtype = {"BYTES": tf.string, "INT": tf.int64, "FLOAT": tf.float32}[kind]
    return tf.constant([[value[0] if value else missing] for value in values], dtype)


def _predict(model, signature: str, **inputs: tf.Tensor) -> np.ndarray:
    return model.signatures[signature](**inputs)["probabilities"].numpy()


def _transformed(folder: Path, like) -> dict[str, np.ndarray]:
    first = examples.split_files(folder, "eval")[0]
    records = tf.data.TFRecordDataset(str(first), compression_type="GZIP").take(ROWS).batch(ROWS)
    spec = {name: tf.io.FixedLenFeature([1], value.dtype) for name, value in like.items()}
    return tf.io.parse_example(next(iter(records)), spec)


def _numbers(values: tf.Tensor) -> np.ndarray:
    return np.asarray(values).reshape(-1).astype(np.float64)


if __name__ == "__main__":
    main(*sys.argv[1:])
