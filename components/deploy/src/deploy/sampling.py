"""Sample rows as clients send them: as tf.Examples, and as raw columns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from stepkit import examples
from stepkit.errors import StepError, near_misses

SERVING = "SERVING"

_TYPES = {schema_pb2.BYTES: "BYTES", schema_pb2.INT: "INT", schema_pb2.FLOAT: "FLOAT"}
_DTYPES = {"BYTES": tf.string, "INT": tf.int64, "FLOAT": tf.float32}
# What train's export takes for a missing value in a raw column: TF Serving has no way to leave one out.
_MISSING = {"BYTES": b"", "INT": tf.int64.min, "FLOAT": math.nan}
# Stages in which TFX libraries leave a feature out.
_UNUSED_STAGES = {
    schema_pb2.DEPRECATED,
    schema_pb2.PLANNED,
    schema_pb2.ALPHA,
    schema_pb2.DEBUG_ONLY,
    schema_pb2.DISABLED,
}


@dataclass(frozen=True)
class Sample:
    """Rows to ask a model.

    Attributes:
        types: feature to `BYTES`, `INT` or `FLOAT`.
        rows: feature to its values, of each row; a missing feature has none.
    """

    types: Mapping[str, str]
    rows: list[Mapping[str, list[Any]]]

    def __len__(self) -> int:
        return len(self.rows)


def serving_types(schema: Path) -> dict[str, str]:
    """Returns the type (`BYTES`, `INT`, `FLOAT`) of each feature that the schema has in the environment SERVING.

    Raises:
        StepError: the file is missing, isn't a schema, or has no such feature or one of another type.
    """
    try:
        parsed = text_format.Parse(schema.read_text(encoding="utf-8"), schema_pb2.Schema())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise StepError(f"No schema at {str(schema)!r}. Give data_validation's output.") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise StepError(f"{str(schema)!r} isn't a schema in protobuf text format ({error}).") from error
    types = {}
    for feature in parsed.feature:
        if feature.lifecycle_stage in _UNUSED_STAGES or not _is_served(parsed, feature):
            continue
        if feature.type not in _TYPES:
            kind = schema_pb2.FeatureType.Name(feature.type)
            raise StepError(f"Feature {feature.name!r} has type {kind}; the schema can have BYTES, INT and FLOAT only.")
        types[feature.name] = _TYPES[feature.type]
    if not types:
        raise StepError(f"The schema {str(schema)!r} has no feature in the environment {SERVING}. Add one to it.")
    return types


def read(folder: Path, split: str, types: Mapping[str, str], rows: int) -> Sample:
    """Reads the first rows of a split.

    Args:
        folder: the Examples artifact.
        types: features to read, as `serving_types` returns them.
        rows: how many; a split with fewer gives all it has.

    Raises:
        StepError: the split is missing or empty, or a feature is missing or of another type.
    """
    taken: list[Mapping[str, list[Any]]] = []
    for batch in examples.read_batches(examples.split_files(folder, split), types, batch_rows=rows):
        for row in batch.slice(0, rows - len(taken)).to_pylist():
            taken.append({name: values or [] for name, values in row.items()})
        if len(taken) >= rows:
            break
    if not taken:
        raise StepError(
            f"Split {split!r} of {str(folder)!r} has no rows to ask the model. Name another by --eval-split, or give "
            "it a share in extract's --splits."
        )
    return Sample(dict(types), taken)


def to_examples(sample: Sample) -> tf.Tensor:
    """Returns serialized tf.Examples, string [rows]. A missing value is an absent feature."""
    return tf.constant([_to_example(row, sample.types).SerializeToString() for row in sample.rows])


def to_columns(sample: Sample, signature: Mapping[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
    """Returns one dense tensor for each raw column of a signature, [rows, width].

    Missing values are sent as `""`, NaN or the smallest integer, as train's export documents.

    Args:
        signature: column to what the model takes.

    Raises:
        StepError: the model takes a column that clients don't send, or with another type or width.
    """
    columns = {}
    for name, spec in signature.items():
        if name not in sample.types:
            raise StepError(
                f"The model takes the raw column {name!r}, which the schema doesn't have in the environment {SERVING}. "
                f"{near_misses(name, sample.types)} Train and deploy with the same schema."
            )
        kind = sample.types[name]
        if spec.dtype != _DTYPES[kind]:
            raise StepError(
                f"The model takes the raw column {name!r} as {spec.dtype.name}, which is {kind} in the schema. "
                "Train and deploy with the same schema."
            )
        values = [row[name] for row in sample.rows]
        width = max(1, *map(len, values))
        padded = [[*value, *[_MISSING[kind]] * (width - len(value))] for value in values]
        column = tf.constant(padded, spec.dtype)
        if not spec.shape.is_compatible_with(column.shape):
            raise StepError(
                f"The model takes the raw column {name!r} in shape {spec.shape}; sample rows have it in "
                f"{column.shape}. Export the model with columns of [rows, 1]."
            )
        columns[name] = column
    return columns


def _to_example(row: Mapping[str, list[Any]], types: Mapping[str, str]) -> tf.train.Example:
    example = tf.train.Example()
    for name, values in row.items():
        if not values:
            continue
        feature = example.features.feature[name]
        if types[name] == "BYTES":
            feature.bytes_list.value.extend(values)
        elif types[name] == "INT":
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return example


def _is_served(schema: schema_pb2.Schema, feature: schema_pb2.Feature) -> bool:
    if SERVING in feature.not_in_environment:
        return False
    everywhere = not schema.default_environment and not feature.in_environment
    return everywhere or SERVING in schema.default_environment or SERVING in feature.in_environment
