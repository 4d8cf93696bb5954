"""Parameter values: from protobuf, from what a step wrote, from a command line; and as text in a command."""

import contextlib
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from google.protobuf import json_format, struct_pb2

from pipeyard.errors import PipeyardError
from pipeyard.ir.protobuf import pb
from pipeyard.system import jsons
from stepkit.cli import canonical

Types = pb.ParameterType
_BOOLEANS = {"true": True, "false": False}
_WORDS = {
    Types.NUMBER_INTEGER: "a whole number",
    Types.NUMBER_DOUBLE: "a number",
    Types.BOOLEAN: "true or false",
    Types.STRING: "text",
    Types.LIST: "a JSON array",
    Types.STRUCT: "a JSON object",
}
# The one selector that kfp emits: a field of a loop item or of a struct.
_SELECTOR = re.compile(r"parseJson\(string_value\)((?:\[\"[^\"]*\"\])+)$")


def from_proto(value: struct_pb2.Value) -> Any:
    """Returns a protobuf Value as Python; in the one form that equal values have."""
    return canonical(json_format.MessageToDict(value))


def coerce(value: Any, kind: int, what: str) -> Any:
    """Gives a value the type that its declaration says.

    Args:
        value: Python value, or the text that a step or a user wrote.
        kind: a pb.ParameterType value.
        what: what the value is, for the error.

    Raises:
        PipeyardError: it can't be read so.
    """
    try:
        return _coerce(value, kind)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        shown = value if len(str(value)) < 80 else f"{str(value)[:80]}..."
        raise PipeyardError(f"{what} is {shown!r}, which isn't {_WORDS.get(kind, 'known')}.") from error


def typed(value: Any, kind: int, what: str) -> Any:
    """Gives a value that one task hands to another the type that its declaration says, by the rules of KFP's driver.

    Anything becomes text; text becomes nothing else, though it may look like a number: the driver refuses it.
    Protocol: kubeflow/pipelines, backend/src/v2/driver/resolver/parameters.go, `normalizeResolvedParameterValue`.

    Raises:
        PipeyardError: the driver would refuse it.
    """
    if isinstance(value, str) and kind not in (Types.STRING, Types.PARAMETER_TYPE_ENUM_UNSPECIFIED):
        shown = value if len(value) < 80 else f"{value[:80]}..."
        raise PipeyardError(
            f"{what} is the text {shown!r}, where {_WORDS.get(kind, 'another type')} is declared: KFP converts no text "
            "between tasks. Declare the input as text, or let what makes the value write it without quotes."
        )
    return coerce(value, kind, what)


def _coerce(value: Any, kind: int) -> Any:
    if kind == Types.STRING:
        return value if isinstance(value, str) else as_text(value)
    if isinstance(value, str):
        text = value.strip()
        if kind == Types.BOOLEAN:
            return _BOOLEANS[text.lower()]
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=jsons.once)
    if kind == Types.NUMBER_INTEGER:
        if isinstance(value, bool) or float(value) != int(value):
            raise ValueError(value)
        return int(value)
    if kind == Types.NUMBER_DOUBLE:
        if isinstance(value, bool):
            raise ValueError(value)
        if not math.isfinite(value):
            raise ValueError(value)
        return float(value)
    expected = {Types.BOOLEAN: bool, Types.LIST: list, Types.STRUCT: dict, Types.TASK_FINAL_STATUS: dict}.get(kind)
    if expected and not isinstance(value, expected):
        raise ValueError(value)
    return canonical(value) if kind in (Types.LIST, Types.STRUCT) else value


def _refuse(constant: str) -> None:
    # NaN and Infinity are no JSON: protobuf's Value, in which KFP keeps parameters, can't hold them.
    raise ValueError(constant)


def as_text(value: Any) -> str:
    """Returns a value as KFP's launcher puts it into a command: text as it is, null as nothing, others as JSON.

    Numbers are written without an exponent: 0.00001, not 1e-05.
    Protocol: kubeflow/pipelines, `PBValueToText`, which is Go's `strconv.FormatFloat(v, 'f', -1, 64)`.
    """
    if isinstance(value, str):
        return value
    return "" if value is None else _json(canonical(value))


def _json(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(Decimal(repr(float(value))), "f").removesuffix(".0")
    return json.dumps(value)


def items(value: Any) -> list[Any]:
    """Returns what a loop goes over: a list, or the JSON text of one, as a list within a loop's item is handed on.

    Protocol: kubeflow/pipelines, backend/src/v2/driver/resolver/parameters.go, `getItems`.

    Raises:
        PipeyardError: it isn't one.
    """
    found = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            found = json.loads(value, parse_constant=_refuse, object_pairs_hook=jsons.once)
    if not isinstance(found, list):
        raise PipeyardError(f"it loops over {as_text(value)!r}, which isn't a list.")
    return canonical(found) if isinstance(value, str) else found


def select(value: Any, selector: str) -> Any:
    """Applies a `parameterExpressionSelector`.

    Raises:
        PipeyardError: it isn't of the form kfp emits, or the field isn't there.
    """
    match = _SELECTOR.match(selector)
    if not match:
        raise PipeyardError(f"the parameter expression {selector!r} isn't one that this runner knows.")
    for key in re.findall(r"\[\"([^\"]*)\"\]", match.group(1)):
        if isinstance(value, str):
            value = json.loads(value)
        if not isinstance(value, Mapping) or key not in value:
            raise PipeyardError(f"{as_text(value)!r} has no field {key!r}.")
        value = value[key]
    return value
