"""From files of a split to what is known of their rows: read, ask the models, aggregate, a batch at a time."""

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_model_analysis.proto import config_pb2

from evaluate import data, intervals, models, resampling, slicing, targets
from evaluate.aggregate import Aggregator, Partial
from evaluate.config import BASELINE
from evaluate.drawing import Drawn
from evaluate.problem import Problem
from evaluate.slicing import Slicing
from evaluate.tally import Tally
from evaluate.targets import Targets


@dataclass(frozen=True)
class Task:
    """What is the same for all parts of a split. Pickles.

    Attributes:
        config: which models there are, and what is computed.
        problem: what the candidate is for; labels and weights come from its transform.
        types: type of each raw feature.
        slices: features to slice by.
    """

    config: config_pb2.EvalConfig
    problem: Problem
    types: dict[str, str]
    slices: tuple[tuple[str, ...], ...]


@dataclass
class Scores:
    """What is known of some rows. Pickles, and doesn't grow with them.

    Attributes:
        samples: what is known of each sample of them, where confidence intervals are asked for.
    """

    tally: Tally = field(default_factory=Tally)
    partial: Partial = field(default_factory=Partial)
    drawn: Drawn = field(default_factory=Drawn)
    samples: list[Partial] = field(default_factory=list)


class Scorer:
    """Scores parts of a split with loaded models."""

    def __init__(self, task: Task, aggregator: Aggregator, by_name: Mapping[str, models.Model]) -> None:
        """Checks the models.

        Args:
            aggregator: of the task's configuration.
            by_name: the models by their names in the configuration.

        Raises:
            StepError: a model lacks a signature that is needed.
        """
        self._aggregator = aggregator
        self._task = task
        self._columns = list(dict.fromkeys(name for features in task.slices for name in features))
        self._predictors = {name: models.predictor(model, task.problem) for name, model in by_name.items()}
        candidate = next(model for name, model in by_name.items() if name != BASELINE)
        self._read = targets.reader(candidate, task.problem)
        self._method = intervals.asked(task.config)

    def score(self, parts: Sequence[Path], advance: Callable[[int], None] = lambda rows: None) -> Scores:
        """Scores all rows of `parts`.

        Args:
            parts: Parquet files.
            advance: called with the number of rows of each batch.

        Raises:
            StepError: a file can't be read, a model can't answer, or there are too many slices.
        """
        scores = Scores()
        for batch in data.read_parts(parts, self._task.types, self._columns):
            serialized = tf.constant(batch.serialized)
            wanted = self._read(serialized)
            predictions = {name: predict(serialized) for name, predict in self._predictors.items()}
            found = Tally.of(wanted, predictions)
            scores.tally |= found
            # After a row that no metric takes only the tally matters: it says how many there are.
            if scores.tally.is_sound(self._task.problem):
                sliced = [slicing.slice_rows(features, batch.columns) for features in self._task.slices]
                self._aggregator.add(scores.partial, wanted, predictions, sliced)
                scores.drawn.add(wanted, predictions, self._task.problem)
                if self._method:
                    self._sample(scores, wanted, predictions, sliced)
            advance(len(batch.serialized))
        return scores

    def _sample(
        self,
        scores: Scores,
        wanted: Targets,
        predictions: Mapping[str, np.ndarray],
        slicings: Sequence[Slicing],
    ) -> None:
        found = resampling.rows_of_samples(self._method, wanted.labels)
        scores.samples = scores.samples or [Partial() for _ in found]
        for number, (partial, rows) in enumerate(zip(scores.samples, found, strict=True)):
            if len(rows):
                picked = {name: values[rows] for name, values in predictions.items()}
                sliced = [each.take(rows) for each in slicings] if number < resampling.SAMPLES else []
                self._aggregator.add(partial, wanted.take(rows), picked, sliced)


def merge(aggregator: Aggregator, scores: Iterable[Scores]) -> Scores:
    """Returns what is known of all rows of `scores` (which may change) together.

    Raises:
        StepError: there are too many slices.
    """
    items = list(scores)
    tally = functools.reduce(operator.or_, (item.tally for item in items), Tally())
    drawn = functools.reduce(Drawn.merge, (item.drawn for item in items), Drawn())
    sampled = zip(*(item.samples for item in items if item.samples), strict=True)
    return Scores(
        tally, aggregator.merge(item.partial for item in items), drawn, [aggregator.merge(parts) for parts in sampled]
    )
