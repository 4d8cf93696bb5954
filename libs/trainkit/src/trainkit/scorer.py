"""A model as it is exported, whatever trained it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scorer:
    """What the served signatures need of a model.

    Attributes:
        inputs: the transformed features that it takes; None: it gets all, and takes what it likes.
        answer: called in a graph with the transformed features, by name; gives one tensor, the task's answer.
        parts: variables, tables and assets of its own, which are saved with it.
    """

    inputs: Sequence[str] | None
    answer: Callable[[Mapping[str, Any]], Any]
    parts: Sequence[Any] = ()
