"""Infra validation: the model is loaded and asked as a server would, before it becomes one's."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deploy import sampling
from stepkit.errors import StepError, near_misses, tensorflow_cause
from stepkit.served import SAVED_MODEL

EXAMPLES_SIGNATURE = "serving_default"
RAW_SIGNATURE = "serve_raw"
# The signatures compute the same in float32, but not necessarily in the same order.
TOLERANCE = 1e-6

_REMEDY = "Give the SavedModel that train exports."


@dataclass(frozen=True)
class Validation:
    """A model that has answered.

    Attributes:
        answers: probability of each row, float64 [rows].
        load_seconds: what loading the model took.
        seconds: signature to what its answer took, the first-call overhead included.
        max_difference: the largest between the two signatures.
    """

    answers: np.ndarray
    load_seconds: float
    seconds: Mapping[str, float]
    max_difference: float

    def to_json(self) -> dict[str, Any]:
        """Returns the content of the infra_validation artifact: what is the same whenever the model is asked."""
        return {
            "rows": len(self.answers),
            "max_difference": self.max_difference,
            "tolerance": TOLERANCE,
            "answers": self.answers.tolist(),
        }


def validate(model: Path, sample: sampling.Sample) -> Validation:
    """Loads the model and asks it the sample's rows through both signatures.

    Raises:
        StepError: it isn't a SavedModel, lacks a signature, can't answer, answers anything but one probability a row,
            or differently by the two signatures.
    """
    began = time.perf_counter()
    loaded = _load(model)
    load_seconds = time.perf_counter() - began
    by_examples, by_columns = (_signature(loaded, name) for name in (EXAMPLES_SIGNATURE, RAW_SIGNATURE))
    takes = by_examples.structured_input_signature[1]
    if len(takes) != 1 or next(iter(takes.values())).dtype != tf.string:
        raise StepError(
            f"The model's signature {EXAMPLES_SIGNATURE!r} must take serialized tf.Examples alone; it takes "
            f"{', '.join(sorted(takes)) or 'nothing'}. {_REMEDY}"
        )
    columns = sampling.to_columns(sample, by_columns.structured_input_signature[1])
    serialized = {next(iter(takes)): sampling.to_examples(sample)}
    answers, seconds = {}, {}
    for name, function, inputs in (
        (EXAMPLES_SIGNATURE, by_examples, serialized),
        (RAW_SIGNATURE, by_columns, columns),
    ):
        began = time.perf_counter()
        outputs = _ask(name, function, inputs)
        seconds[name] = time.perf_counter() - began
        answers[name] = _probabilities(name, outputs, len(sample))
    difference = _compare(answers[EXAMPLES_SIGNATURE], answers[RAW_SIGNATURE])
    return Validation(answers[EXAMPLES_SIGNATURE], load_seconds, seconds, difference)


def _load(model: Path) -> Any:
    if not (model / SAVED_MODEL).is_file():
        raise StepError(f"{str(model)!r} isn't a SavedModel: it has no {SAVED_MODEL}. {_REMEDY}")
    try:
        return tf.saved_model.load(str(model))
    except (tf.errors.OpError, OSError, ValueError, KeyError, AttributeError) as error:
        raise StepError(f"The model {str(model)!r} can't be loaded ({tensorflow_cause(error)}). {_REMEDY}") from error


def _signature(loaded: Any, name: str) -> Any:
    if name not in loaded.signatures:
        raise StepError(f"The model has no signature {name!r}. {near_misses(name, loaded.signatures)} {_REMEDY}")
    return loaded.signatures[name]


def _ask(name: str, function: Callable[..., Any], inputs: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
    try:
        return function(**inputs)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise StepError(
            f"The model can't answer the sample rows through {name!r}: {tensorflow_cause(error)}. "
            "Train it with the schema and the examples it is deployed with."
        ) from error


def _probabilities(name: str, outputs: Mapping[str, tf.Tensor], rows: int) -> np.ndarray:
    if len(outputs) != 1:
        raise StepError(f"Signature {name!r} must give one output; it gives {', '.join(sorted(outputs))}. {_REMEDY}")
    output, tensor = next(iter(outputs.items()))
    if tensor.shape != (rows, 1) or not tensor.dtype.is_floating:
        raise StepError(
            f"Signature {name!r} answers {rows} rows with {output!r} of shape {tensor.shape} and type "
            f"{tensor.dtype.name}; it must be one probability a row, [{rows}, 1]. End the model with one sigmoid unit."
        )
    values = tensor.numpy().astype(np.float64)[:, 0]
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise StepError(
            f"Signature {name!r} answers {bad.size} of {rows} rows with NaN or infinity, first row {bad[0]}. Its "
            "training has diverged, or a feature is NaN: lower the learning rate, or treat missing values in "
            "preprocessing_fn."
        )
    if values.min() < 0 or values.max() > 1:
        raise StepError(
            f"Signature {name!r} answers {values.min():.4g} to {values.max():.4g}, which are no probabilities. "
            "End the model with a sigmoid."
        )
    return values


def _compare(by_examples: np.ndarray, by_columns: np.ndarray) -> float:
    differences = np.abs(by_examples - by_columns)
    row = int(differences.argmax())
    if differences[row] > TOLERANCE:
        raise StepError(
            f"The model's signatures disagree: row {row} gets {by_examples[row]:.7g} as a tf.Example through "
            f"{EXAMPLES_SIGNATURE!r} and {by_columns[row]:.7g} as raw columns through {RAW_SIGNATURE!r}. Export both "
            "from the same model and transform graph."
        )
    return float(differences[row])
