"""How the database compares and keeps text: MariaDB with utf8mb4_unicode_520_ci, through a connection in utf8.

Recorded: names that differ by case or by trailing spaces are the same, a character outside the Basic Multilingual Plane
can't be stored. That accents make no difference is the collation's definition (Unicode Collation Algorithm 5.2.0, first
level alone).
"""

import unicodedata
from typing import Any

from .refusals import internal

_LARGEST = 0xFFFF
# Columns without a length of their own. Source: kubeflow/pipelines, backend/src/apiserver/client_manager.
COLUMN = 255


def key(text: str) -> str:
    """Returns what is the same for texts that compare as equal, and orders as they do."""
    plain = unicodedata.normalize("NFKD", text.rstrip(" ")).casefold()
    return "".join(each for each in plain if not unicodedata.combining(each))


def storable(what: Any) -> bool:
    """Whether all text in something can be stored."""
    if isinstance(what, str):
        return all(ord(each) <= _LARGEST for each in what)
    if isinstance(what, dict):
        return all(storable(each) for pair in what.items() for each in pair)
    return all(map(storable, what)) if isinstance(what, list) else True


def store(record: dict[str, Any], *columns: str) -> None:
    """Refuses a record with text that can't be stored, or that is too long for its columns (in characters)."""
    if not storable(record):
        raise internal("Incorrect string value")
    for each in columns:
        if len(record.get(each) or "") > COLUMN:
            raise internal(f"Data too long for column '{each}'")
