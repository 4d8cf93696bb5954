"""Lengths of time: a number of seconds, or text such as `90s`, `15m`, `6h`, `1h30m`, `2d`."""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pipeyard.errors import PipeyardError
from pipeyard.settings.problems import Unfit

PATTERN = r"^(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s?)?$"
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def seconds(value: Any) -> float:
    """Returns a length of time in seconds.

    Raises:
        Unfit: it is none, or isn't finite.
    """
    if isinstance(value, str) and value and re.match(PATTERN, value):
        parts = re.findall(r"([\d.]+)([dhms]?)", value)
        return sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise Unfit("this is no length of time", "Write seconds, or such as 90s, 15m, 6h, 1h30m, 2d.")
    return float(value)


def of_option(option: str, text: str) -> float:
    """Returns the length of time that a command's option gives, in seconds; 0 if it isn't given.

    Raises:
        PipeyardError: it is none.
    """
    try:
        return seconds(text) if text else 0.0
    except Unfit as error:
        raise PipeyardError(f"{option} {text!r}: {error}") from error


def as_text(value: float) -> str:
    """Returns seconds as one writes them.

    >>> as_text(5400.0)
    '1h30m'
    """
    if value != int(value) or not value:
        return f"{value:g}s"
    rest, text = int(value), ""
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size)
        text += f"{number}{unit}" if number else ""
    return text


Seconds = Annotated[float, BeforeValidator(seconds), Field(json_schema_extra={"x-duration": True})]
