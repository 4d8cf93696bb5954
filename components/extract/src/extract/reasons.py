"""Why a column is text although its values look like something else, in words for people."""

import re

LARGE_AND_FRACTIONS = "it has whole numbers beyond 2^53 and fractions, which a double would round"
_KINDS = {
    "BIGINT": "whole number",
    "DOUBLE": "number",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "time",
    "TIMESTAMPTZ": "time with a zone",
}
_NUMBERS = ("BIGINT", "DOUBLE")
_NOT_KEPT = "has more digits, or is larger or smaller, than a double keeps"
# Forms that some reader takes for a value, and what it would lose.
_LOOKALIKES = (
    (r"[+-]?0[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?", "has leading zeros, which a number would lose"),
    (r"[+-]?0[xX][0-9a-fA-F]+|[+-]?0[bB][01]+|[+-]?0[oO][0-7]+", "isn't a decimal number"),
    (r"[+-]?[0-9]+(?:_[0-9]+)+(?:\.[0-9]*)?", "has underscores, which a number would lose"),
    (r"[+-]?[0-9]{1,3}(?:[,'.\u00a0\u202f ][0-9]{3})+(?:[.,][0-9]+)?", "has separators between its digits"),
    (r"[+-]?(?:nan|inf|infinity)", "is a word, not a number; name it in --null-values if it stands for none"),
    (r"t|f|y|n|yes|no|on|off", "isn't true or false; --column-types may say BOOLEAN"),
    (r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}(?:[ T].*)?", "isn't a date and time as YYYY-MM-DD HH:MM:SS"),
    (r"\d{4}-\d{2}-\d{2}.*|\d{8}T.*", "isn't a date and time as YYYY-MM-DD HH:MM:SS"),
    (r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d*)?)?(?: ?[ap]m)?", "is a time of day; --column-types may say TIME"),
    (r"[+-]?[$€£¥]?[+-]?[0-9][0-9.,]*[eE]?[+-]?[0-9]* ?[%$€£¥]?", "has more than a number"),
)


def of_text(text: str, alone: str, before: str, decimal: str) -> tuple[str, bool]:
    """Explains why a column becomes text.

    Args:
        text: the value that doesn't fit.
        alone: the SQL type that it would have by itself.
        before: the SQL type that the values before it fit; `NULL` if there are none.
        decimal: the decimal point of numbers.

    Returns:
        The reason, and whether the value looks like something else than text.
    """
    shown = _shown(text)
    if alone in _NUMBERS and before in _NUMBERS:
        return f"{LARGE_AND_FRACTIONS} ({shown})", True
    if alone != "VARCHAR":
        return f"{shown} is a {_KINDS[alone]}, and each value before it a {_KINDS[before]}", False
    if why := _lookalike(text, text.strip(" "), before, decimal):
        return f"{shown} {why}", True
    if before == "NULL":
        return f"{shown} is no number, boolean, date or time", False
    return f"{shown} is no {_KINDS[before]}, as each value before it is", False


def lost(text: str) -> str:
    """Explains why a column is text that has a number which a double can't hold."""
    return f"{_shown(text)} {_NOT_KEPT}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _lookalike(text: str, trimmed: str, before: str, decimal: str) -> str:
    point, other = re.escape(decimal), "," if decimal == "." else "."
    if re.fullmatch(r"[+-]?[1-9][0-9]{15,}", trimmed):
        return "is beyond 2^53, and a double would round it" if before == "DOUBLE" else "is too long for 64 bits"
    if re.fullmatch(rf"[+-]?(?:(?:0|[1-9][0-9]*)(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?", trimmed):
        return _NOT_KEPT
    if re.fullmatch(rf"[+-]?[0-9]+{re.escape(other)}[0-9]+", trimmed):
        return f"has {other!r} where the decimal point is {decimal!r}; say --decimal {other!r} if it is one"
    if trimmed != text.strip() and re.fullmatch(r"[0-9.,:+\-T \s]+", trimmed):
        return "has white space other than U+0020 around it"
    for form, why in _LOOKALIKES:
        if re.fullmatch(form, trimmed, re.IGNORECASE):
            return why
    return ""
