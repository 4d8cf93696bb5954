"""Aggregation: from labels and predictions of rows to TFMA's metrics and plots of slices.

What is computed, and what follows from it, is TFMA's: its computations, its derived metrics, its protos. Only the
per-row work is done on arrays (see `accumulators`). It knows nothing of models, thresholds or files of the step.
"""

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator as evaluator
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2
from tensorflow_model_analysis.utils import model_util
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as protos

from evaluate import accumulators, intervals, resampling, slicing, views
from evaluate.problem import Problem
from evaluate.slicing import MISSING, OVERALL, SliceKey, Slicing
from evaluate.sums import Sums
from evaluate.targets import Targets
from stepkit import tasks

# pylint: disable=protected-access  # TFMA's evaluator only shows its Beam pipeline; the version is checked


@dataclass(frozen=True)
class Aggregates:
    """TFMA's results, the overall slice first, then in the order of slice keys.

    Attributes:
        metrics: one proto a slice.
        plots: one proto a slice.
        counts: (rows, rows of each class) of every slice; see `Partial`.
    """

    metrics: list[metrics_for_slice_pb2.MetricsForSlice]
    plots: list[metrics_for_slice_pb2.PlotsForSlice]
    counts: dict[SliceKey, tuple[int, ...]]


@dataclass
class Partial:
    """What is known of some of the rows. Pickles, and doesn't grow with them.

    Attributes:
        slices: key of each slice to its number, by which the rest refers to it.
        counts: rows by slice, and those of each class; of a binary problem, those with label 1.
        sums: of each additive computation, by slice and cell.
        others: slice to TFMA's accumulators of the computations that are left to TFMA, row by row.
    """

    slices: dict[SliceKey, int] = field(default_factory=lambda: {OVERALL: 0})
    counts: Sums | None = None
    sums: dict[int, Sums] = field(default_factory=dict)
    others: dict[int, Any] = field(default_factory=dict)


