"""Permutation importance of raw columns: how much worse the model is when a column's values change rows.

The model is asked through its signature of serialized tf.Examples, so that whatever is behind it (Keras, trees, the
transform graph) is one with it. A column moves whole: the many values of a row, and that it has none. What is known of
the rows (label, weight, slice) stays. The differences of several permutations have a mean and a standard deviation, as
scikit-learn's have (https://scikit-learn.org/stable/modules/permutation_importance.html).
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders import example_coder

from evaluate import data, losses, models, slicing, targets
from evaluate.problem import Problem
from evaluate.slicing import SliceKey
from stepkit import examples
from stepkit.errors import StepError, UsageError

MOST_ROWS = 10_000
TOP = 50
REPEATS = 5
# Slices with the most rows; a sample says little of small ones.
SLICES = 50
_MIN_SLICE_ROWS = 100
_SEED = 20_011  # of Breiman's year
# Values that are encoded and read in each of the two rounds. Each took 0.3 us of a core: half a minute.
BUDGET = 100_000_000
_FEWEST_ROWS = 100


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        rows: of the sample, at most; 0: nothing is.
        types: type of each raw column that is sent to the model.
        columns: those that may be permuted: what a request has.
        slices: features to slice by.
    """

    rows: int
    types: dict[str, str]
    columns: tuple[str, ...]
    slices: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class ColumnImportance:
    """Of one raw column.

    Attributes:
        mean: of the rises in loss; below 0 if the model was better without it, which is chance or overfitting.
        spread: their standard deviation.
        by_slice: the mean in each slice of `Importance.slices`; None where the slice has no weight.
    """

    column: str
    mean: float
    spread: float
    by_slice: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Importance:
    """What the model looks at.

    Attributes:
        loss: which, in words.
        value: of the rows as they are.
        rows: of the sample.
        repeats: permutations of each column.
        tried: columns that were permuted.
        screened: rows by which the best columns were chosen out of them; 0: all had all rows.
        slices: keys and rows of those of the sample.
        columns: the most important first, at most TOP.
    """

    loss: str
    value: float
    rows: int
    repeats: int
    tried: int
    screened: int = 0
    slices: tuple[tuple[SliceKey, int], ...] = ()
    columns: tuple[ColumnImportance, ...] = field(default_factory=tuple)

    @property
    def unused(self) -> int:
        """How many of the columns that were tried aren't listed."""
        return self.tried - len(self.columns)


def check_rows(rows: int) -> None:
    """Raises UsageError if a sample can't have so many rows."""
    if not 0 <= rows <= MOST_ROWS:
        raise UsageError(
            f"--importance-rows is {rows}; give up to {MOST_ROWS:,} rows to permute, or 0 for no importance"
        )


def measure(asked: Asked, model: models.Model, problem: Problem, parts: Sequence[Path], rows: int) -> Importance:
    """Measures the importance of columns on a sample of a split, the same for the same rows.

    Where there are more columns than the budget has permutations of, all are permuted once on few rows, and the TOP of
    them again.

    Args:
        parts: the split's files.
        rows: how many there are.

    Raises:
        StepError: a file can't be read, or the model can't answer.
    """
    sample = _read(asked, model, problem, parts, rows)
    names = [name for name in asked.columns if name in asked.types]
    cells = len(names) * len(asked.types)
    if cells * REPEATS * sample.rows <= BUDGET or len(names) <= TOP:
        return _ranked(sample.first(_affordable(sample.rows, cells * REPEATS)), names, len(names))
    few = _affordable(sample.rows, cells)
    screen = sample.first(few)
    rises = {name: next(screen.rises(name, 1))[0] for name in names}
    best = sorted(names, key=lambda name: (-rises[name], name))[:TOP]
    many = _affordable(sample.rows, TOP * REPEATS * len(asked.types))
    return _ranked(sample.first(many), best, len(names), few)


