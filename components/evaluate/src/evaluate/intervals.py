"""Confidence intervals of a slice's metrics: TFMA's statistics of samples."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tensorflow_model_analysis import constants
from tensorflow_model_analysis.api import types
from tensorflow_model_analysis.evaluators import confidence_intervals_util, jackknife, poisson_bootstrap
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from evaluate import resampling

# pylint: disable=protected-access  # the combiners of samples have no public face; the version is checked

_OPTIONS = config_pb2.ConfidenceIntervalOptions
_METHODS = {resampling.JACKKNIFE: _OPTIONS.JACKKNIFE, resampling.BOOTSTRAP: _OPTIONS.POISSON_BOOTSTRAP}
_COMBINERS = {
    resampling.JACKKNIFE: jackknife._JackknifeSampleCombineFn,
    resampling.BOOTSTRAP: poisson_bootstrap._BootstrapSampleCombineFn,
}
_FULL_SAMPLE = -1
_ERROR = metric_types.MetricKey(constants.ERROR_METRIC_NAME)


def ask(config: config_pb2.EvalConfig, method: str) -> None:
    """Has a configuration ask for intervals by a method, or for none if it is empty."""
    if method:
        config.options.compute_confidence_intervals.value = True
        config.options.confidence_intervals.method = _METHODS[method]


def asked(config: config_pb2.EvalConfig) -> str:
    """Returns the method that a configuration asks for; empty: none."""
    if not config.options.compute_confidence_intervals.value:
        return ""
    return next(name for name, number in _METHODS.items() if number == config.options.confidence_intervals.method)


def of_samples(
    method: str,
    metrics: metric_types.MetricsDict,
    samples: Sequence[metric_types.MetricsDict],
    skipped: Collection[metric_types.MetricKey],
) -> metric_types.MetricsDict:
    """Returns metrics with their distributions, where samples give one.

    Args:
        metrics: of all rows.
        samples: those of each sample, round after round; of a jackknife, of all rows but those of each bucket.
        skipped: metrics that have no interval.
    """
    rounds = [
        _of_round(method, metrics, samples[start : start + resampling.SAMPLES], skipped)
        for start in range(0, len(samples), resampling.SAMPLES)
    ]
    return {key: _averaged([found.get(key, value) for found in rounds], value) for key, value in metrics.items()}


def _of_round(
    method: str,
    metrics: metric_types.MetricsDict,
    samples: Sequence[metric_types.MetricsDict],
    skipped: Collection[metric_types.MetricKey],
) -> Mapping[metric_types.MetricKey, Any]:
    combiner = _COMBINERS[method](len(samples), set(skipped))
    known = combiner.create_accumulator()
    for number, sample in enumerate(samples):
        known = combiner.add_input(known, confidence_intervals_util.SampleMetrics(sample, number))
    # A copy: TFMA adds a message where a metric has no interval.
    known = combiner.add_input(known, confidence_intervals_util.SampleMetrics(dict(metrics), _FULL_SAMPLE))
    return {key: value for key, value in combiner.extract_output(known).items() if key != _ERROR}


def _averaged(rounds: Sequence[Any], value: Any) -> Any:
    """Returns the distribution with the mean variance of all rounds; the value alone if one has none."""
    if not all(isinstance(found, types.ValueWithTDistribution) for found in rounds):
        return value
    mean, variance = rounds[0].sample_mean, rounds[0].sample_standard_deviation ** 2
    for found in rounds[1:]:
        mean, variance = mean + found.sample_mean, variance + found.sample_standard_deviation**2
    return types.ValueWithTDistribution(
        sample_mean=mean / len(rounds),
        sample_standard_deviation=(variance / len(rounds)) ** 0.5,
        sample_degrees_of_freedom=rounds[0].sample_degrees_of_freedom,
        unsampled_value=value,
    )
