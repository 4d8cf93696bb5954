"""TFMA's EvalConfig for this evaluation."""

from collections.abc import Sequence

import tf_keras
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2

from evaluate.thresholds import Threshold
from stepkit.errors import StepError, near_misses

CANDIDATE = "candidate"
BASELINE = "baseline"
# Always computed: the report and the classification metrics are drawn from them.
PLOTS = ("CalibrationPlot", "ConfusionMatrixPlot")


def candidate_name(has_baseline: bool) -> str:
    """Returns the name that TFMA's results give the candidate: models only have names where there are two."""
    return CANDIDATE if has_baseline else ""


def build(
    metrics: Sequence[str],
    thresholds: Sequence[Threshold],
    slices: Sequence[tuple[str, ...]],
    label_key: str,
    has_baseline: bool,
) -> config_pb2.EvalConfig:
    """Returns the configuration, as it is kept beside the results.

    A threshold applies to the whole split; one of every slice to all `slices` too. Change thresholds are left out where
    there is nothing to compare with.

    Raises:
        StepError: TFMA knows no metric of that name, or the metric needs parameters.
    """
    _check_metrics(metrics)
    config = config_pb2.EvalConfig()
    config.options.include_default_metrics.value = False
    config.model_specs.add(name=candidate_name(has_baseline), label_key=label_key)
    if has_baseline:
        config.model_specs.add(name=BASELINE, label_key=label_key, is_baseline=True)
    config.slicing_specs.add()
    for features in slices:
        config.slicing_specs.add(feature_keys=features)
    spec = config.metrics_specs.add(model_names=[model.name for model in config.model_specs])
    for name in dict.fromkeys([*metrics, *PLOTS]):
        metric = spec.metrics.add(class_name=name)
        for threshold in thresholds:
            if threshold.metric == name and (has_baseline or not threshold.is_change):
                _add_threshold(metric, threshold, slices)
    return config


def _check_metrics(metrics: Sequence[str]) -> None:
    known = {*metric_types.registered_metrics()}
    known |= {
        name
        for name, item in vars(tf_keras.metrics).items()
        if isinstance(item, type) and issubclass(item, tf_keras.metrics.Metric)
    }
    for name in metrics:
        if name not in known:
            raise StepError(f"--metrics-config names {name!r}, which is no metric of TFMA. {near_misses(name, known)}")
        try:
            metric_specs.metric_instance(config_pb2.MetricConfig(class_name=name))
        except (TypeError, ValueError) as error:
            raise StepError(
                f"--metrics-config names {name!r}, which can't be used without parameters ({error}). Choose another."
            ) from error


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
    """Returns the name of each metric in TFMA's results to its class name: `auc` to `AUC`."""
    return {
        key.name: metric.class_name
        for key, metric, _ in metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs)
    }
