"""What the candidate is for, as it says itself: the task, the label, the classes and the weight of an evaluation."""

from dataclasses import dataclass
from pathlib import Path

from stepkit import model_description, tasks
from stepkit.errors import StepError
from stepkit.model_description import ModelDescription


@dataclass(frozen=True)
class Problem:
    """What a model is asked for. Pickles.

    Attributes:
        label: transformed feature that is predicted.
        task: see `stepkit.tasks`.
        classes: in the order of the model's outputs; empty for regression, and for a binary model that doesn't say.
        weight: transformed feature that says how much a row counts; empty: each as one.
    """

    label: str
    task: str = tasks.BINARY
    classes: tuple[tasks.Class, ...] = ()
    weight: str = ""

    @property
    def outputs(self) -> int:
        """How many numbers the model gives for a row."""
        return len(self.classes) if self.has_many_outputs else 1

    @property
    def has_many_outputs(self) -> bool:
        """True if the model gives one score a class."""
        return self.task in (tasks.MULTICLASS, tasks.MULTILABEL)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes as reports show them; 0 and 1 for a binary model that doesn't say."""
        return tuple(map(str, self.classes)) or (("0", "1") if self.task == tasks.BINARY else ())


def of_model(model: Path, label_key: str) -> Problem:
    """Returns what the model in a folder is for; binary with the label `label_key` where it doesn't say.

    Raises:
        StepError: it says that it predicts another label, or has no classes where its task needs some.
    """
    said = model_description.read(model)
    if said is None:
        return Problem(label_key)
    if said.label != label_key:
        raise StepError(
            f"The model {str(model)!r} predicts {said.label!r}; --label-key says {label_key!r}. Give both the same."
        )
    found = Problem(said.label, said.task, said.classes, said.weight)
    if found.has_many_outputs and not found.classes:
        raise StepError(f"The model {str(model)!r} is {said.task} and names no classes. Train the model again.")
    return found


def check_baseline(problem: Problem, said: ModelDescription | None, what: str, remedy: str) -> None:
    """Checks that a baseline answers the candidate's question; where it doesn't say, it is binary.

    Args:
        what: how errors call the baseline.

    Raises:
        StepError: it is for another task, or predicts another label or other classes.
    """
    task = said.task if said else tasks.BINARY
    if task != problem.task:
        raise StepError(
            f"{what} is a {task} model and the candidate a {problem.task} one: they can't be compared. {remedy}"
        )
    if said and said.label != problem.label:
        raise StepError(
            f"{what} predicts {said.label!r} and the candidate {problem.label!r}: they can't be compared. {remedy}"
        )
    if said and said.classes and problem.classes and set(said.classes) != set(problem.classes):
        differences = [
            f"{who} has {', '.join(repr(name) for name in names if name not in others)} alone"
            for who, names, others in (
                ("it", said.classes, problem.classes),
                ("the candidate", problem.classes, said.classes),
            )
            if set(names) - set(others)
        ]
        raise StepError(
            f"{what} and the candidate predict other classes ({'; '.join(differences)}): they can't be compared. "
            f"Name the same CLASSES in the pipeline's module. {remedy}"
        )
