"""Loading SavedModels and asking them: predictions and labels, a batch at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from evaluate.problem import Problem
from stepkit import model_description, tasks
from stepkit.errors import StepError, near_misses, tensorflow_cause
from stepkit.model_description import ModelDescription

PREDICT = "serving_default"
TRANSFORM = "transform_features"


@dataclass(frozen=True)
class Model:
    """A loaded SavedModel.

    Attributes:
        path: its folder.
        what: how errors call it.
        remedy: what errors advise if it can't answer.
        loaded: the object that owns the variables; signatures only live as long as it does.
        description: what it says of itself; None if it says nothing.
    """

    path: Path
    what: str
    remedy: str
    loaded: Any
    description: ModelDescription | None = None

    def signature(self, name: str) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Returns a signature that takes serialized tf.Examples (string [rows]).

        Raises:
            StepError: there is no such signature, or it takes something else.
        """
        signatures = self.loaded.signatures
        if name not in signatures:
            raise StepError(f"{self.what} has no signature {name!r}. {near_misses(name, signatures)} {self.remedy}")
        function = signatures[name]
        arguments = function.structured_input_signature[1]
        if len(arguments) != 1 or next(iter(arguments.values())).dtype != tf.string:
            raise StepError(
                f"Signature {name!r} of {self.what} must take serialized tf.Examples alone; it takes "
                f"{', '.join(sorted(arguments)) or 'nothing'}. {self.remedy}"
            )
        argument = next(iter(arguments))

        def call(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
            try:
                return function(**{argument: serialized})
            except tf.errors.OpError as error:
                raise StepError(
                    f"{self.what} can't answer these rows through {name!r}: {tensorflow_cause(error)}. {self.remedy}"
                ) from error

        return call


def load(path: Path, what: str, remedy: str) -> Model:
    """Loads a SavedModel.

    Raises:
        StepError: it isn't one, or is damaged.
    """
    description = model_description.read(path)
    if not (path / "saved_model.pb").is_file():
        raise StepError(f"{what} isn't a SavedModel: it has no saved_model.pb. {remedy}")
    try:
        return Model(path, what, remedy, tf.saved_model.load(str(path)), description)
    except (tf.errors.OpError, OSError, ValueError, KeyError, AttributeError) as error:
        raise StepError(f"{what} can't be loaded ({tensorflow_cause(error)}). {remedy}") from error


def predictor(model: Model, problem: Problem) -> Callable[[tf.Tensor], np.ndarray]:
    """Returns a function from serialized tf.Examples (string [rows]) to the model's answers.

    They are float64 [rows], or [rows, classes] in the order of the problem's classes, whatever the model's order is.

    Raises:
        StepError: now, if the model has no such signature; when called, if it fails or gives anything but a number a
            row and class.
    """
    signature = model.signature(PREDICT)
    answer = tasks.ANSWERS[problem.task]
    arranged = _arranged(model, problem)

    def predict(serialized: tf.Tensor) -> np.ndarray:
        outputs = signature(serialized)
        if answer not in outputs and len(outputs) != 1:
            raise StepError(f"{model.what} has no output {answer!r}. {near_misses(answer, outputs)} {model.remedy}")
        output = outputs.get(answer, next(iter(outputs.values())))
        what = f"The prediction of {model.what}"
        if not problem.has_many_outputs:
            return arranged(one_per_row(output, len(serialized), what))
        if output.dtype == tf.string or output.shape != (len(serialized), problem.outputs):
            raise StepError(
                f"{what} must be {problem.outputs} numbers a row, one for each class; for {len(serialized):,} rows its "
                f"shape is {list(output.shape)} ({output.dtype.name}). End the model with as many units as there are "
                "classes."
            )
        return arranged(output.numpy().astype(np.float64))

    return predict


def _arranged(model: Model, problem: Problem) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what brings answers into the order of the problem's classes, which are the model's too."""
    own = model.description.classes if model.description else ()
    if not own or not problem.classes or own == problem.classes:
        return lambda values: values
    if not problem.has_many_outputs:  # two classes, of which the second is predicted
        return lambda values: 1 - values
    order = [own.index(name) for name in problem.classes]
    return lambda values: values[:, order]


def one_per_row(output: tf.Tensor, rows: int, what: str) -> np.ndarray:
    """Returns float64 [rows].

    Raises:
        StepError: it is something else; `what` is how it is called.
    """
    if output.dtype == tf.string:
        raise StepError(f"{what} is text; it must be one number a row.")
    values = output.numpy()
    if values.size != rows:
        raise StepError(f"{what} must be one number a row; for {rows:,} rows its shape is {list(values.shape)}.")
    return values.reshape(-1).astype(np.float64)
