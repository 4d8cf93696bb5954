"""The two ways a step ends badly on purpose, and how near misses are named."""

import difflib
import re
from collections.abc import Iterable


class StepError(Exception):
    """The input or the environment is wrong: the message states the problem and the remedy. Exit code 1."""


class UsageError(StepError):
    """The command line is wrong. Exit code 2, as argparse has it."""


def near_misses(name: str, known: Iterable[str]) -> str:
    """Returns a sentence that helps someone who wrote `name` find the right one among `known`.

    >>> near_misses("tipz", ["tips", "fare"])
    "Did you mean 'tips'? There are: 'fare', 'tips'."
    """
    names = sorted(set(known))
    if not names:
        return "There are none."
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    shown = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"{hint}There are: {shown}."


def tensorflow_cause(error: BaseException) -> str:
    """Returns the line that says what happened, of the many that TensorFlow's errors have, without a full stop.

    Those of a graph put where an operation failed before why.
    """
    lines = str(error).partition("\n\t [[")[0].strip().splitlines() or [""]
    line = lines[-1 if lines[0].startswith("Graph execution error") else 0].strip()
    return re.sub(r"^(\(\d+\) )?([A-Z_]+: +)?(Name: <unknown>, )?", "", line).rstrip(".:") or type(error).__name__
