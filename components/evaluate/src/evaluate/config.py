"""TFMA's EvalConfig for this evaluation."""

import json
from collections.abc import Sequence

from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import config_pb2

from evaluate import intervals, own_metrics
from evaluate.entries import Metric
from evaluate.problem import Problem
from evaluate.thresholds import Threshold
from stepkit import tasks
from stepkit.errors import StepError

CANDIDATE = "candidate"
BASELINE = "baseline"
# Always computed: the report and the classification metrics are drawn from them.
PLOTS = {
    tasks.BINARY: ("CalibrationPlot", "ConfusionMatrixPlot"),
    tasks.MULTICLASS: ("MultiClassConfusionMatrixPlot",),
    tasks.MULTILABEL: (),
    tasks.REGRESSION: (),
}
_AVERAGES = {"macro": "macro_average", "micro": "micro_average", "weighted": "weighted_macro_average"}


def candidate_name(has_baseline: bool) -> str:
    """Returns the name that TFMA's results give the candidate: models only have names where there are two."""
    return CANDIDATE if has_baseline else ""


def build(
    metrics: Sequence[Metric],
    thresholds: Sequence[Threshold],
    slices: Sequence[tuple[str, ...]],
    problem: Problem,
    has_baseline: bool,
    interval_method: str = "",
) -> config_pb2.EvalConfig:
    """Returns the configuration, as it is kept beside the results.

    A threshold applies to the whole split; one of every slice to all `slices` too. Change thresholds are left out where
    there is nothing to compare with.

    Args:
        interval_method: of confidence intervals, see `resampling`; empty: none are computed.

    Raises:
        StepError: a metric needs parameters, has wrong ones, or has a name that TFMA gives another.
    """
    config = config_pb2.EvalConfig()
    config.options.include_default_metrics.value = False
    intervals.ask(config, interval_method)
    config.model_specs.add(
        name=candidate_name(has_baseline), label_key=problem.label, example_weight_key=problem.weight
    )
    if has_baseline:
        config.model_specs.add(
            name=BASELINE, label_key=problem.label, example_weight_key=problem.weight, is_baseline=True
        )
    config.slicing_specs.add()
    for features in slices:
        config.slicing_specs.add(feature_keys=features)
    models = [model.name for model in config.model_specs]
    plain = config.metrics_specs.add(model_names=models)
    computed = {metric.shown: metric for metric in metrics}
    for name in PLOTS[problem.task]:
        computed.setdefault(name, Metric(name, name))
    for metric in computed.values():
        spec = plain if metric.is_plain else _aggregated(config.metrics_specs.add(model_names=models), metric, problem)
        _add(spec, metric, thresholds, slices, has_baseline)
    if not plain.metrics:
        config.metrics_specs.remove(plain)
    _check_names(config)
    return config


def _aggregated(spec: config_pb2.MetricsSpec, metric: Metric, problem: Problem) -> config_pb2.MetricsSpec:
    if not metric.aggregate:
        if metric.class_id is not None:
            spec.binarize.class_ids.values.append(metric.class_id)
        elif metric.top_k is not None:
            spec.binarize.top_k_list.values.append(metric.top_k)
        return spec
    setattr(spec.aggregate, _AVERAGES[metric.aggregate], True)
    if metric.top_k is not None:
        spec.aggregate.top_k_list.values.append(metric.top_k)
    else:
        for number in range(problem.outputs):
            spec.aggregate.class_weights[number] = 1.0
    return spec


def _add(
    spec: config_pb2.MetricsSpec,
    metric: Metric,
    thresholds: Sequence[Threshold],
    slices: Sequence[tuple[str, ...]],
    has_baseline: bool,
) -> None:
    made = spec.metrics.add(class_name=metric.class_name)
    if metric.class_name in own_metrics.NAMES:
        made.module = own_metrics.MODULE
    if not metric.is_plain:
        made.config = json.dumps({**json.loads(metric.config), "name": metric.shown}, sort_keys=True)
    try:
        metric_specs.metric_instance(made)
    except (TypeError, ValueError) as error:
        given = json.loads(metric.config)
        how = f"with the parameters {given!r}" if given else "without parameters"
        raise StepError(
            f"--metrics-config names {metric.class_name!r}, which can't be used {how} ({error}). Correct its config or "
            "choose another."
        ) from error
    for threshold in thresholds:
        if threshold.metric == metric.shown and (has_baseline or not threshold.is_change):
            _add_threshold(made, threshold, slices)


def _check_names(config: config_pb2.EvalConfig) -> None:
    taken: dict[str, str] = {}
    for key, metric, _ in metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs):
        if taken.setdefault(key.name, metric.class_name) != metric.class_name:
            raise StepError(
                f"--metrics-config: {key.name!r} is the name of two metrics, as TFMA calls {taken[key.name]} so. "
                "Choose another name."
            )


def _add_threshold(metric: config_pb2.MetricConfig, threshold: Threshold, slices: Sequence[tuple[str, ...]]) -> None:
    entry = metric.per_slice_thresholds.add()
    entry.slicing_specs.add()
    if threshold.every_slice:
        for features in slices:
            entry.slicing_specs.add(feature_keys=features)
    if threshold.bound == "lower":
        entry.threshold.value_threshold.lower_bound.value = threshold.limit
    elif threshold.bound == "upper":
        entry.threshold.value_threshold.upper_bound.value = threshold.limit
    else:
        change = entry.threshold.change_threshold
        change.absolute.value = threshold.limit
        change.direction = (
            config_pb2.HIGHER_IS_BETTER if threshold.bound == "min_change" else config_pb2.LOWER_IS_BETTER
        )


def metric_names(config: config_pb2.EvalConfig) -> dict[str, str]:
    """Returns the name of each metric in TFMA's results to how it is shown: `auc` to `AUC`."""
    return {
        key.name: json.loads(metric.config or "{}").get("name", metric.class_name)
        for key, metric, _ in metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs)
    }
