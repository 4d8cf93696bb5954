"""Classes that a model never predicts."""

from collections.abc import Callable, Set

import numpy as np

from stepkit import tasks
from trainkit.labels import Target


def warn(scores: np.ndarray, seen: Set[int], target: Target, say: Callable[[str], None]) -> None:
    """Says which classes are the answer for no example of a split, though the split has them.

    Args:
        scores: a model's answers for the split, [rows, outputs]; not those of a regression.
        seen: indices of the classes that are in the split.
    """
    if target.task == tasks.BINARY:
        answered = set((scores[:, 0] >= 0.5).astype(int).tolist())
    elif target.task == tasks.MULTICLASS:
        answered = set(scores.argmax(axis=1).tolist())
    else:
        answered = set(np.flatnonzero((scores >= 0.5).any(axis=0)).tolist())
    missed = [repr(target.classes[index]) for index in sorted(seen - answered)]
    if missed:
        what = "class" if len(missed) == 1 else "classes"
        say(
            f"Warning: the model never predicts the {what} {', '.join(missed)} of the label {target.label!r} in "
            "the split that it is validated with. Train for longer, or give rare classes more weight (CLASS_WEIGHTS)."
        )
