"""Values in the form that KFP's launcher reads back from a step.

It keeps them in protobuf's Value, which has no NaN and no infinity, and is strict where it parses text: seen with the
launcher of KFP 2.17.0, which fails a step that has done all its work for one such value.
"""

import json
import math
import numbers
from collections.abc import Mapping
from typing import Any

from stepkit.errors import StepError

# Up to here a float is exactly the integer that it is written as.
_EXACT = 2**53


def metadata(artifact: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns metadata of an output artifact as plain JSON values.

    Numbers and booleans of NumPy become Python's. A null is fine within a list or a dict, but not as a value of its
    own.

    Args:
        artifact: name of the artifact in the component's interface, for errors.

    Raises:
        StepError: the launcher would refuse a value; names the artifact and the key.
    """
    found = {}
    for key, value in values.items():
        if not isinstance(key, str):
            raise StepError(f"The metadata of the output {artifact!r} has the key {key!r}. Give keys that are text.")
        if value is None:
            raise StepError(
                f"The metadata of the output {artifact!r} has null for {key!r}, which KFP refuses. Leave the key out."
            )
        found[key] = _plain(value, f"The metadata of the output {artifact!r}", repr(key))
    return found


def parameter(output: str, value: Any) -> str:
    """Returns the text of an output parameter: `true`, `3`, `0.5`, JSON, or text as it is.

    Members of an object come in the order of their names. A float that is a whole number is written as an integer,
    which the launcher takes for an Integer and a Float alike; `3.0` for an Integer fails the step.

    Args:
        output: what the output is called, for errors.

    Raises:
        StepError: the launcher would refuse the value.
    """
    what = f"The output {output!r}"
    if value is None:
        raise StepError(f"{what} is null, which no parameter can be. Give it a value of its declared type.")
    value = _plain(value, what, "")
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        value = int(value)
    return json.dumps(value, allow_nan=False)


def _plain(value: Any, what: str, place: str) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Mapping):
        return {
            str(key): _plain(item, what, f"{place}[{key!r}]")
            for key, item in sorted(value.items(), key=lambda member: str(member[0]))
        }
    if isinstance(value, (list, tuple)):
        return [_plain(item, what, f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        if math.isfinite(value):
            return float(value)
        remedy = "Leave it out" if place else "Give a finite number"
        raise StepError(f"{what} has {float(value)!r}{_at(place)}, which JSON and KFP don't have. {remedy}.")
    if type(value).__name__ in ("bool_", "bool"):  # NumPy's, of either version, isn't Python's
        return bool(value)
    raise StepError(
        f"{what} has a {type(value).__name__}{_at(place)}. Give text, numbers, booleans, or lists and dicts of them."
    )


def _at(place: str) -> str:
    return f" at {place}" if place else ""
