"""Vocabularies as Arrow tables of `token` (binary or int64) and `count` (int64, or float64 where rows have weights).

They are counted, cut and ordered as TFT's `beam/analyzer_impls.py` does: by count, then by token, largest first.
"""
# pylint: disable=no-member  # pyarrow.compute makes its functions when it is imported

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow_transform import analyzers

_PENDING = 1 << 18  # tokens of batches that wait to be merged: merging costs time, waiting costs memory
_LARGEST_FIRST = [("count", "descending"), ("token", "descending")]


def count(tokens: tf.Tensor, weights: tf.Tensor | None = None) -> pa.Table:
    """Counts the tokens ([n]) of a batch, or sums their weights ([n])."""
    unique, which, counts = tf.unique_with_counts(tokens, out_idx=tf.int64)
    if weights is not None:
        counts = tf.math.unsorted_segment_sum(tf.cast(weights, tf.float64), which, tf.size(unique))
    values = unique.numpy()
    kind = pa.large_binary() if values.dtype == object else pa.int64()
    return pa.table({"token": pa.array(values, kind), "count": pa.array(counts.numpy())})


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """Adds up counts; the same tables in the same order give the same sums and order."""
    summed = pa.TableGroupBy(pa.concat_tables(tables), "token", use_threads=False).aggregate([("count", "sum")])
    return pa.table({"token": summed["token"], "count": summed["count_sum"]}).combine_chunks()


class Counts:
    """Counts of batches, merged now and then, so that memory grows with distinct tokens only."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._merged = self._pending = 0

    def add(self, table: pa.Table) -> None:
        """Adds a batch's counts."""
        self._tables.append(table)
        self._pending += table.num_rows
        if self._pending > max(_PENDING, self._merged):
            self.merged()

    def merged(self) -> pa.Table | None:
        """Returns the sums so far; None if nothing was added."""
        if len(self._tables) > 1:
            self._tables = [merge(self._tables)]
        if self._tables:
            self._merged, self._pending = self._tables[0].num_rows, 0
        return self._tables[0] if self._tables else None


def prune(counts: pa.Table, threshold: float, top_k: int | None, dtype: str) -> pa.Table:
    """Leaves out rare tokens, writes numbers as text, and keeps the `top_k` largest, in order."""
    if threshold > 0:
        counts = counts.filter(pc.greater_equal(counts["count"], threshold))
    if dtype != tf.string.name:
        counts = counts.set_column(0, "token", counts["token"].cast(pa.string()).cast(pa.large_binary()))
    if top_k is None:
        return counts
    return or_dummy(counts.sort_by(_LARGEST_FIRST).slice(0, top_k), dtype)


def or_dummy(counts: pa.Table, dtype: str) -> pa.Table:
    """Returns TFT's stand-in for an empty vocabulary, which TensorFlow's tables can't hold."""
    if counts.num_rows:
        return counts
    number, token = analyzers.get_empy_vocabulary_dummy_value(dtype)
    return pa.table({"token": pa.array([token], pa.large_binary()), "count": [number]})


def size(counts: pa.Table) -> np.int64:
    """Returns the number of tokens; an empty vocabulary has its stand-in."""
    return np.int64(max(counts.num_rows, 1))


def write(counts: pa.Table, path: Path, dtype: str, shuffled: bool, with_counts: bool) -> None:
    """Writes a token a line.

    Args:
        shuffled: order by the tokens' SHA-1 instead of by count.
        with_counts: begin lines with the count and a blank.
    """
    if shuffled:
        digests = pa.array([hashlib.sha1(token).digest() for token in counts["token"].to_pylist()], pa.binary())
        counts = counts.take(pc.sort_indices(digests))
    else:
        counts = counts.sort_by(_LARGEST_FIRST)
    counts = or_dummy(counts, dtype)
    lines = counts["token"].to_pylist()
    if with_counts:
        numbers = counts["count"].to_pylist()
        lines = [str(number).encode() + b" " + token for number, token in zip(numbers, lines, strict=True)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
