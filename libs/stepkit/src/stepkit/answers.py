"""What a model answers: its numbers with the names of classes and the operating point.

The model server and batch_predict answer by this alone, so that both answer alike. Needs numpy, which comes with
TensorFlow.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np  # pylint: disable=import-error

from stepkit import served, tasks
from stepkit.errors import StepError
from stepkit.model_description import ModelDescription

# Of scores that no operating point was chosen for. As in evaluate, a class is predicted by scores above it.
HALF = 0.5

Prediction = dict[str, Any]


class NoAnswerError(StepError):
    """The model has no answer to some rows.

    Attributes:
        row: the first of them, within what it was asked; None if it isn't known.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


@dataclass(frozen=True)
class Answers:
    """How a model answers.

    Attributes:
        task: see `stepkit.tasks`.
        output: the signature's output with the answer.
        classes: in the order of its columns; of a binary model: not the predicted one, the predicted one.
        threshold: of scores, in binary and multilabel answers.
    """

    task: str
    output: str
    classes: tuple[tasks.Class, ...] = ()
    threshold: float = HALF

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return len(self.names)

    @property
    def names(self) -> list[str]:
        """What each number of a row is: the score of a class, or the output itself."""
        if self.task in (tasks.MULTICLASS, tasks.MULTILABEL):
            return [str(name) for name in self.classes]
        return [self.output]

    def predictions(self, values: np.ndarray) -> list[Prediction]:
        """Returns the answer to each row.

        Args:
            values: the model's output, float [rows, width].

        Raises:
            NoAnswerError: a number isn't finite.
        """
        self.check(values)
        return _OF_TASK[self.task](self, values)

    def check(self, values: np.ndarray) -> None:
        """Raises NoAnswerError if a number isn't finite."""
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise NoAnswerError(
                f"The model has no finite answer to instance {row}. Check its values: they may be beyond what the "
                "model was trained with.",
                row,
            )

    def chosen(self, values: np.ndarray) -> np.ndarray:
        """Returns which classes are predicted: of one class a row its index [rows], of multilabel a mask [rows, width].

        Scores are compared with the threshold as doubles, in which it was chosen: rounded to float32 it might be
        another score's equal.
        """
        if self.task == tasks.MULTICLASS:
            highest: np.ndarray = values.argmax(axis=1)
            return highest
        above = values.astype(np.float64) > self.threshold
        return above if self.task == tasks.MULTILABEL else above[:, 0].astype(np.int64)


def of(folder: Path, description: ModelDescription) -> Answers:
    """Returns how the model in a folder answers.

    Raises:
        StepError: its operating point is damaged.
    """
    return Answers(description.task, description.answer, tuple(description.classes), threshold(folder))


def threshold(folder: Path) -> float:
    """Returns the threshold of a model's scores: its operating point, or one half.

    Raises:
        StepError: its operating point is damaged.
    """
    path = folder / served.OPERATING_POINT
    if not path.is_file():
        return HALF
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["threshold"])
    except (ValueError, TypeError, KeyError) as error:
        raise StepError(
            f"{str(path)!r} has no threshold ({type(error).__name__}: {error}). Give a version that deploy has pushed."
        ) from error


def _binary(answers: Answers, values: np.ndarray) -> list[Prediction]:
    names = answers.classes or (0, 1)
    return [
        {"probability": value, "class": names[index], "threshold": answers.threshold}
        for (value,), index in zip(values.tolist(), answers.chosen(values).tolist(), strict=True)
    ]


def _multiclass(answers: Answers, values: np.ndarray) -> list[Prediction]:
    names = answers.names
    return [
        {"class": answers.classes[index], "scores": dict(zip(names, row, strict=True))}
        for row, index in zip(values.tolist(), answers.chosen(values).tolist(), strict=True)
    ]


def _multilabel(answers: Answers, values: np.ndarray) -> list[Prediction]:
    names = answers.names
    return [
        {
            "classes": [name for name, is_chosen in zip(answers.classes, chosen, strict=True) if is_chosen],
            "scores": dict(zip(names, row, strict=True)),
            "threshold": answers.threshold,
        }
        for row, chosen in zip(values.tolist(), answers.chosen(values).tolist(), strict=True)
    ]


def _regression(answers: Answers, values: np.ndarray) -> list[Prediction]:
    del answers
    return [{"prediction": value} for (value,) in values.tolist()]


_OF_TASK: dict[str, Callable[[Answers, np.ndarray], list[Prediction]]] = {
    tasks.BINARY: _binary,
    tasks.MULTICLASS: _multiclass,
    tasks.MULTILABEL: _multilabel,
    tasks.REGRESSION: _regression,
}
