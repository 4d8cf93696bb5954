"""Sample rows as clients send them: as tf.Examples, and as raw columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from stepkit import examples
from stepkit.errors import StepError, near_misses
from stepkit.schemas import MISSING, SERVING

_AS_THEY_ARE: Mapping[str, str] = MappingProxyType({})
_DTYPES = {"BYTES": tf.string, "INT": tf.int64, "FLOAT": tf.float32}


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


def read(folder: Path, split: str, types: Mapping[str, str], rows: int) -> Sample:
    """Reads the first rows of a split.

    Args:
        folder: the Examples artifact.
        types: features to read, to `BYTES`, `INT` or `FLOAT`.
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


def to_columns(
    sample: Sample, signature: Mapping[str, tf.TensorSpec], arguments: Mapping[str, str] = _AS_THEY_ARE
) -> dict[str, tf.Tensor]:
    """Returns one dense tensor for each argument of a signature, [rows, width].

    Missing values are sent as `stepkit.schemas.MISSING`, which the models that train exports take for it.

    Args:
        signature: argument to what the model takes.
        arguments: raw column to its argument, where that isn't its name.

    Raises:
        StepError: the model takes a column that clients don't send, or with another type or width, or doesn't take one
            that has an argument.
    """
    _check_arguments(signature, arguments)
    raw = {argument: name for name, argument in arguments.items()}
    columns = {}
    for argument, spec in signature.items():
        name = raw.get(argument, argument)
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
        padded = [[*value, *[MISSING[kind]] * (width - len(value))] for value in values]
        column = tf.constant(padded, spec.dtype)
        if not spec.shape.is_compatible_with(column.shape):
            raise StepError(
                f"The model takes the raw column {name!r} in shape {spec.shape}; sample rows have it in "
                f"{column.shape}. Export the model with columns of [rows, 1]."
            )
        columns[argument] = column
    return columns


def _check_arguments(signature: Mapping[str, tf.TensorSpec], arguments: Mapping[str, str]) -> None:
    for name, argument in arguments.items():
        if argument not in signature:
            raise StepError(
                f"The model's description has the raw column {name!r} as the argument {argument!r}, which the model "
                f"doesn't take. {near_misses(argument, signature)} Train the model again."
            )


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
