"""TFMA's protos as plain numbers by slice and metric class."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import metrics_for_slice_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from evaluate.aggregate import Aggregates
from evaluate.config import BASELINE
from evaluate.slicing import SliceKey

# They compare rows of one class with rows of the other; TFMA gives 0 where a class is absent.
RANKING_METRICS = frozenset({"AUC", "AUCPrecisionRecall"})


# Whose numbers have intervals: `CHANGE` is the candidate's less the baseline's.
CANDIDATE, CHANGE = "candidate", "change"


@dataclass(frozen=True)
class Interval:
    """How sure a number is: with 95% confidence between `lower` and `upper`."""

    standard_error: float
    lower: float
    upper: float


@dataclass(frozen=True)
class SliceMetrics:
    """What was computed for one slice.

    Attributes:
        examples: rows.
        of_classes: rows of each class; of a binary problem, those whose label is 1; none for regression.
        candidate: name of a metric (TFMA's own for one of a metric that makes several) to value. NaN where undefined.
        baseline: the same of the baseline; empty if there is none.
        intervals: by CANDIDATE, BASELINE or CHANGE and the metric, where they were asked for and can be computed.
    """

    key: SliceKey
    examples: int
    of_classes: tuple[int, ...]
    candidate: dict[str, float]
    baseline: dict[str, float]
    intervals: dict[str, dict[str, Interval]] = field(default_factory=dict)

    @property
    def one_class(self) -> bool:
        """True if there are classes and all labels are the same."""
        if len(self.of_classes) <= 1:
            return bool(self.of_classes) and not self._has_both(0)
        return all(not self._has_both(number) for number in range(len(self.of_classes)))

    def _has_both(self, number: int) -> bool:
        return 0 < self.of_classes[number] < self.examples

    def can_rank(self, metric: metric_types.MetricKey) -> bool:
        """True if there are rows of each class that a ranking metric compares, and others."""
        many = len(self.of_classes) > 1
        if many and metric.sub_key and metric.sub_key.class_id is not None:
            return self._has_both(metric.sub_key.class_id)
        if many and metric.aggregation_type and metric.aggregation_type.macro_average and not metric.sub_key:
            return all(map(self._has_both, range(len(self.of_classes))))
        return many or not self.one_class


def values(proto: metrics_for_slice_pb2.MetricsForSlice) -> dict[metric_types.MetricKey, float]:
    """Returns the numbers of one slice by TFMA's keys; structured values are left out."""
    return {
        metric_types.MetricKey.from_proto(item.key): item.value.double_value.value
        for item in proto.metric_keys_and_values
        if item.value.WhichOneof("type") == "double_value"
    }


def _intervals(proto: metrics_for_slice_pb2.MetricsForSlice) -> dict[metric_types.MetricKey, Interval]:
    found = {}
    for item in proto.metric_keys_and_values:
        if not item.HasField("confidence_interval") or item.value.WhichOneof("type") != "double_value":
            continue
        each = item.confidence_interval
        numbers = [part.double_value.value for part in (each.standard_error, each.lower_bound, each.upper_bound)]
        if all(map(math.isfinite, numbers)):
            found[metric_types.MetricKey.from_proto(item.key)] = Interval(*numbers)
    return found


def slice_metrics(aggregates: Aggregates, names: Mapping[str, str], ranking: Collection[str]) -> list[SliceMetrics]:
    """Returns the metrics of every slice, the overall one first.

    Args:
        names: TFMA's name of a metric to how it is shown.
        ranking: how metrics that rank rows are shown; TFMA gives 0 where they have nothing to compare.
    """
    found = []
    for proto in aggregates.metrics:
        key = slicer_lib.deserialize_slice_key(proto.slice_key)
        examples, *of_classes = aggregates.counts[key]
        item = SliceMetrics(key, examples, tuple(of_classes), {}, {})
        intervals = _intervals(proto)
        for metric, value in values(proto).items():
            name = names.get(metric.name, metric.name)
            undefined = name in ranking and not item.can_rank(metric)
            whose = CHANGE if metric.is_diff else BASELINE if metric.model_name == BASELINE else CANDIDATE
            if metric in intervals and not undefined:
                item.intervals.setdefault(whose, {})[name] = intervals[metric]
            if metric.is_diff:
                continue
            of_model = item.baseline if metric.model_name == BASELINE else item.candidate
            of_model[name] = math.nan if undefined else value
        order = [*names.values()]
        found.append(replace(item, candidate=_ordered(item.candidate, order), baseline=_ordered(item.baseline, order)))
    return found


def _ordered(numbers: dict[str, float], order: Sequence[str]) -> dict[str, float]:
    first = [name for name in order if name in numbers]
    return {name: numbers[name] for name in [*first, *sorted(numbers.keys() - set(first))]}
