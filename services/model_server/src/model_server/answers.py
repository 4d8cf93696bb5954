"""What a request is answered: the model's numbers with the names of classes and the operating point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_server.refusals import NO_ANSWER, Refused
from stepkit import tasks

# Of scores that no operating point was chosen for. As in evaluate, a class is predicted by scores above it.
HALF = 0.5

Prediction = dict[str, Any]


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
            Refused: a number isn't finite.
        """
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise Refused(
                NO_ANSWER,
                f"The model has no finite answer to instance {row}. Check its values: they may be beyond what the "
                "model was trained with.",
            )
        return _OF_TASK[self.task](self, values.tolist())


def _binary(answers: Answers, rows: Sequence[Sequence[float]]) -> list[Prediction]:
    no, yes = answers.classes or (0, 1)
    threshold = answers.threshold
    return [
        {"probability": value, "class": yes if value > threshold else no, "threshold": threshold} for (value,) in rows
    ]


def _multiclass(answers: Answers, rows: Sequence[Sequence[float]]) -> list[Prediction]:
    names = answers.names
    return [
        {"class": answers.classes[row.index(max(row))], "scores": dict(zip(names, row, strict=True))} for row in rows
    ]


def _multilabel(answers: Answers, rows: Sequence[Sequence[float]]) -> list[Prediction]:
    names = answers.names
    return [
        {
            "classes": [name for name, value in zip(answers.classes, row, strict=True) if value > answers.threshold],
            "scores": dict(zip(names, row, strict=True)),
            "threshold": answers.threshold,
        }
        for row in rows
    ]


def _regression(answers: Answers, rows: Sequence[Sequence[float]]) -> list[Prediction]:
    del answers
    return [{"prediction": value} for (value,) in rows]


_OF_TASK: dict[str, Callable[[Answers, Sequence[Sequence[float]]], list[Prediction]]] = {
    tasks.BINARY: _binary,
    tasks.MULTICLASS: _multiclass,
    tasks.MULTILABEL: _multilabel,
    tasks.REGRESSION: _regression,
}
