"""A split as tf.data: decoded and checked once, then served in an order that only the seed and the epoch decide.

The examples are kept as Arrow (see `train.cache`). Rows are picked in Arrow, many batches at a time, and cut into
batches by TensorFlow, so that a step waits for neither parsing nor Python.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from stepkit.errors import StepError
from stepkit.progress import bar
from train import reading
from train.cache import Cache
from train.schema import FeatureSpec

# Most bytes of a split's decoded examples that stay in memory.
MEMORY_BUDGET_BYTES = 1 << 30
# Bytes of examples that are in memory at a time, and shuffled among each other, where a split is larger than that.
WINDOW_BYTES = 64 << 20
_PIECE_ROWS = 16_384
_VALIDATION_ROWS = 1024

Batch = tuple[dict[str, Any], tf.Tensor]


def open_split(
    split: reading.Split,
    spec: FeatureSpec,
    label_key: str,
    budget: int = MEMORY_BUDGET_BYTES,
    window: int = WINDOW_BYTES,
) -> "Source":
    """Decodes and checks a split.

    Args:
        spec: parsing spec of the transformed examples, with the label.
        budget: most bytes of decoded examples to keep in memory; above it, they go to a temporary file.
        window: bytes of that file to read and shuffle at a time.

    Raises:
        StepError: a file is corrupt, doesn't fit the spec or has another number of rows than the manifest says, or the
            label is useless: missing, NaN, infinite, or the same in every row.
    """
    cache = Cache(reading.arrow_schema(spec), budget)
    check = _LabelCheck(split.name, label_key)
    with bar(f"Reading {split.name}", split.rows) as advance:
        for file, block in reading.read(split, spec):
            check.add(str(file), block.column(label_key).to_numpy())
            cache.add(block)
            advance(block.num_rows)
    check.finish()
    cache.finish()
    return Source(cache, spec, label_key, window)


class Source:
    """A split that a model can be trained on or validated with. Batches are ({feature: tensor}, label).

    Attributes:
        rows: number of examples.
    """

    def __init__(self, cache: Cache, spec: FeatureSpec, label_key: str, window: int) -> None:
        self.rows = sum(cache.block_rows)
        self._cache = cache
        self._spec = spec
        self._label_key = label_key
        blocks = len(cache.block_rows)
        self._window_blocks = max(1, window * blocks // max(1, cache.nbytes))

    def epochs(
        self,
        batch_rows: int,
        seed: int,
        epoch: Callable[[], int],
        share: tuple[int, int] = (0, 1),
        features: Sequence[str] | None = None,
    ) -> tf.data.Dataset:
        """Returns an epoch, another one each time that it is gone through.

        It has ceil(rows / batch_rows) batches, of which the last may be smaller. Examples in memory are shuffled as a
        whole. Of those on disk, random blocks make up a window, within which the rows are shuffled.

        Args:
            epoch: gives the number of the epoch, which with the seed decides the order; called at its first batch.
            share: index of a worker and number of workers: the batches have only that worker's rows. Shares are equal;
                a batch that doesn't divide evenly has some of its first rows twice.
            features: the features wanted; None: all.
        """

        def pieces(columns: list[str], piece_rows: int) -> Iterator[pa.Table]:
            return _pieces(self._shuffled(columns, tf.constant([seed, epoch()], tf.int64), piece_rows), piece_rows)

        return self._batches(pieces, batch_rows, share, features).prefetch(tf.data.AUTOTUNE)

    def batches(self, features: Sequence[str] | None = None) -> tf.data.Dataset:
        """Returns the split once, in order.

        Args:
            features: the features wanted; None: all.
        """

        def pieces(columns: list[str], piece_rows: int) -> Iterator[pa.Table]:
            blocks = range(len(self._cache.block_rows))
            stored = (self._cache.read(blocks[at : at + 1]).select(columns) for at in blocks)
            return _pieces(stored, piece_rows)

        return self._batches(pieces, _VALIDATION_ROWS, (0, 1), features).prefetch(1)

    def _shuffled(self, columns: list[str], seed: tf.Tensor, piece_rows: int) -> Iterator[pa.Table]:
        blocks = _shuffle(len(self._cache.block_rows), tf.random.experimental.stateless_fold_in(seed, -1))
        for number, start in enumerate(range(0, len(blocks), self._window_blocks)):
            window = self._cache.read(sorted(blocks[start : start + self._window_blocks])).select(columns)
            order = _shuffle(len(window), tf.random.experimental.stateless_fold_in(seed, number) if number else seed)
            for at in range(0, len(order), piece_rows):
                yield window.take(pa.array(order[at : at + piece_rows]))

    def _batches(
        self,
        pieces: Callable[[list[str], int], Iterable[pa.Table]],
        batch_rows: int,
        share: tuple[int, int],
        features: Sequence[str] | None,
    ) -> tf.data.Dataset:
        names = [name for name in self._spec if name != self._label_key] if features is None else list(features)
        columns = [*names, self._label_key]
        piece_rows = max(1, _PIECE_ROWS // batch_rows) * batch_rows

        def stacks() -> Iterator[Batch]:
            for piece in pieces(columns, piece_rows):
                whole = len(piece) // batch_rows * batch_rows
                for part, rows in ((piece.slice(0, whole), batch_rows), (piece.slice(whole), len(piece) - whole)):
                    if part:
                        yield self._stack(part, names, rows)

        specs = {name: _stack_spec(feature) for name, feature in self._spec.items()}
        signature = ({name: specs[name] for name in names}, specs[self._label_key])
        made = tf.data.Dataset.from_generator(stacks, output_signature=signature)
        made = made.prefetch(1).flat_map(lambda *stack: tf.data.Dataset.from_tensor_slices(stack))
        if share[1] > 1:
            made = made.map(lambda *batch: tf.nest.map_structure(lambda rows: _share(rows, share), batch))
        if any(isinstance(specs[name], tf.RaggedTensorSpec) for name in names):
            made = made.map(_with_sparse)
        # Known in advance, so that Keras can tell the end of an epoch from data that ran out.
        return made.apply(tf.data.experimental.assert_cardinality(-(-self.rows // batch_rows)))

    def _stack(self, rows: pa.Table, names: Sequence[str], batch_rows: int) -> Batch:
        """Returns batches of `batch_rows` rows, one on the other."""
        tensors = {name: _to_tensor(rows.column(name), self._spec[name], batch_rows) for name in rows.column_names}
        return {name: tensors[name] for name in names}, tensors[self._label_key]


def _shuffle(count: int, seed: tf.Tensor) -> np.ndarray:
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed).numpy()


def _pieces(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Joins and cuts tables into ones of `rows` rows, of which the last may be smaller."""
    pending: list[pa.Table] = []
    held = 0
    for table in tables:
        pending.append(table)
        held += len(table)
        if held >= rows:
            joined = pa.concat_tables(pending)
            whole = held // rows * rows
            yield from (joined.slice(at, rows) for at in range(0, whole, rows))
            pending, held = [joined.slice(whole)], held - whole
    if held:
        yield pa.concat_tables(pending)


