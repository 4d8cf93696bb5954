"""The verdict: TFMA's validator over every slice that can be judged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2

from evaluate import slicing
from evaluate.aggregate import Aggregates
from evaluate.config import metric_names
from evaluate.results import SliceMetrics, values
from evaluate.slicing import OVERALL
from evaluate.thresholds import Threshold
from stepkit.errors import StepError
from stepkit.report import show


@dataclass(frozen=True)
class Check:
    """One threshold on one slice.

    Attributes:
        met: None if it was not applied; `note` then says why.
    """

    threshold: Threshold
    metrics: SliceMetrics
    met: bool | None
    note: str = ""

    @property
    def value(self) -> float:
        """The candidate's."""
        return self.metrics.candidate[self.threshold.metric]

    @property
    def baseline(self) -> float | None:
        """The baseline's, if there is one."""
        return self.metrics.baseline.get(self.threshold.metric)


@dataclass(frozen=True)
class Verdict:
    """Whether the model may be deployed.

    Attributes:
        reason: why, in one line.
        checks: every threshold on every slice it concerns.
        result: the same as TFMA keeps it.
    """

    blessed: bool
    reason: str
    checks: list[Check]
    result: validation_result_pb2.ValidationResult


def validate(
    aggregates: Aggregates,
    metrics: Sequence[SliceMetrics],
    thresholds: Sequence[Threshold],
    config: config_pb2.EvalConfig,
    min_slice_size: int,
    baseline: str | None,
) -> Verdict:
    """Checks all thresholds.

    A slice can't fail if it has fewer than `min_slice_size` examples or only one class, where most metrics mean nothing
    (TFMA gives an AUC of 0), or if the metric is undefined in it. (TFMA's own `min_slice_size` option would instead
    fail the model for the metrics it then doesn't find.) The whole split always counts.

    Args:
        metrics: the numbers of `aggregates`, in the same order.
        config: has the same thresholds.
        baseline: name of the baseline; None if there is none, and change thresholds aren't applied.

    Raises:
        StepError: a threshold is on a metric that is no single number.
    """
    applied = [threshold for threshold in thresholds if baseline or not threshold.is_change]
    for threshold in applied:
        if threshold.metric not in metrics[0].candidate:
            raise StepError(
                f"--thresholds names {threshold.metric!r}, which is no single number. Remove it from there."
            )
    result = validation_result_pb2.ValidationResult(validation_ok=True, missing_thresholds=not thresholds)
    names = metric_names(config)
    judged_keys = _judged_keys(config)
    checks = []
    for proto, item in zip(aggregates.metrics, metrics, strict=True):
        concerned = [threshold for threshold in applied if item.key == OVERALL or threshold.every_slice]
        why_not = _exemption(item, min_slice_size)
        if why_not:
            checks += [Check(threshold, item, None, why_not) for threshold in concerned]
            continue
        judged = metrics_validator.validate_metrics((item.key, _keyed(values(proto), judged_keys)), config)
        failures = [failure for failed in judged.metric_validations_per_slice for failure in failed.failures]
        for threshold in concerned:
            failed = [failure for failure in failures if _is_about(failure, threshold, names)]
            if failed and item.key != OVERALL and math.isnan(failed[0].metric_value.double_value.value):
                checks.append(Check(threshold, item, None, "undefined in this slice"))
            else:
                checks.append(Check(threshold, item, not failed))
        _merge(result, judged, item)
    failed = [check for check in checks if check.met is False]
    result.validation_ok = not failed
    return Verdict(not failed, _reason(failed, checks, bool(thresholds), baseline), checks, result)


def _judged_keys(config: config_pb2.EvalConfig) -> dict[tuple[str, str, bool], metric_types.MetricKey]:
    found = metric_specs.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    return {(key.name, key.model_name, key.is_diff): key for key in found}


def _keyed(
    numbers: Mapping[metric_types.MetricKey, float], judged: Mapping[tuple[str, str, bool], metric_types.MetricKey]
) -> dict[metric_types.MetricKey, float]:
    """Returns numbers by the keys that TFMA's thresholds have.

    Keys of some averages over classes are others in TFMA's specs than in its results (a weighted one is a macro one
    there); here names are distinct, so that they decide.
    """
    return {judged.get((key.name, key.model_name, key.is_diff), key): value for key, value in numbers.items()}


def _exemption(item: SliceMetrics, min_slice_size: int) -> str:
    if item.key == OVERALL:
        return ""
    if item.examples < min_slice_size:
        return f"fewer than {min_slice_size} examples"
    if item.one_class:
        return "only one class"
    return ""


def _is_about(failure: validation_result_pb2.ValidationFailure, threshold: Threshold, names: Mapping[str, str]) -> bool:
    if names.get(failure.metric_key.name) != threshold.metric:
        return False
    limits = failure.metric_threshold
    if threshold.is_change:
        higher = limits.change_threshold.direction == config_pb2.HIGHER_IS_BETTER
        return limits.HasField("change_threshold") and higher == (threshold.bound == "min_change")
    return limits.HasField("value_threshold") and limits.value_threshold.HasField(f"{threshold.bound}_bound")


def _merge(
    result: validation_result_pb2.ValidationResult,
    judged: validation_result_pb2.ValidationResult,
    item: SliceMetrics,
) -> None:
    for failed in judged.metric_validations_per_slice:
        kept = [
            failure
            for failure in failed.failures
            if item.key == OVERALL or not math.isnan(failure.metric_value.double_value.value)
        ]
        if kept:
            merged = result.metric_validations_per_slice.add()
            merged.CopyFrom(failed)
            del merged.failures[:]
            merged.failures.extend(kept)
    metrics_validator.merge_details(result, judged)


def _reason(failed: Sequence[Check], checks: Sequence[Check], any_thresholds: bool, baseline: str | None) -> str:
    if failed:
        more = len(failed) - 1
        rest = f"; {more} more {'threshold is' if more == 1 else 'thresholds are'} not met" if more else ""
        return describe(failed[0], baseline) + rest
    against = f"compared with {baseline}" if baseline else "no champion to compare with"
    if not any_thresholds:
        return f"no thresholds were set; {against}"
    overall = sum(check.metrics.key == OVERALL for check in checks)
    if not overall:
        return f"no value thresholds were set; {against}"
    met = "the threshold is met" if overall == 1 else f"all {overall} thresholds are met"
    return f"{met}; {against}"


def describe(check: Check, baseline: str | None) -> str:
    """Returns why a check failed: `AUC 0.71 is below its lower bound 0.99`."""
    threshold, item = check.threshold, check.metrics
    where = "" if item.key == OVERALL else f" of {slicing.label(item.key)} ({item.examples:,} examples)"
    if math.isnan(check.value):
        return f"{threshold.metric}{where} is undefined, so that its bound {threshold.limit:g} can't be met"
    value = f"{threshold.metric} {show(check.value)}{where}"
    if not threshold.is_change:
        side = "below its lower" if threshold.bound == "lower" else "above its upper"
        return f"{value} is {side} bound {show(threshold.limit)}"
    side = "below its minimum" if threshold.bound == "min_change" else "above its maximum"
    change = check.value - (check.baseline or 0.0)
    return (
        f"{value} is a change of {change:+.4g} from {baseline}'s {show(check.baseline)}, {side} of {threshold.limit:+g}"
    )