class Aggregator:
    """The computations of a configuration, over rows that come in batches, in parts, in any order."""

    def __init__(self, config: config_pb2.EvalConfig, problem: Problem) -> None:
        """Raises RuntimeError if TFMA is another than the one whose internals are known."""
        accumulators.check_version()
        self._problem = problem
        computations = metric_specs.to_computations(config.metrics_specs, eval_config=config)
        self._computations = evaluator._filter_and_separate_computations(computations)
        direct = self._computations.non_derived_computations
        self._additive = {
            index: found
            for index, item in enumerate(direct)
            if (found := accumulators.additive(item, problem)) is not None
        }
        self._others = [index for index in range(len(direct)) if index not in self._additive]
        self._models = [model.name if len(config.model_specs) > 1 else "" for model in config.model_specs]
        self._method = intervals.asked(config)
        counts = metric_specs.metric_keys_to_skip_for_confidence_intervals(config.metrics_specs, eval_config=config)
        self._no_interval = {*counts, *(key.make_diff_key() for key in counts)}
        baseline = model_util.get_baseline_model_spec(config)
        self._baseline = baseline.name if baseline else None
        self._all = evaluator._ComputationsCombineFn(direct)
        self._all.setup()
        others = [direct[index] for index in self._others]
        self._preprocess = evaluator._PreprocessorDoFn(others)
        self._preprocess.setup()
        self._combine_others = evaluator._ComputationsCombineFn(others)
        self._combine_others.setup()

    @property
    def by_row(self) -> list[str]:
        """Names of what is left to TFMA's combiners, at about 0.2 ms a row and slice."""
        direct = self._computations.non_derived_computations
        return list(dict.fromkeys(key.name for index in self._others for key in direct[index].keys))

    def add(
        self,
        partial: Partial,
        targets: Targets,
        predictions: Mapping[str, np.ndarray],
        slicings: Sequence[Slicing],
    ) -> None:
        """Adds rows to `partial`.

        Args:
            targets: what the problem has.
            predictions: model name in the configuration to float64 [rows] or [rows, classes].
            slicings: how these rows are sliced; all of them are in the overall slice too.

        Raises:
            StepError: a slicing has come to more than MAX_SLICES slices.
        """
        labels = targets.labels
        alike = np.ones(len(labels))
        weights = alike if targets.weights is None else targets.weights
        rows, slices = _memberships(len(labels), slicings, partial.slices)
        counted = _counted(labels, self._problem)
        if partial.counts is None:
            partial.counts = Sums(counted.shape[1])
        partial.counts.add(slices, counted[rows])
        for index, plan in self._additive.items():
            key = self._computations.non_derived_computations[index].keys[0]
            cells, terms = plan.terms((labels, predictions[key.model_name], weights if plan.weighted else alike))
            if index not in partial.sums:
                partial.sums[index] = Sums(terms.shape[1])
            picked, within = _repeated(rows, slices, len(terms) // len(labels))
            chosen = 0 if isinstance(cells, int) else cells[picked]
            partial.sums[index].add(within * plan.cells + chosen, terms[picked])
        if self._others:
            inputs = [self._extracts(labels[row], predictions, weights[row], row) for row in range(len(labels))]
            for row, number in zip(rows.tolist(), slices.tolist(), strict=True):
                found = partial.others.get(number) or self._combine_others.create_accumulator()
                partial.others[number] = self._combine_others.add_input(found, inputs[row])

    def _extracts(self, label: Any, predictions: Mapping[str, np.ndarray], weight: float, row: int) -> Any:
        """Returns what TFMA's combiners take for a row."""
        predicted = {name: values[row].reshape(-1) for name, values in predictions.items()}
        single = self._models == [""]
        sparse = self._problem.task == tasks.MULTICLASS
        labels = np.array([label], np.int64) if sparse else np.asarray(label, np.float64).reshape(-1)
        extracts = {
            constants.LABELS_KEY: labels if single else dict.fromkeys(predicted, labels),
            constants.PREDICTIONS_KEY: predicted[""] if single else predicted,
            constants.SLICE_KEY_TYPES_KEY: (),
        }
        if self._problem.weight:
            weights = np.array([weight])
            extracts[constants.EXAMPLE_WEIGHTS_KEY] = weights if single else dict.fromkeys(predicted, weights)
        return next(iter(self._preprocess.process(extracts)))

    def merge(self, partials: Iterable[Partial]) -> Partial:
        """Returns a new Partial of all rows of `partials`.

        Raises:
            StepError: together they have more than MAX_SLICES slices of a slicing.
        """
        merged = Partial()
        for partial in partials:
            numbers = _numbers(list(partial.slices), merged.slices)
            if partial.counts is not None:
                keys, totals = _renumbered(partial.counts, numbers, 1)
                merged.counts = merged.counts or Sums(totals.shape[1])
                merged.counts.add(keys, totals)
            for index, sums in partial.sums.items():
                keys, totals = _renumbered(sums, numbers, self._additive[index].cells)
                merged.sums.setdefault(index, Sums(totals.shape[1])).add(keys, totals)
            for number, other in partial.others.items():
                target = int(numbers[number])
                known = merged.others.get(target)
                # A copy: TFMA's combiners may change what they merge.
                given = copy.deepcopy(other)
                merged.others[target] = given if known is None else self._merge_others(known, given)
        return merged

    def _merge_others(self, one: Any, other: Any) -> tuple[Any, ...]:
        # One after the other, not TFMA's merge of all: some of its combiners only merge an iterator rightly.
        direct = self._computations.non_derived_computations
        return tuple(
            direct[index].combiner.merge_accumulators(iter(pair))
            for index, pair in zip(self._others, zip(one, other, strict=True), strict=True)
        )

    def extract(self, partial: Partial, samples: Sequence[Partial] = ()) -> Aggregates:
        """Returns the metrics and plots of every slice.

        Args:
            samples: of the same rows, as `resampling` says: with them metrics have confidence intervals.
        """
        counts = _by_slice(partial.counts, 1) if partial.counts else {}
        sampled = self._sampled(samples)
        found = Aggregates([], [], {})
        for key, values in self._of_slices(partial):
            _, metrics = evaluator._filter_by_key_type((key, values), metric_types.MetricKey)
            _, plots = evaluator._filter_by_key_type((key, values), metric_types.PlotKey)
            expected = len(samples) if key == OVERALL else min(len(samples), resampling.SAMPLES)
            # A slice that a sample lacks has too few rows to say anything.
            if samples and len(sampled.get(key, ())) == expected:
                metrics = intervals.of_samples(self._method, metrics, sampled[key], self._no_interval)
            found.metrics.append(protos.convert_slice_metrics_to_proto((key, metrics), None))
            found.plots.append(protos.convert_slice_plots_to_proto((key, plots), None))
            found.counts[key] = tuple(round(total) for total in counts[partial.slices[key]][1][0].tolist())
        return found

    def _of_slices(self, partial: Partial) -> Iterator[tuple[SliceKey, metric_types.MetricsDict]]:
        """Yields what is computed of each slice, in the order of their keys."""
        by_slice = {index: _by_slice(partial.sums[index], plan.cells) for index, plan in self._additive.items()}
        for key, number in sorted(partial.slices.items(), key=lambda item: _order(item[0])):
            accumulated: dict[int, Any] = {
                index: self._additive[index].accumulator(*slices[number]) for index, slices in by_slice.items()
            }
            accumulated |= zip(self._others, partial.others.get(number, ()), strict=False)
            yield key, self._values([accumulated[index] for index in sorted(accumulated)])

    def _sampled(self, samples: Sequence[Partial]) -> dict[SliceKey, list[metric_types.MetricsDict]]:
        """Returns the metrics of each slice in the samples that have it."""
        found: dict[SliceKey, list[metric_types.MetricsDict]] = {}
        rounds = [samples[start : start + resampling.SAMPLES] for start in range(0, len(samples), resampling.SAMPLES)]
        for partials in rounds:
            for partial in self._without_each(partials) if self._method == resampling.JACKKNIFE else partials:
                for key, values in self._of_slices(partial) if partial.counts else ():
                    _, metrics = evaluator._filter_by_key_type((key, values), metric_types.MetricKey)
                    found.setdefault(key, []).append(metrics)
        return found

    def _without_each(self, partials: Sequence[Partial]) -> list[Partial]:
        """Returns for each of `partials` what the others know together."""

        def sums(items: Sequence[Partial]) -> list[Partial]:
            return list(itertools.accumulate(items, lambda one, other: self.merge([one, other]), initial=Partial()))

        return [self.merge(pair) for pair in zip(sums(partials[:-1]), sums(partials[:0:-1])[::-1], strict=True)]

    def _values(self, accumulated: Sequence[Any]) -> metric_types.MetricsDict:
        """Returns all metrics and plots of a slice: computed, derived, and candidate less baseline."""
        values = self._all.extract_output(accumulated)
        for derived in self._computations.derived_computations:
            values.update(derived.result(values))
        if self._baseline:
            values.update(
                {
                    key.make_diff_key(): value - values[key.make_baseline_key(self._baseline)]
                    for key, value in list(values.items())
                    if not evaluator._is_private_metrics(key)
                    and not key.is_diff
                    and key.model_name != self._baseline
                    and key.make_baseline_key(self._baseline) in values
                    and evaluator._is_metric_diffable(value)
                }
            )
        return evaluator._remove_private_metrics((), values)[1]


def _memberships(rows: int, slicings: Sequence[Slicing], known: dict[SliceKey, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns pairs of row and number of a slice it is in (two int64 arrays), and adds new slices to `known`."""
    row_parts = [np.arange(rows)]
    slice_parts = [np.full(rows, known[OVERALL])]
    for sliced in slicings:
        present = np.flatnonzero(sliced.codes != MISSING)
        row_parts.append(present)
        slice_parts.append(_numbers(sliced.keys, known)[sliced.codes[present]])
    return np.concatenate(row_parts), np.concatenate(slice_parts)


def _repeated(rows: np.ndarray, slices: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions of what rows have where each has several in turn, and the slice of each."""
    if times == 1:
        return rows, slices
    return (rows[:, None] * times + np.arange(times)).reshape(-1), np.repeat(slices, times)


def _counted(labels: np.ndarray, problem: Problem) -> np.ndarray:
    """Returns what each row adds to the counts."""
    ones = np.ones((len(labels), 1))
    if problem.task == tasks.REGRESSION:
        return ones
    return np.hstack([ones, views.one_hot(labels, problem) if problem.has_many_outputs else labels[:, None]])


def _numbers(keys: Sequence[SliceKey], known: dict[SliceKey, int]) -> np.ndarray:
    """Returns the number of each slice, giving new ones the next."""
    before = len(known)
    numbers = np.array([known.setdefault(key, len(known)) for key in keys], np.int64)
    if len(known) > max(before, slicing.MAX_SLICES):
        sizes: dict[tuple[str, ...], int] = {}
        for key in known:
            features = tuple(name for name, _ in key)
            sizes[features] = sizes.get(features, 0) + 1
            if sizes[features] > slicing.MAX_SLICES:
                raise slicing.too_many(features)
    return numbers


def _renumbered(sums: Sums, numbers: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    keys, totals = sums.totals()
    slices, cell = np.divmod(keys, cells)
    return numbers[slices] * cells + cell, totals


def _by_slice(sums: Sums, cells: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Returns slice to its cells and their sums."""
    keys, totals = sums.totals()
    slices, cell = np.divmod(keys, cells)
    numbers, starts = np.unique(slices, return_index=True)
    parts = zip(np.split(cell, starts[1:]), np.split(totals, starts[1:]), strict=True)
    return dict(zip(numbers.tolist(), parts, strict=True))


def _order(key: SliceKey) -> Any:
    """Orders slice keys: fewer features first, then by names, then by values, numbers before text."""
    return len(key), [name for name, _ in key], [(isinstance(value, str), value) for _, value in key]
