"""An ensemble of trees as plain TensorFlow operations: all rows go down all trees, a level at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from train_trees.columns import Column
from train_trees.ensemble import CATEGORIES_END, WORD_BITS, Ensemble
from trainkit.scorer import Scorer

_ARRAYS = ("left", "right", "feature", "threshold", "default_left", "categories", "width", "words", "value")


class Walk(tf.Module):
    """Takes rows down the trees; its variables are saved with the model."""

    def __init__(self, ensemble: Ensemble, activation: Callable[[Any], Any]) -> None:
        """Args: activation: from margins, float64 [rows, outputs], to the answer."""
        super().__init__()
        self._depth = ensemble.depth
        self._roots = ensemble.roots
        self._base = ensemble.base
        self._activation = activation
        self._categorical = bool((ensemble.categories >= 0).any())
        order = ensemble.outputs.argsort(kind="stable")
        self._order = order if (order[1:] < order[:-1]).any() else None
        self._segments = ensemble.outputs[order]
        self.arrays = {
            name: tf.Variable(getattr(ensemble, name), trainable=False, name=name)
            for name in _ARRAYS
            if self._categorical or name not in ("categories", "width", "words")
        }

    def leaves(self, values: tf.Tensor) -> tf.Tensor:
        """Returns each row's leaf in each tree, int32 [rows, trees], for float32 [rows, columns]."""
        node = tf.tile(tf.constant(self._roots)[tf.newaxis], [tf.shape(values)[0], 1])
        for _ in range(self._depth):
            value = tf.gather(values, tf.gather(self.arrays["feature"], node), batch_dims=1)
            goes_left = value < tf.gather(self.arrays["threshold"], node)
            if self._categorical:
                start = tf.gather(self.arrays["categories"], node)
                goes_left = tf.where(start >= 0, tf.logical_not(self._member(value, node, start)), goes_left)
            goes_left = tf.where(tf.math.is_nan(value), tf.gather(self.arrays["default_left"], node), goes_left)
            node = tf.where(goes_left, tf.gather(self.arrays["left"], node), tf.gather(self.arrays["right"], node))
        return node

    def local_leaves(self, values: tf.Tensor) -> tf.Tensor:
        """Returns leaves as XGBoost numbers them: each tree's nodes from 0."""
        return self.leaves(values) - tf.constant(self._roots)[tf.newaxis]

    def answer(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the model's answer, float32 [rows, outputs]."""
        added = tf.cast(tf.gather(self.arrays["value"], self.leaves(values)), tf.float64)
        if len(self._base) == 1:
            sums = tf.reduce_sum(added, 1, keepdims=True)
        else:
            by_tree = tf.transpose(added)
            if self._order is not None:
                by_tree = tf.gather(by_tree, tf.constant(self._order))
            counted = tf.math.unsorted_segment_sum(by_tree, tf.constant(self._segments), len(self._base))
            sums = tf.transpose(counted)
        return tf.cast(self._activation(sums + tf.constant(self._base)), tf.float32)

    def _member(self, value: tf.Tensor, node: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        """True where a category is in a node's set; what is no category isn't."""
        possible = tf.logical_and(value >= 0, value < CATEGORIES_END)
        code = tf.cast(tf.where(possible, value, tf.zeros_like(value)), tf.int32)
        word = code // WORD_BITS
        known = tf.logical_and(possible, word < tf.gather(self.arrays["width"], node))
        place = tf.where(tf.logical_and(known, start >= 0), start + word, tf.zeros_like(start))
        bits = tf.bitwise.right_shift(tf.gather(self.arrays["words"], place), code % WORD_BITS)
        return tf.logical_and(known, tf.equal(tf.bitwise.bitwise_and(bits, 1), 1))


def matrix(features: Mapping[str, Any], columns: Sequence[Column]) -> tf.Tensor:
    """Returns transformed features as XGBoost gets them, float32 [rows, columns]."""
    return tf.concat([tf.cast(tf.reshape(features[each.name], [-1, each.width]), tf.float32) for each in columns], 1)


def scorer(walk: Walk, columns: Sequence[Column]) -> Scorer:
    """Returns what the served signatures need of the trees."""
    names = [each.name for each in columns]
    return Scorer(names, lambda features: walk.answer(matrix(features, columns)), list(walk.arrays.values()))
