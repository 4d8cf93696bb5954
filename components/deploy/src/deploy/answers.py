"""What a model's answers have to be, by its task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from stepkit import tasks
from stepkit.errors import StepError
from stepkit.model_description import ModelDescription

# Of softmax in float32, also where it was computed in half of it.
SUM_TOLERANCE = 1e-3

_LAST_LAYER = {
    tasks.BINARY: "one sigmoid unit",
    tasks.MULTICLASS: "a softmax over the classes",
    tasks.MULTILABEL: "one sigmoid unit a class",
    tasks.REGRESSION: "one linear unit",
}


@dataclass(frozen=True)
class Expected:
    """What signatures have to answer.

    Attributes:
        task: see `stepkit.tasks`.
        output: the output with the answer; empty: the only one, whatever its name.
        classes: in the order of the answer's columns; empty where it has but one.
    """

    task: str = tasks.BINARY
    output: str = ""
    classes: tuple[tasks.Class, ...] = ()

    @property
    def width(self) -> int:
        """Numbers in the answer for one row."""
        return len(self.classes) or 1


def expected(description: ModelDescription | None) -> Expected:
    """Returns what a model has to answer; of one that says nothing of itself, a probability a row.

    Raises:
        StepError: the classes are missing.
    """
    if description is None:
        return Expected()
    task = description.task
    if task not in (tasks.MULTICLASS, tasks.MULTILABEL):
        return Expected(task, description.answer)
    if not description.classes:
        raise StepError(f"The model's description names no classes, which TASK {task!r} has. Train the model again.")
    return Expected(task, description.answer, tuple(description.classes))


def read(name: str, outputs: Mapping[str, tf.Tensor], rows: int, what: Expected) -> np.ndarray:
    """Returns a signature's answers, float64, [rows] or, where there are classes, [rows, k].

    Args:
        name: the signature, for errors.
        rows: how many it was asked.

    Raises:
        StepError: they aren't what the task says.
    """
    answer = _answer(name, outputs, what)
    tensor = outputs[answer]
    if tensor.shape != (rows, what.width) or not tensor.dtype.is_floating:
        raise StepError(
            f"Signature {name!r} answers {rows} rows with {answer!r} of shape {tensor.shape} and type "
            f"{tensor.dtype.name}; it must be {_shape(what, rows)}. End the model with {_LAST_LAYER[what.task]}."
        )
    values = tensor.numpy().astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise StepError(
            f"Signature {name!r} answers {bad.size} of {rows} rows with NaN or infinity, first row {bad[0]}. Its "
            "training has diverged, or a feature is NaN: lower the learning rate, or treat missing values in "
            "preprocessing_fn."
        )
    _CHECKS[what.task](name, values)
    if what.classes:
        _check_classes(name, outputs[tasks.CLASSES_OUTPUT], rows, what.classes)
        return values
    return values[:, 0]


def _answer(name: str, outputs: Mapping[str, tf.Tensor], what: Expected) -> str:
    wanted = [what.output, tasks.CLASSES_OUTPUT] if what.classes else [what.output] if what.output else []
    if wanted and sorted(outputs) != sorted(wanted):
        raise StepError(
            f"Signature {name!r} must give {' and '.join(map(repr, wanted))}, as the task is {what.task!r}; it gives "
            f"{', '.join(map(repr, sorted(outputs)))}. Give the SavedModel that train exports."
        )
    if not wanted and len(outputs) != 1:
        raise StepError(
            f"Signature {name!r} must give one output; it gives {', '.join(sorted(outputs))}. "
            "Give the SavedModel that train exports."
        )
    return what.output or next(iter(outputs))


def _shape(what: Expected, rows: int) -> str:
    if what.classes:
        return f"a score a class, [{rows}, {what.width}], as the model's description names {what.width} classes"
    return f"one {'number' if what.task == tasks.REGRESSION else 'probability'} a row, [{rows}, 1]"


def _in_unit_interval(name: str, values: np.ndarray, remedy: str = "End the model with a sigmoid.") -> None:
    if values.min() < 0 or values.max() > 1:
        raise StepError(
            f"Signature {name!r} answers {values.min():.4g} to {values.max():.4g}, which are no probabilities. {remedy}"
        )


def _distributions(name: str, values: np.ndarray) -> None:
    remedy = "End the model with a softmax."
    _in_unit_interval(name, values, remedy)
    sums = values.sum(axis=1)
    row = int(np.abs(sums - 1).argmax())
    if abs(sums[row] - 1) > SUM_TOLERANCE:
        raise StepError(f"Signature {name!r} gives row {row} scores that sum to {sums[row]:.4g} and not to 1. {remedy}")


def _any_numbers(name: str, values: np.ndarray) -> None:
    del name, values


_CHECKS: Mapping[str, Callable[[str, np.ndarray], None]] = {
    tasks.BINARY: _in_unit_interval,
    tasks.MULTICLASS: _distributions,
    tasks.MULTILABEL: _in_unit_interval,
    tasks.REGRESSION: _any_numbers,
}


def _check_classes(name: str, tensor: tf.Tensor, rows: int, classes: Sequence[tasks.Class]) -> None:
    again = "Train the model again."
    if tensor.shape != (rows, len(classes)):
        raise StepError(
            f"Signature {name!r} answers {rows} rows with {tasks.CLASSES_OUTPUT!r} of shape {tensor.shape}; it must "
            f"name the {len(classes)} classes of each row, [{rows}, {len(classes)}]. {again}"
        )
    given = [[_text(item) for item in row] for row in tensor.numpy().tolist()]
    named = [str(item) for item in classes]
    for number, row in enumerate(given):
        if row != named:
            raise StepError(
                f"Signature {name!r} names the classes of row {number} {', '.join(map(repr, row))}; the model's "
                f"description has {', '.join(map(repr, named))}. {again}"
            )


def _text(item: bytes | int) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
