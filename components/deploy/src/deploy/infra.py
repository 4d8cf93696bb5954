"""Infra validation: the model is loaded and asked as a server would, before it becomes one's."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from deploy import answers as expectations
from deploy import sampling
from stepkit import model_description, saved_models
from stepkit.errors import StepError, near_misses, tensorflow_cause
from stepkit.served import EXAMPLES_SIGNATURE, RAW_SIGNATURE, SAVED_MODEL

# The signatures compute the same in float32, but not necessarily in the same order. Where answers are above 1 it is
# relative to the largest.
TOLERANCE = 1e-6

_NAMED = 5
_REMEDY = "Give the SavedModel that train exports."


@dataclass(frozen=True)
class Validation:
    """A model that has answered.

    Attributes:
        description: what the model says of itself.
        answers: probability or prediction of each row, float64 [rows], or the scores of its classes, [rows, k].
        load_seconds: what loading the model took.
        seconds: signature to what its answer took, the first-call overhead included.
        max_difference: the largest between the two signatures.
    """

    description: model_description.ModelDescription | None
    answers: np.ndarray
    load_seconds: float
    seconds: Mapping[str, float]
    max_difference: float

    def to_json(self) -> dict[str, Any]:
        """Returns the content of the infra_validation artifact: what is the same whenever the model is asked."""
        found = {
            "rows": len(self.answers),
            "max_difference": self.max_difference,
            "tolerance": _tolerance(self.answers),
            "answers": self.answers.tolist(),
        }
        if self.description and self.answers.ndim > 1:
            found["classes"] = list(self.description.classes)
        return found


def validate(model: Path, sample: sampling.Sample) -> Validation:
    """Loads the model and asks it the sample's rows through both signatures.

    Raises:
        StepError: it isn't a SavedModel, lacks a signature, can't answer, answers anything but what its task says (of a
            model that names none, one probability a row), or differently by the two signatures.
    """
    description = model_description.read(model)
    expected = expectations.expected(description)
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
    arguments = dict(description.arguments) if description else {}
    columns = sampling.to_columns(sample, by_columns.structured_input_signature[1], arguments)
    serialized = {next(iter(takes)): sampling.to_examples(sample)}
    answers, seconds = {}, {}
    for name, function, inputs in (
        (EXAMPLES_SIGNATURE, by_examples, serialized),
        (RAW_SIGNATURE, by_columns, columns),
    ):
        began = time.perf_counter()
        outputs = _ask(name, function, inputs)
        seconds[name] = time.perf_counter() - began
        answers[name] = expectations.read(name, outputs, len(sample), expected)
    difference = _compare(answers[EXAMPLES_SIGNATURE], answers[RAW_SIGNATURE])
    return Validation(description, answers[EXAMPLES_SIGNATURE], load_seconds, seconds, difference)


def _load(model: Path) -> Any:
    if not (model / SAVED_MODEL).is_file():
        raise StepError(f"{str(model)!r} isn't a SavedModel: it has no {SAVED_MODEL}. {_REMEDY}")
    try:
        loaded = tf.saved_model.load(str(model))
    except (tf.errors.OpError, OSError, ValueError, KeyError, AttributeError) as error:
        raise StepError(f"The model {str(model)!r} can't be loaded ({tensorflow_cause(error)}). {_REMEDY}") from error
    if unrestored := saved_models.unrestored(model):
        names = ", ".join(sorted(unrestored)[:_NAMED]) + (" ..." if len(unrestored) > _NAMED else "")
        raise StepError(
            f"TF Serving can't serve the model: nothing restores what its signatures read ({names}), but copies of it. "
            "tf.saved_model.save writes so of a Keras model; Keras' ExportArchive and this repository's train don't."
        )
    return loaded


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


def _compare(by_examples: np.ndarray, by_columns: np.ndarray) -> float:
    differences = np.abs(by_examples - by_columns)
    place = np.unravel_index(differences.argmax(), differences.shape)
    if differences[place] > _tolerance(by_examples):
        raise StepError(
            f"The model's signatures disagree: row {place[0]} gets {by_examples[place]:.7g} as a tf.Example through "
            f"{EXAMPLES_SIGNATURE!r} and {by_columns[place]:.7g} as raw columns through {RAW_SIGNATURE!r}. Export both "
            "from the same model and transform graph."
        )
    return float(differences[place])


def _tolerance(answers: np.ndarray) -> float:
    return TOLERANCE * max(1.0, float(np.abs(answers).max()))
