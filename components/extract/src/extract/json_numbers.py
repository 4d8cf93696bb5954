"""JSON's numbers as they are written: DuckDB tells of a fraction only the double that it makes of it.

A double with fewer digits is what JSON means by a fraction. One that is another number, as 0 is for `1e-400`, isn't.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from extract import inference
from extract.json_texts import ELEMENTS, Leaf
from extract.sql import literal

# What a number has that may be smaller or larger than a double can be; most files have none.
_EXTREME = "[eE][+-]?0*[1-9][0-9]{2}|[0-9]{200}"
# Digits that a double may round, as it does for any fraction; one that loses fewer is near the least or the largest.
_MOST_DIGITS = 15
_LEAST = sys.float_info.min  # smaller ones have fewer digits than others


def lost(connection: Any, path: str) -> dict[Leaf, str]:
    """Returns the ways to numbers that a double can't hold, with the first of each as it is written.

    Args:
        connection: DuckDB's.
        path: of a file of JSON Lines that DuckDB has read before.
    """
    scan = f"SELECT json FROM read_ndjson_objects({literal([path])}) WHERE regexp_matches(json, {literal(_EXTREME)})"
    found: dict[Leaf, str] = {}
    relation = connection.execute(scan)
    while rows := relation.fetchmany(1000):
        for (line,) in rows:
            for leaf, text in _walk(json.loads(line, parse_float=_fraction), ()):
                found.setdefault(leaf, text)
    return found


class _Lost(str):
    """A number that a double can't hold."""


def _fraction(text: str) -> float | _Lost:
    digits = len(text.lower().partition("e")[0].replace(".", "").strip("-0"))
    value = float(text)
    plain = abs(value) >= _LEAST and value not in (float("inf"), float("-inf"))
    return value if plain or (digits <= _MOST_DIGITS and inference.comes_back(text)) else _Lost(text)


def _walk(value: Any, way: Leaf) -> Iterator[tuple[Leaf, str]]:
    if isinstance(value, _Lost):
        yield way, str(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, (*way, name))
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, (*way, ELEMENTS))
