"""Tries a model on one batch: what doesn't fit the task is found before hours of training, not after."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from stepkit import tasks
from stepkit.errors import StepError
from train.dataset import Source
from train.fitting import cause
from train.pipeline_model import input_names
from trainkit import missed
from trainkit.labels import Target

_TOLERANCE = 1e-3
_LAST_LAYERS = {
    tasks.BINARY: 'Dense(1, "sigmoid")',
    tasks.MULTICLASS: 'Dense(len(transform.classes), "softmax")',
    tasks.MULTILABEL: 'Dense(len(transform.classes), "sigmoid")',
    tasks.REGRESSION: "Dense(1)",
}


def check(model: keras.Model, source: Source, target: Target, batch_rows: int) -> None:
    """Calls a model on one batch, and fits it to that.

    Args:
        model: not to be used afterwards: its weights and random seeds have changed.
        batch_rows: most examples of the batch.

    Raises:
        StepError: the model can't take the features, gives what isn't an answer to the task, or can't be trained.
    """
    batches = source.batches(input_names(model), min(batch_rows, source.rows))
    features, *_ = next(iter(batches))
    try:
        (output,) = tf.nest.flatten(model(features, training=False))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise StepError(f"The pipeline module's model can't take the transformed features: {cause(error)}") from error
    check_outputs(np.asarray(output), len(next(iter(features.values()), output)), target)
    model.run_eagerly = True  # nothing to trace for one step
    model.steps_per_execution = 1
    try:
        model.fit(batches.take(1), steps_per_epoch=1, shuffle=False, verbose=0)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise StepError(f"Keras can't train the pipeline module's model: {cause(error)}") from error


def check_outputs(output: np.ndarray, rows: int, target: Target) -> None:
    """Checks what a model gives for a batch of `rows` examples. Training explains what isn't finite.

    Raises:
        StepError: it has another shape than the task's answer, or values that the answer can't have.
    """
    width = output.size // max(1, rows)
    ending = f"End the model with {_LAST_LAYERS[target.task]}"
    if output.ndim > 2 or output.size != rows * width or width != target.outputs:
        shape = "[rows, " + ", ".join(map(str, output.shape[1:])) + "]" if output.ndim > 1 else "[rows]"
        raise StepError(
            f"The pipeline module's model gives {shape} for the label {target.label!r}; TASK {target.task!r} needs "
            f"[rows, {target.outputs}]{_why(target)}. {ending}{_other_task(target, width)}."
        )
    values = output.reshape(rows, -1)
    values = values[np.isfinite(values).all(axis=1)].astype(np.float64)
    if target.task == tasks.REGRESSION or not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise StepError(
            f"The pipeline module's model gives numbers from {low:.3g} to {high:.3g} for the label "
            f"{target.label!r}; TASK {target.task!r} needs probabilities. {ending}, and a loss without from_logits"
            + (f"; or declare TASK = {tasks.REGRESSION!r}." if target.task == tasks.BINARY else ".")
        )
    sums = values.sum(axis=1)
    if target.task == tasks.MULTICLASS and (np.abs(sums - 1) > _TOLERANCE).any():
        raise StepError(
            f"The scores that the pipeline module's model gives a row for the label {target.label!r} sum to "
            f"{sums[np.abs(sums - 1).argmax()]:.3g}, not to 1. {ending}; or declare TASK = {tasks.MULTILABEL!r} "
            "if a row can have several classes."
        )


def _why(target: Target) -> str:
    if target.outputs == 1:
        return ""
    shown = ", ".join(map(repr, target.classes[:5])) + (", ..." if target.outputs > 5 else "")
    return f", a score for each of the classes {shown}"


def _other_task(target: Target, width: int) -> str:
    if target.task == tasks.BINARY and width > 1:
        return f", or declare TASK = {tasks.MULTICLASS!r}"
    return ""


def never_predicted(model: keras.Model, source: Source, target: Target, say: Callable[[str], None]) -> None:
    """Says which classes are the answer for no example of a split, though the split has them."""
    if target.task == tasks.REGRESSION:
        return
    scores = np.asarray(model.predict(source.batches(input_names(model)), verbose=0)).reshape(source.rows, -1)
    model.predict_function = None
    missed.warn(scores, source.seen, target, say)
