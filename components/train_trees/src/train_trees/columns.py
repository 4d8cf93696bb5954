"""Which transformed features trees get, and as what: columns of one matrix of floats of 32 bits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from stepkit.errors import StepError, near_misses
from train_trees.ensemble import CATEGORIES_END


@dataclass(frozen=True)
class Column:
    """A feature.

    Attributes:
        name: transformed feature.
        width: its values a row.
        categorical: they are codes of categories.
    """

    name: str
    width: int = 1
    categorical: bool = False


def choose(
    spec: Mapping[str, Any],
    categorical: Sequence[str],
    features: Sequence[str] | None,
    withheld: Mapping[str, str],
) -> list[Column]:
    """Returns the columns, in the order of the features' names.

    Args:
        spec: the transformed features that a model may take.
        categorical: which of them are codes of categories.
        features: which the model takes; None: all.
        withheld: transformed feature that no model gets to why, for the error.

    Raises:
        StepError: there is no such feature, or trees can't take it.
    """
    taken = list(spec) if features is None else list(features)
    for name in [*taken, *categorical]:
        if name in withheld:
            raise StepError(f"tree_parameters names {name!r}, which is {withheld[name]}. Remove it.")
        if name not in spec:
            raise StepError(
                f"tree_parameters names {name!r}, which is no transformed feature. {near_misses(name, spec)}"
            )
    for name in categorical:
        if name not in taken:
            raise StepError(
                f"tree_parameters says that {name!r} is categorical, but it isn't among the features that it names. "
                "Add it there, or remove it here."
            )
        if spec[name].dtype != tf.int64:
            raise StepError(
                f"tree_parameters says that {name!r} is categorical, but it is {_kind(spec[name])}. Have "
                "preprocessing_fn return the categories' numbers (tft.compute_and_apply_vocabulary, or tf.cast to "
                "tf.int64)."
            )
    if not taken:
        raise StepError("tree_parameters names no feature: there is nothing to learn from. Name some, or leave it out.")
    return [_column(name, spec[name], name in categorical) for name in sorted(set(taken))]


def _column(name: str, feature: Any, categorical: bool) -> Column:
    if not isinstance(feature, tf.io.FixedLenFeature):
        raise StepError(
            f"The transformed feature {name!r} is sparse, and trees take as many values in every row. Have "
            "preprocessing_fn return it dense, or name the features without it in tree_parameters."
        )
    if feature.dtype == tf.string:
        raise StepError(
            f"The transformed feature {name!r} is text, and trees take numbers. Have preprocessing_fn return its "
            "number in a vocabulary, or name the features without it in tree_parameters."
        )
    return Column(name, int(np.prod(feature.shape)), categorical)


def _kind(feature: Any) -> str:
    return "text" if feature.dtype == tf.string else f"of type {feature.dtype.name}"


def feature_types(columns: Sequence[Column]) -> list[str]:
    """Returns each column's type as XGBoost has them: `c` for categories, `q` for quantities."""
    return ["c" if each.categorical else "q" for each in columns for _ in range(each.width)]


def to_matrix(rows: pa.Table | pa.RecordBatch, columns: Sequence[Column]) -> np.ndarray:
    """Returns decoded examples as XGBoost gets them, float32 [rows, columns]."""
    parts = []
    for each in columns:
        column = rows.column(each.name)
        values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        flat = values.flatten() if pa.types.is_fixed_size_list(values.type) else values
        parts.append(flat.to_numpy(zero_copy_only=False).reshape(-1, each.width).astype(np.float32))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def check_values(values: np.ndarray, columns: Sequence[Column], where: str) -> None:
    """Checks what a matrix has before XGBoost gets it.

    Raises:
        StepError: a value is infinite, or no category's code.
    """
    at = 0
    for each in columns:
        part = values[:, at : at + each.width]
        at += each.width
        if each.categorical:
            bad = (part < 0) | (part >= CATEGORIES_END)
            if bad.any():
                raise StepError(
                    f"The categorical feature {each.name!r} has {part[bad][0]:.0f} in {where}; categories are whole "
                    f"numbers from 0 to {CATEGORIES_END - 1:,}. Have preprocessing_fn number what isn't in the "
                    "vocabulary, too (num_oov_buckets=1)."
                )
        elif np.isinf(part).any():
            raise StepError(
                f"The feature {each.name!r} is infinite in {where}, or too large for a float of 32 bits, and trees "
                "can't be trained on that. Bound it in preprocessing_fn (tf.clip_by_value); NaN is a missing value."
            )
