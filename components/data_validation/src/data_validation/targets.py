"""The raw columns of the label and the weight: whether a model can learn from them, by their statistics."""

import math
from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from stepkit.errors import StepError

Statistics = Mapping[str, statistics_pb2.DatasetFeatureStatistics]

_WHERE = "Leave such rows out in extract (--where), or correct the source."


def check(label: str, weight: str, statistics: Statistics, training: str) -> list[str]:
    """Sees that the label and the weight are there and finite in every split, and can teach something.

    Args:
        label, weight: columns; empty: none is known.
        statistics: by split.
        training: the split to train on.

    Returns:
        What can't be checked here, in sentences.

    Raises:
        StepError: values are missing, NaN or infinite; the label is constant in the training split; a weight is below
            0, or all of a split's are 0.
    """
    notes = []
    for what, name in (("label", label), ("weight", weight)):
        found = {split: _feature(dataset, name) for split, dataset in statistics.items()} if name else {}
        if name and None in found.values():
            notes.append(f"The {what} {name!r} is no column of every split: transform checks what it is made into.")
            continue
        for split, feature in found.items():
            _check(f"The {what} {name!r}", split, feature)
            if what == "weight":
                _check_weight(f"The {what} {name!r}", split, feature)
            elif split == training:
                _check_label(f"The {what} {name!r}", split, feature)
    return notes


def _feature(dataset: statistics_pb2.DatasetFeatureStatistics, name: str) -> Any:
    return next((feature for feature in dataset.features if list(feature.path.step) == [name]), None)


def _check(what: str, split: str, feature: Any) -> None:
    stats = getattr(feature, feature.WhichOneof("stats"))
    common, rows = stats.common_stats, stats.common_stats.num_non_missing + stats.common_stats.num_missing
    if common.num_missing:
        raise StepError(
            f"{what} is missing in {common.num_missing:,} of {rows:,} rows of the split {split!r}. {_WHERE}"
        )
    if feature.HasField("num_stats"):
        strange = max((histogram.num_nan for histogram in stats.histograms), default=0)
        if strange or not (math.isfinite(stats.min) and math.isfinite(stats.max)):
            raise StepError(f"{what} has NaN or infinite values in the split {split!r}. {_WHERE}")


def _check_label(what: str, split: str, feature: Any) -> None:
    stats = getattr(feature, feature.WhichOneof("stats"))
    numeric = feature.HasField("num_stats")
    if stats.common_stats.num_non_missing > 1 and (stats.min == stats.max if numeric else stats.unique == 1):
        value = f"{stats.min:g}" if numeric else repr(stats.top_values[0].value)
        raise StepError(
            f"{what} is {value} in all rows of the split {split!r}: there is nothing to learn. "
            "Check the source, --where and --splits of extract."
        )


def _check_weight(what: str, split: str, feature: Any) -> None:
    if not feature.HasField("num_stats"):
        raise StepError(f"{what} is no number. Name a numeric column, or have extract read it as one: --column-types.")
    if feature.num_stats.min < 0:
        raise StepError(
            f"{what} goes down to {feature.num_stats.min:g} in the split {split!r}; it is 0 or more. {_WHERE}"
        )
    if feature.num_stats.max == 0:
        raise StepError(f"{what} is 0 in all rows of the split {split!r}: none would count. Correct the source.")
