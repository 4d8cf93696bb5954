"""TFMA's protos as plain numbers by slice and metric class."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import metrics_for_slice_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from evaluate.aggregate import Aggregates
from evaluate.config import BASELINE
from evaluate.slicing import SliceKey

# They compare rows of one class with rows of the other; TFMA gives 0 where a class is absent.
RANKING_METRICS = frozenset({"AUC", "AUCPrecisionRecall"})


@dataclass(frozen=True)
class SliceMetrics:
    """What was computed for one slice.

    Attributes:
        examples: rows.
        positives: rows whose label is 1.
        candidate: metric class name (TFMA's own name for a metric that makes several) to value. NaN where undefined.
        baseline: the same of the baseline; empty if there is none.
    """

    key: SliceKey
    examples: int
    positives: int
    candidate: dict[str, float]
    baseline: dict[str, float]

    @property
    def one_class(self) -> bool:
        """True if all labels are the same."""
        return self.positives in (0, self.examples)


def values(proto: metrics_for_slice_pb2.MetricsForSlice) -> dict[metric_types.MetricKey, float]:
    """Returns the numbers of one slice by TFMA's keys; structured values are left out."""
    return {
        metric_types.MetricKey.from_proto(item.key): item.value.double_value.value
        for item in proto.metric_keys_and_values
        if item.value.WhichOneof("type") == "double_value"
    }


def slice_metrics(aggregates: Aggregates, names: Mapping[str, str]) -> list[SliceMetrics]:
    """Returns the metrics of every slice, the overall one first.

    Args:
        names: TFMA's name of a metric to its class name.
    """
    found = []
    for proto in aggregates.metrics:
        key = slicer_lib.deserialize_slice_key(proto.slice_key)
        examples, positives = aggregates.counts[key]
        item = SliceMetrics(key, examples, positives, {}, {})
        for metric, value in values(proto).items():
            if metric.is_diff:
                continue
            name = names.get(metric.name, metric.name)
            undefined = item.one_class and name in RANKING_METRICS
            of_model = item.baseline if metric.model_name == BASELINE else item.candidate
            of_model[name] = math.nan if undefined else value
        order = [*names.values()]
        found.append(replace(item, candidate=_ordered(item.candidate, order), baseline=_ordered(item.baseline, order)))
    return found


def _ordered(numbers: dict[str, float], order: Sequence[str]) -> dict[str, float]:
    first = [name for name in order if name in numbers]
    return {name: numbers[name] for name in [*first, *sorted(numbers.keys() - set(first))]}
