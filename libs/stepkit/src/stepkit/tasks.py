"""What a model is for, as the pipeline's module declares it, and what follows from it.

    TASK     `binary` (the default), `multiclass`, `multilabel` or `regression`
    WEIGHT   the transformed feature that says how much a row counts; never an input of the model
    CLASSES  the classes in the order of the model's outputs; without it train takes those of its split, sorted

The label is as it is in the data: text or integers for `binary` and `multiclass`, [rows, k] of 0 and 1 for
`multilabel`, a number for `regression`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from stepkit.errors import StepError, near_misses

BINARY = "binary"
MULTICLASS = "multiclass"
MULTILABEL = "multilabel"
REGRESSION = "regression"
TASKS = (BINARY, MULTICLASS, MULTILABEL, REGRESSION)

# The signatures' outputs: which has the answer, and beside it the name of each class.
ANSWERS = {BINARY: "probabilities", MULTICLASS: "scores", MULTILABEL: "scores", REGRESSION: "predictions"}
CLASSES_OUTPUT = "classes"

Class = str | int


@dataclass(frozen=True)
class Declaration:
    """What a module declares.

    Attributes:
        task: one of TASKS.
        weight: transformed feature; empty: every row counts as one.
        classes: empty if the module leaves them to train.
    """

    task: str = BINARY
    weight: str = ""
    classes: tuple[Class, ...] = ()


def declared(module: ModuleType) -> Declaration:
    """Returns what a pipeline's module declares.

    Raises:
        StepError: the task is unknown, the weight is no name, or the classes aren't distinct texts or integers, as many
            as the task has.
    """
    task = getattr(module, "TASK", BINARY)
    if task not in TASKS:
        raise StepError(
            f"The pipeline module's TASK is {task!r}; it must be one of {', '.join(TASKS)}. "
            f"{near_misses(str(task), TASKS)}"
        )
    weight = getattr(module, "WEIGHT", "")
    if not isinstance(weight, str):
        raise StepError(f"The pipeline module's WEIGHT is {weight!r}. Name a feature that preprocessing_fn returns.")
    return Declaration(
        task, weight, check_classes(task, getattr(module, "CLASSES", ()), "The pipeline module's CLASSES")
    )


def check_classes(task: str, classes: object, what: str) -> tuple[Class, ...]:
    """Returns the classes that a task has; none: they are still to be found.

    Args:
        what: how errors call them.

    Raises:
        StepError: they can't be the task's.
    """
    if not isinstance(classes, Sequence) or isinstance(classes, str | bytes):
        raise StepError(f"{what} is {classes!r}. Make it a list of names, in the order of the model's outputs.")
    if not classes:
        return ()
    if task == REGRESSION:
        raise StepError(f"{what} names {len(classes)} classes, but TASK is {REGRESSION!r}, which has none. Remove it.")
    kinds = {type(item) for item in classes}
    if kinds not in ({str}, {int}):
        raise StepError(f"{what} mixes types or has others than text and integers: {list(classes)!r}.")
    seen: set[Class] = set()
    for item in classes:
        if item in seen:
            raise StepError(f"{what} names {item!r} twice. Remove one.")
        seen.add(item)
    if task == BINARY and len(classes) != 2:
        raise StepError(
            f"{what} has {len(classes)} classes; TASK {BINARY!r} has 2, the second of which is the one predicted. "
            f"For more declare TASK = {MULTICLASS!r}."
        )
    if task == MULTICLASS and len(classes) < 2:
        raise StepError(f"{what} has one class: there is nothing to tell apart. Check how the label is made.")
    return tuple(classes)
