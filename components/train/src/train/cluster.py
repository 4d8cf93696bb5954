"""Several workers on one model, as TF_CONFIG describes them.

Keras 3 can't fit under MultiWorkerMirroredStrategy (its symbolic build fails on dict features), so the workers have
plain models here: equal from the seed on, and kept equal because every optimizer step applies the mean of all workers'
gradients. The strategy only carries that mean. Each worker trains on its share of every batch and validates on the
whole validation split, so that all see the same validation loss and stop at the same epoch without asking each other.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from stepkit.errors import StepError

_VARIABLE = "TF_CONFIG"
_CHIEF = "chief"
_WORKER = "worker"


@dataclass(frozen=True)
class Cluster:
    """Who trains.

    Attributes:
        workers: how many there are.
        index: which of them this process is; 0 is the chief, the one that writes outputs.
    """

    workers: int = 1
    index: int = 0
    _strategy: Any = None

    @property
    def chief(self) -> bool:
        """True for the one worker that writes outputs."""
        return self.index == 0

    def synchronise(self, model: keras.Model) -> None:
        """Makes the model's optimizer apply the mean of all workers' gradients."""
        if self.workers == 1:
            return
        apply = model.optimizer.apply

        def apply_mean(gradients: Sequence[Any], variables: Sequence[Any] | None = None) -> Any:
            return apply(self._mean(list(gradients)), variables)

        model.optimizer.apply = apply_mean

    def agree(self, epochs_done: int) -> None:
        """Checks that all workers go on from the same epoch.

        Raises:
            StepError: they don't.
        """
        if self.workers > 1 and float(self._mean([tf.constant(float(epochs_done))])[0]) != epochs_done:
            raise StepError(
                f"The workers found different checkpoints (this one: {epochs_done} epochs). "
                "Give all workers one shared folder as --checkpoint-uri."
            )

    @tf.function
    def _mean(self, tensors: list[Any]) -> list[Any]:
        # Sparse gradients (of embeddings) stay sparse: Keras's optimizers treat them differently from dense ones.
        sparse = [tensor for tensor in tensors if isinstance(tensor, tf.IndexedSlices)]
        dense = [tensor for tensor in tensors if not isinstance(tensor, tf.IndexedSlices)]

        def exchange() -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
            context = tf.distribute.get_replica_context()
            # Each exchange costs a round trip, so there is one for each kind and not for each tensor.
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, _flat(dense)) if dense else tf.zeros([0])
            if not sparse:
                return _unflat(means, dense), [], []
            values = context.all_gather(_flat([slices.values for slices in sparse])[tf.newaxis], axis=0)
            rows = context.all_gather(_flat([slices.indices for slices in sparse])[tf.newaxis], axis=0)
            return (
                _unflat(means, dense),
                _unflat(values / self.workers, [slices.values for slices in sparse]),
                _unflat(rows, [slices.indices for slices in sparse]),
            )

        means, values, rows = (iter(part) for part in self._strategy.run(exchange))
        return [
            tf.IndexedSlices(next(values), next(rows), tensor.dense_shape)
            if isinstance(tensor, tf.IndexedSlices)
            else next(means)
            for tensor in tensors
        ]


def _flat(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)


def _unflat(flat: tf.Tensor, like: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Cuts `flat`, [numbers] or [workers, numbers], into tensors shaped like those; with workers their rows follow."""
    parts = tf.split(flat, [tf.size(tensor) for tensor in like], axis=-1, num=len(like))
    return [tf.reshape(part, [-1, *tensor.shape[1:]] if flat.shape.rank == 2 else tf.shape(tensor))
            for part, tensor in zip(parts, like, strict=True)]  # fmt: skip


def join() -> Cluster:
    """Connects with the other workers of TF_CONFIG. Must come before any other TensorFlow operation.

    Raises:
        StepError: TF_CONFIG isn't what TensorFlow expects.
    """
    text = os.environ.get(_VARIABLE, "")
    if not text:
        return Cluster()
    try:
        config = json.loads(text)
        members = config["cluster"]
        order = [(kind, index) for kind in (_CHIEF, _WORKER) for index in range(len(members.get(kind, [])))]
        task = (config["task"]["type"], int(config["task"]["index"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StepError(
            f"{_VARIABLE} isn't valid ({type(error).__name__}: {error}). "
            'It looks like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}.'
        ) from error
    if len(order) < 2:
        return Cluster()
    if task not in order:
        raise StepError(
            f"{_VARIABLE} calls this process {task[0]} {task[1]}, which isn't one of its {len(order)} workers."
        )
    return Cluster(len(order), order.index(task), tf.distribute.MultiWorkerMirroredStrategy())
