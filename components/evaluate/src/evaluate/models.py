"""Loading SavedModels and asking them: predictions and labels, a batch at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stepkit.errors import StepError, near_misses, tensorflow_cause

PREDICT = "serving_default"
TRANSFORM = "transform_features"
PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Model:
    """A loaded SavedModel.

    Attributes:
        path: its folder.
        what: how errors call it.
        remedy: what errors advise if it can't answer.
        loaded: the object that owns the variables; signatures only live as long as it does.
    """

    path: Path
    what: str
    remedy: str
    loaded: Any

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
    if not (path / "saved_model.pb").is_file():
        raise StepError(f"{what} isn't a SavedModel: it has no saved_model.pb. {remedy}")
    try:
        return Model(path, what, remedy, tf.saved_model.load(str(path)))
    except (tf.errors.OpError, OSError, ValueError, KeyError, AttributeError) as error:
        raise StepError(f"{what} can't be loaded ({tensorflow_cause(error)}). {remedy}") from error


def predictor(model: Model) -> Callable[[tf.Tensor], np.ndarray]:
    """Returns a function from serialized tf.Examples (string [rows]) to the model's answers (float64 [rows]).

    Raises:
        StepError: now, if the model has no such signature; when called, if it fails or gives anything but one number a
            row.
    """
    signature = model.signature(PREDICT)

    def predict(serialized: tf.Tensor) -> np.ndarray:
        outputs = signature(serialized)
        if PROBABILITIES not in outputs and len(outputs) != 1:
            raise StepError(
                f"{model.what} has no output {PROBABILITIES!r}. {near_misses(PROBABILITIES, outputs)} {model.remedy}"
            )
        output = outputs.get(PROBABILITIES, next(iter(outputs.values())))
        return _one_per_row(output, len(serialized), f"The prediction of {model.what}")

    return predict


def labeller(model: Model, label_key: str) -> Callable[[tf.Tensor], np.ndarray]:
    """Returns a function from serialized tf.Examples (string [rows]) to labels (float64 [rows]).

    Raises:
        StepError: now, if the model has no such signature; when called, if it fails, lacks the label, or gives anything
            but one number a row.
    """
    signature = model.signature(TRANSFORM)

    def labels(serialized: tf.Tensor) -> np.ndarray:
        outputs = signature(serialized)
        if label_key not in outputs:
            raise StepError(
                f"The transformed features of {model.what} have no label {label_key!r} (--label-key). "
                f"{near_misses(label_key, outputs)}"
            )
        return _one_per_row(outputs[label_key], len(serialized), f"Label {label_key!r}")

    return labels


def _one_per_row(output: tf.Tensor, rows: int, what: str) -> np.ndarray:
    if output.dtype == tf.string:
        raise StepError(f"{what} is text; it must be one number a row.")
    values = output.numpy()
    if values.size != rows:
        raise StepError(f"{what} must be one number a row; for {rows:,} rows its shape is {list(values.shape)}.")
    return values.reshape(-1).astype(np.float64)
