"""JSON that somebody else wrote, read within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from pipeyard_components import bounds
from pipeyard_components.bounds import TooMuch


def load(
    content: str | bytes,
    most_bytes: int = bounds.MOST_BYTES,
    most_depth: int = bounds.MOST_DEPTH,
    parse_constant: Callable[[str], Any] | None = None,
) -> Any:
    """Returns a document's content.

    Args:
        parse_constant: takes NaN, Infinity and -Infinity, which Python reads though JSON hasn't them.

    Raises:
        ValueError: it isn't JSON, isn't UTF-8, has a key twice, or is past a bound (`TooMuch`).
    """
    bounds.check_size(content, most_bytes)
    try:
        value = json.loads(content, parse_constant=parse_constant, object_pairs_hook=once)
    except RecursionError as error:
        raise _too_deep(most_depth) from error
    _check_depth(value, most_depth)
    return value


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of its members, for `json.loads`, which would take the last of those with the same key.

    Raises:
        ValueError: a key stands twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice. Remove one of them.")
    return found


def read(path: Path) -> Any:
    """Returns a file's content; see `load`.

    Raises:
        OSError: it can't be read.
        ValueError: as `load`.
    """
    return load(path.read_bytes())


def _check_depth(value: Any, most: int) -> None:
    """Walks level by level, so that no depth is too much for the walk itself."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        if not level:
            return
        below = chain.from_iterable(each.values() if isinstance(each, dict) else each for each in level)
        level = [each for each in below if isinstance(each, (dict, list))]
    if level:
        raise _too_deep(most)


def _too_deep(most: int) -> TooMuch:
    return TooMuch(f"it is nested more than {most} deep")
