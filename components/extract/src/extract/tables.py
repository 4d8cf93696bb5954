"""What a reader makes of its files or its database."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """A SELECT, and what people should know of its columns.

    Attributes:
        sql: the SELECT.
        reasons: column to why it is text, or another type than one might expect.
        noted: those of these columns that are worth a line in the log.
        places: file that is read to the file of the source that it was written from, for messages.
        once: True if the rows can be read only once.
    """

    sql: str
    reasons: Mapping[str, str] = field(default_factory=dict)
    noted: frozenset[str] = frozenset()
    places: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