def _stack_spec(feature: Any) -> Any:
    if isinstance(feature, tf.io.FixedLenFeature):
        return tf.TensorSpec([None, None, *feature.shape], feature.dtype)
    return tf.RaggedTensorSpec([None, None, None], feature.dtype, ragged_rank=2, row_splits_dtype=tf.int64)


def _to_tensor(column: pa.ChunkedArray, feature: Any, batch_rows: int) -> Any:
    values = column.combine_chunks()
    if isinstance(feature, tf.io.FixedLenFeature):
        if pa.types.is_fixed_size_list(values.type):
            values = values.flatten()
        return values.to_numpy(zero_copy_only=False).reshape(-1, batch_rows, *feature.shape)
    flat = tf.constant(values.flatten().to_numpy(zero_copy_only=False), feature.dtype)
    rows = tf.RaggedTensor.from_row_lengths(flat, values.value_lengths().to_numpy().astype(np.int64), validate=False)
    batches = tf.range(0, len(values) + 1, batch_rows, tf.int64)
    return tf.RaggedTensor.from_row_splits(rows, batches, validate=False)


def _share(rows: Any, share: tuple[int, int]) -> Any:
    index, workers = share
    count = rows.nrows() if isinstance(rows, tf.RaggedTensor) else tf.shape(rows, tf.int64)[0]
    mine = tf.range(index, -(-count // workers) * workers, workers, tf.int64)
    return tf.gather(rows, mine % count)


def _with_sparse(features: dict[str, Any], label: tf.Tensor) -> Batch:
    """Turns ragged features into sparse ones, which is what `tf.io.VarLenFeature` stands for."""
    return {n: v.to_sparse() if isinstance(v, tf.RaggedTensor) else v for n, v in features.items()}, label


class _LabelCheck:
    def __init__(self, split: str, label_key: str) -> None:
        self._split = split
        self._label_key = label_key
        self._low: Any = None
        self._high: Any = None

    def add(self, file: str, labels: np.ndarray) -> None:
        bad = ~np.isfinite(labels)
        if bad.any():
            raise StepError(
                f"Label {self._label_key!r} is NaN or infinite in {int(bad.sum()):,} examples of {file!r} "
                f"(split {self._split!r}). Drop those rows in extract (--where), or fill them in preprocessing_fn."
            )
        low, high = labels.min(), labels.max()
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)

    def finish(self) -> None:
        if self._low == self._high:
            raise StepError(
                f"Label {self._label_key!r} is {self._low} in every example of split {self._split!r}: with one class "
                "there is nothing to learn. Check how preprocessing_fn computes it, and what extract reads."
            )
