"""Texts in nested values, as settings and parameters have them: dicts and lists, at any depth."""

from collections.abc import Callable, Iterator
from typing import Any

from pipeyard.settings.yaml_lines import Key


def texts(value: Any, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Yields the key and text of every text in a value; names of dicts are none.

    Args:
        key: of the value itself.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, (*key, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*key, index))
    elif isinstance(value, str):
        yield key, value


def mapped(value: Any, change: Callable[[str], Any], names: bool = False) -> Any:
    """Returns a copy of a value in which every text is changed.

    Args:
        names: the names of dicts are changed, too.
    """
    if isinstance(value, dict):
        return {
            change(name) if names and isinstance(name, str) else name: mapped(item, change, names)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [mapped(item, change, names) for item in value]
    return change(value) if isinstance(value, str) else value
