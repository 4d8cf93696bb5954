"""Columns' names that can't be told apart."""

from collections.abc import Iterable

from stepkit.errors import StepError


def refuse_clashes(names: Iterable[str], where: str, remedy: str = "Rename one.") -> None:
    """Raises StepError if two names are the same for SQL, which takes upper and lower case for alike.

    Args:
        names: as they are stored, before an engine renames one.
        where: what has them.
        remedy: what to do.
    """
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            before = seen[name.lower()]
            alike = "" if before == name else " (upper and lower case are alike)"
            raise StepError(f"{where} names two columns {before!r} and {name!r}{alike}. {remedy}")
        seen[name.lower()] = name
