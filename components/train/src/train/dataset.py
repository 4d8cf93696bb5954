"""A split as tf.data: decoded and checked once, then served in an order that only the seed and the epoch decide.

The examples are kept as Arrow (see `trainkit.cache`). Rows are picked in Arrow, many batches at a time, and cut into
batches by TensorFlow, so that a step waits for neither parsing nor Python.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainkit import reading
from trainkit.cache import Cache
from trainkit.decoded import MEMORY_BUDGET_BYTES, decode
from trainkit.labels import WEIGHTS, Target
from trainkit.schema import FeatureSpec

# Bytes of examples that are in memory at a time, and shuffled among each other, where a split is larger than that.
WINDOW_BYTES = 64 << 20
_PIECE_ROWS = 16_384
_VALIDATION_ROWS = 1024

# Features, label, and weights if rows don't count alike.
Batch = tuple[Any, ...]


def open_split(
    split: reading.Split,
    spec: FeatureSpec,
    target: Target,
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
            label or the weights are useless (see `trainkit.labels`).
    """
    features = {name: feature for name, feature in spec.items() if name != target.weight}
    decoded = decode(split, spec, features, target, budget)
    return Source(decoded.cache, decoded.spec, target.label, window, decoded.seen)


class Source:
    """A split that a model can be trained on or validated with.

    Batches are ({feature: tensor}, label), or ({feature: tensor}, label, weights) if rows don't count alike.

    Attributes:
        rows: number of examples.
        seen: indices of the label's classes that it has.
    """

    def __init__(self, cache: Cache, spec: FeatureSpec, label_key: str, window: int, seen: Iterable[int] = ()) -> None:
        self.rows = sum(cache.block_rows)
        self._cache = cache
        self._spec = spec
        self.seen = set(seen)
        self._answers = [label_key, *([WEIGHTS] if WEIGHTS in spec else [])]
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

    def batches(self, features: Sequence[str] | None = None, batch_rows: int = _VALIDATION_ROWS) -> tf.data.Dataset:
        """Returns the split once, in order.

        Args:
            features: the features wanted; None: all.
        """

        def pieces(columns: list[str], piece_rows: int) -> Iterator[pa.Table]:
            blocks = range(len(self._cache.block_rows))
            stored = (self._cache.read(blocks[at : at + 1]).select(columns) for at in blocks)
            return _pieces(stored, piece_rows)

        return self._batches(pieces, batch_rows, (0, 1), features).prefetch(1)

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
        names = [name for name in self._spec if name not in self._answers] if features is None else list(features)
        columns = [*names, *self._answers]
        piece_rows = max(1, _PIECE_ROWS // batch_rows) * batch_rows

        def stacks() -> Iterator[Batch]:
            for piece in pieces(columns, piece_rows):
                whole = len(piece) // batch_rows * batch_rows
                for part, rows in ((piece.slice(0, whole), batch_rows), (piece.slice(whole), len(piece) - whole)):
                    if part:
                        yield self._stack(part, names, rows)

        specs = {name: _stack_spec(feature) for name, feature in self._spec.items()}
        signature = ({name: specs[name] for name in names}, *(specs[name] for name in self._answers))
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
        return ({name: tensors[name] for name in names}, *(tensors[name] for name in self._answers))


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


def _with_sparse(features: dict[str, Any], *answers: tf.Tensor) -> Batch:
    """Turns ragged features into sparse ones, which is what `tf.io.VarLenFeature` stands for."""
    return ({n: v.to_sparse() if isinstance(v, tf.RaggedTensor) else v for n, v in features.items()}, *answers)
