"""What a reader makes of its files or its database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


def _row(path: str, number: int) -> str:
    del path
    return f"row {number}"


@dataclass(frozen=True)
class Table:
    """A SELECT, and what people should know of its columns.

    Attributes:
        sql: the SELECT.
        reasons: column to why it is text, or another type than one might expect.
        noted: those of these columns that are worth a line in the log.
        places: file that is read to the file of the source that it was written from, for messages.
        once: True if the rows can be read only once.
        parts: file that is read to the SELECT of its rows alone, with the same columns.
        decimal: the decimal point of numbers in texts.
        place: says where a row is, for messages, given the file that is read and the row's number, from 1.
    """

    sql: str
    reasons: Mapping[str, str] = field(default_factory=dict)
    noted: frozenset[str] = frozenset()
    places: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
    parts: Mapping[str, str] = field(default_factory=dict)
    decimal: str = "."
    place: Callable[[str, int], str] = _row