def _affordable(rows: int, values: int) -> int:
    """Returns how many of the rows the budget has, at so many encoded values each; never fewer than a few."""
    return max(min(rows, BUDGET // max(values, 1)), min(_FEWEST_ROWS, rows))


def _ranked(sample: "_Sample", names: Sequence[str], tried: int, screened: int = 0) -> Importance:
    found = []
    for name in names:
        rises = np.array(list(sample.rises(name, REPEATS)))
        means = [float(mean) if np.isfinite(mean) else None for mean in rises.mean(axis=0)]
        found.append(ColumnImportance(name, means[0] or 0.0, float(rises[:, 0].std()), tuple(means[1:])))
    found.sort(key=lambda item: (-item.mean, item.column))
    return Importance(
        losses.NAMES[sample.problem.task],
        float(sample.values[0]),
        sample.rows,
        REPEATS,
        tried,
        screened,
        sample.slices,
        tuple(found[:TOP]),
    )


@dataclass(frozen=True)
class _Sample:
    """Rows to permute.

    Attributes:
        batch: their raw columns, as lists.
        members: float64 [slices + 1, rows]: which are in which slice; the first is of all.
        keys: of the slices.
    """

    batch: pa.RecordBatch
    wanted: targets.Targets
    members: np.ndarray
    keys: list[SliceKey]
    problem: Problem
    predict: Callable[[tf.Tensor], np.ndarray]

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.batch.num_rows)

    @property
    def slices(self) -> tuple[tuple[SliceKey, int], ...]:
        """The slices and how many of the rows each has."""
        return tuple((key, int(row.sum())) for key, row in zip(self.keys, self.members[1:], strict=True))

    @functools.cached_property
    def values(self) -> np.ndarray:
        """The loss of each slice, of the rows as they are."""
        return self._losses(self.batch)

    def first(self, rows: int) -> "_Sample":
        """Returns the first of the rows, which are in an order of chance."""
        if rows >= self.rows:
            return self
        wanted, members = self.wanted.take(np.arange(rows)), self.members[:, :rows]
        return dataclasses.replace(self, batch=self.batch.slice(0, rows), wanted=wanted, members=members)

    def rises(self, name: str, repeats: int) -> Iterator[np.ndarray]:
        """Yields for each permutation of a column how much the loss rises (float64 [slices + 1])."""
        number = self.batch.schema.get_field_index(name)
        for repeat in range(repeats):
            # The same permutations for all columns: what differs between these is then theirs.
            order = np.random.default_rng([_SEED, repeat]).permutation(self.rows)
            moved = self.batch.column(number).take(pa.array(order))
            yield self._losses(self.batch.set_column(number, name, moved)) - self.values

    def _losses(self, batch: pa.RecordBatch) -> np.ndarray:
        weights = np.ones(len(batch)) if self.wanted.weights is None else self.wanted.weights
        found = losses.of_rows(self.wanted.labels, self.predict(_serialized(batch)), self.problem)
        return losses.by_slice(found, weights, self.members, self.problem)


def _read(asked: Asked, model: models.Model, problem: Problem, parts: Sequence[Path], rows: int) -> _Sample:
    """Draws rows of a split, and learns their labels, weights and slices."""
    sliced_by = list(dict.fromkeys(name for features in asked.slices for name in features))
    drawn = _drawn(parts, asked.types, sliced_by, rows, asked.rows)
    members, keys = _members(asked.slices, {name: drawn.column(f"raw:{name}") for name in sliced_by}, len(drawn))
    batch = drawn.select(list(asked.types))
    wanted = targets.reader(model, problem)(_serialized(batch))
    return _Sample(batch, wanted, members, keys, problem, models.predictor(model, problem))


def _serialized(batch: pa.RecordBatch) -> tf.Tensor:
    return tf.constant(example_coder.RecordBatchToExamplesEncoder().encode(batch))


def _drawn(parts: Sequence[Path], types: dict[str, str], keep: Sequence[str], rows: int, most: int) -> pa.RecordBatch:
    """Returns at most `most` rows of a split, drawn without repetition, in an order of chance."""
    chance = np.random.default_rng([_SEED, rows])
    wanted = np.sort(chance.choice(rows, min(rows, most), replace=False))
    found, start = [], 0
    for batch in examples.read_batches(parts, types, data.BATCH_ROWS, keep=keep):
        low, high = np.searchsorted(wanted, [start, start + batch.num_rows])
        if low < high:
            found.append(batch.take(pa.array(wanted[low:high] - start)))
        start += batch.num_rows
    if start != rows:
        raise StepError(f"The manifest says {rows:,} rows and the files have {start:,}. Run extract again.")
    (batch,) = pa.Table.from_batches(found).combine_chunks().to_batches()
    return batch.take(pa.array(chance.permutation(batch.num_rows)))


def _members(
    sliced_by: Sequence[tuple[str, ...]], columns: dict[str, pa.Array], rows: int
) -> tuple[np.ndarray, list[SliceKey]]:
    sizes: dict[SliceKey, int] = {}
    places: dict[SliceKey, tuple[np.ndarray, int]] = {}
    for features in sliced_by:
        sliced = slicing.slice_rows(features, columns)
        counts = np.bincount(sliced.codes[sliced.codes != slicing.MISSING], minlength=len(sliced.keys))
        for number, key in enumerate(sliced.keys):
            if counts[number] >= _MIN_SLICE_ROWS:
                sizes[key], places[key] = int(counts[number]), (sliced.codes, number)
    keys = sorted(sizes, key=lambda key: (-sizes[key], slicing.label(key)))[:SLICES]
    inside = [(places[key][0] == places[key][1]).astype(np.float64) for key in keys]
    return np.stack([np.ones(rows), *inside]), keys
