"""What the toolchain says when something is wrong on the user's side."""

import difflib
from collections.abc import Iterable


class PipeyardError(Exception):
    """States a problem and its remedy; the command line prints it without a traceback and exits 1."""


def near_misses(name: str, known: Iterable[str]) -> str:
    """Returns a sentence that helps someone who wrote `name` find the right one among `known`.

    >>> near_misses("flihgts", ["flights", "chicago_taxi"])
    "Did you mean 'flights'? There are: 'chicago_taxi', 'flights'."
    """
    names = sorted(set(known))
    if not names:
        return "There are none."
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    shown = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"{hint}There are: {shown}."
