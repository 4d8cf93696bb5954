"""Names and tags as a server of Kubeflow Pipelines takes them, checked before anything is sent.

The server checks few of them itself: what its database refuses is a 500, and a run or schedule that is refused there
leaves an object in Kubernetes behind. Source: the recorded answers of a server of 2.17.0 over MariaDB.
"""

import unicodedata
from collections.abc import Collection, Mapping
from itertools import combinations

from pipeyard.errors import PipeyardError

# Bytes of UTF-8. Of runs and schedules 128 is the longest that is known to be taken, 300 are refused.
LONGEST = {"pipeline": 128, "version": 127, "experiment": 128, "run": 128, "schedule": 128}
# Characters of a tag's key and of its value; tags of a version.
LONGEST_TAG = 63
MOST_TAGS = 20
# The last of Unicode's basic plane: names with characters beyond are answered by 500.
_LAST_CHARACTER = 0xFFFF


def check(kind: str, name: str, remedy: str = "Choose a shorter one.") -> None:
    """Refuses a name that the server would.

    Args:
        kind: a key of `LONGEST`.
        remedy: what to do if it is too long.

    Raises:
        PipeyardError: it is empty or too long, or has a character that the server refuses.
    """
    size, most = len(name.encode()), LONGEST[kind]
    if not name.strip():
        raise PipeyardError(f"The {kind}'s name is empty. Give it one of 1 to {most} bytes.")
    if size > most:
        raise PipeyardError(f"The {kind}'s name {name!r} has {size} bytes; the server takes {most}. {remedy}")
    beyond = sorted({each for each in name if ord(each) > _LAST_CHARACTER})
    if beyond:
        raise PipeyardError(
            f"The {kind}'s name {name!r} has {' '.join(beyond)}, for which the server answers 500. Leave it out."
        )
    if name != name.strip():
        raise PipeyardError(
            f"The {kind}'s name {name!r} begins or ends with a space, which doesn't count at the server. Leave it out."
        )


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuses tags of a version that the server would.

    Raises:
        PipeyardError: there are too many, or a key or value doesn't fit.
    """
    if len(tags) > MOST_TAGS:
        raise PipeyardError(f"A version has {len(tags)} tags; the server takes {MOST_TAGS}.")
    for key, value in tags.items():
        if not key or "." in key or max(len(key), len(value)) > LONGEST_TAG:
            raise PipeyardError(
                f"The tag {key!r}: {value!r} doesn't fit: a key is 1 to {LONGEST_TAG} characters without a dot, a "
                f"value at most {LONGEST_TAG}."
            )


def same(one: str, other: str) -> bool:
    """Whether the server's database takes two names for one: case, accents and trailing spaces don't count there."""
    return _folded(one) == _folded(other)


def check_apart(kind: str, names: Collection[str], remedy: str) -> None:
    """Refuses names of which the server takes two for one.

    Raises:
        PipeyardError: names both.
    """
    for one, other in combinations(sorted(set(names)), 2):
        if same(one, other):
            raise PipeyardError(
                f"The {kind}s {one!r} and {other!r} are one to the server: case, accents and trailing spaces don't "
                f"count there. {remedy}"
            )


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.rstrip())
    return "".join(each for each in decomposed if not unicodedata.combining(each)).casefold()
