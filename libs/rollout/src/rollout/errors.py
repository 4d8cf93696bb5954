"""What is wrong with a policy, a desired state or a log, said so that it can be mended."""

import difflib
from collections.abc import Iterable


class RolloutError(ValueError):
    """The message states the problem and the fix. Callers turn it into the error that their users see."""


class Overtaken(RolloutError):
    """The version isn't the candidate, or isn't any more: it was decided on meanwhile, or another was staged."""


def near_misses(name: str, known: Iterable[str]) -> str:
    """Returns a sentence that helps someone who wrote `name` find the right one among `known`.

    >>> near_misses("stpes", ["steps", "alpha"])
    "Did you mean 'steps'? There are: 'alpha', 'steps'."
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{hint}There are: {', '.join(map(repr, names))}."
