"""Python literals as Ruff formats them, for templates."""

from collections.abc import Mapping
from typing import Any

_LATIN_1 = 256


def quoted(text: str) -> str:
    r"""Returns a text as a literal: in double quotes, unless those need more escapes than single ones.

    >>> print(quoted("Bill (mm)"), quoted('12" pizza'), quoted("it's"))
    "Bill (mm)" '12" pizza' "it's"
    """
    double = text.count('"') <= text.count("'")
    quote = '"' if double else "'"
    escaped = "".join(_escaped(character, quote) for character in text)
    return f"{quote}{escaped}{quote}"


def dictionary(names: Mapping[str, str]) -> str:
    """Returns a dictionary of texts as Python source, an item a line."""
    return "{\n" + "".join(f"    {quoted(key)}: {quoted(value)},\n" for key, value in names.items()) + "}"


def of_json(value: Any) -> str:
    """Returns what JSON has as a literal.

    >>> print(of_json({"a": [1, True, None]}))
    {"a": [1, True, None]}
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {of_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(of_json, value)) + "]"
    return quoted(value) if isinstance(value, str) else repr(value)


def _escaped(character: str, quote: str) -> str:
    if character in ("\\", quote):
        return f"\\{character}"
    # Of the letters beyond ASCII, those of western Europe look like no others: the rest could be misread in source.
    plain = character.isascii() or (character.isalpha() and ord(character) < _LATIN_1)
    return character if plain and character.isprintable() else ascii(character)[1:-1]
