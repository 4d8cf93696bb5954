"""The columns that a model's answers become: named by the field's words, the same for all models of a task.

    binary       probability: double; class: string or int64; threshold: double
    multiclass   class: string or int64; score_NAME: double, one a class
    multilabel   classes: list of string or int64; score_NAME: double, one a class; threshold: double
    regression   prediction: double

A score is the number that the model server writes: float32 as a double.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from stepkit import tasks
from stepkit.answers import Answers

_BINARY_CLASSES = (0, 1)  # of a model that names none


def fields(answers: Answers, prefix: str = "") -> list[pa.Field]:
    """Returns the columns that a model's answers become.

    Args:
        prefix: of their names.
    """
    found = {
        tasks.BINARY: lambda: [
            pa.field("probability", pa.float64()),
            pa.field("class", _class_type(answers)),
            pa.field("threshold", pa.float64()),
        ],
        tasks.MULTICLASS: lambda: [pa.field("class", _class_type(answers)), *_scores(answers)],
        tasks.MULTILABEL: lambda: [
            pa.field("classes", pa.list_(_class_type(answers))),
            *_scores(answers),
            pa.field("threshold", pa.float64()),
        ],
        tasks.REGRESSION: lambda: [pa.field("prediction", pa.float64())],
    }[answers.task]()
    return [field.with_name(prefix + field.name) for field in found]


def columns(answers: Answers, values: np.ndarray) -> list[pa.Array]:
    """Returns the answers to some rows, in the order of `fields`.

    Args:
        values: the model's output, float [rows, width].

    Raises:
        NoAnswerError: a number isn't finite.
    """
    answers.check(values)
    numbers = [pa.array(column) for column in values.astype(np.float64).T]
    if answers.task == tasks.REGRESSION:
        return numbers
    chosen = answers.chosen(values)
    if answers.task == tasks.MULTICLASS:
        return [_named(answers, chosen), *numbers]
    threshold = pa.array(np.full(len(values), answers.threshold))
    if answers.task == tasks.MULTILABEL:
        offsets = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))]).astype(np.int32)
        return [pa.ListArray.from_arrays(offsets, _named(answers, np.nonzero(chosen)[1])), *numbers, threshold]
    return [*numbers, _named(answers, chosen), threshold]


def _classes(answers: Answers) -> Sequence[tasks.Class]:
    return answers.classes or _BINARY_CLASSES


def _class_type(answers: Answers) -> pa.DataType:
    return pa.int64() if isinstance(_classes(answers)[0], int) else pa.string()


def _scores(answers: Answers) -> list[pa.Field]:
    return [pa.field(f"score_{name}", pa.float64()) for name in answers.names]


def _named(answers: Answers, indices: np.ndarray) -> pa.Array:
    return pa.array(_classes(answers), _class_type(answers)).take(pa.array(indices))
