"""What a training tells of itself as it goes on: what tuning compares and the report shows."""

from typing import Protocol

from stepkit.errors import StepError

Log = dict[str, float]


class DivergedError(StepError):
    """The loss is no longer a finite number."""


class Course(Protocol):
    """A training so far.

    Attributes:
        history: metrics of each epoch (of trees: of each round); validation metrics start with `val_`.
        best_epoch: index of the epoch with the lowest validation loss; -1 before the first.
        stopped: early stopping has ended the training.
    """

    history: list[Log]
    best_epoch: int
    stopped: bool

    def pack(self) -> bytes:
        """Returns all that the training needs to go on."""
