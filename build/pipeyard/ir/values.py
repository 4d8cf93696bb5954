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
_LARGEST = 10**300
_EXACT = 2**53  # a double has every whole number up to here
_INT64 = range(-(2**63), 2**63)  # what the launcher's ParseInt takes
_UNSENT = re.compile("[\0\ud800-\udfff]")  # NUL, and halves of surrogate pairs
# What KFP's launcher reads of numbers and booleans, but for what JSON hasn't (NaN) and Go's hexadecimal floats.
_WRITTEN = {
    Types.NUMBER_INTEGER: re.compile(r"[+-]?[0-9]+"),
    Types.NUMBER_DOUBLE: re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    Types.BOOLEAN: re.compile(r"1|t|T|TRUE|true|True|0|f|F|FALSE|false|False"),
}
_AS_TEXT = "Hand it on as text"
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
    except _UnkeptError as error:
        raise PipeyardError(f"{what} has {error}.") from error
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        why = f" ({error})" if kind in (Types.LIST, Types.STRUCT) and isinstance(error, ValueError) else ""
        raise _unlike(value, kind, what, why) from error


def written(text: str, kind: int, what: str) -> Any:
    """Reads what a step wrote as an output parameter, by the rules of KFP's launcher.

    Protocol: kubeflow/pipelines, backend/src/v2/component/launcher_v2.go, `textToPbValue`: Go's `strconv.ParseInt`,
    `ParseFloat` and `ParseBool` of what is between white space.

    Raises:
        PipeyardError: the launcher would refuse it, or KFP would round it.
    """
    form = _WRITTEN.get(kind)
    if form is None:
        return coerce(text, kind, what)
    found = form.fullmatch(text.strip())
    if not found:
        raise _unlike(text, kind, what)
    if kind == Types.BOOLEAN:
        return found[0][0] in "1tT"
    try:
        number = int(found[0]) if kind == Types.NUMBER_INTEGER else float(found[0])
    except ValueError as error:  # more digits than Python takes
        raise _unlike(text, kind, what) from error
    if isinstance(number, float) and not math.isfinite(number):
        raise _unlike(text, kind, what)
    if isinstance(number, int) and number not in _INT64:
        shown = number if abs(number) < _LARGEST else "of more than 300 digits"
        raise PipeyardError(f"{what} has the number {shown}, which KFP can't read: it takes 64 bits. {_AS_TEXT}.")
    return coerce(number, kind, what)


def _unlike(value: Any, kind: int, what: str, why: str = "") -> PipeyardError:
    shown = value if len(str(value)) < 80 else f"{str(value)[:80]}..."
    return PipeyardError(f"{what} is {shown!r}, which isn't {_WORDS.get(kind, 'known')}{why}.")


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
        _refuse_unkept(value)
        return value if isinstance(value, str) else as_text(value)
    if isinstance(value, str):
        text = value.strip()
        if kind == Types.BOOLEAN:
            return _BOOLEANS[text.lower()]
        value = jsons.load(text, parse_constant=_refuse)
        if kind == Types.NUMBER_INTEGER and not isinstance(value, int):  # `3.0`, which no launcher reads as one
            raise ValueError(value)
    _refuse_unkept(value)
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
        raise TypeError(value)
    return canonical(value) if kind in (Types.LIST, Types.STRUCT) else value


class _UnkeptError(ValueError):
    """A value that KFP, or a command, can't keep as it is; the message says what it has, and the remedy."""


def _refuse_unkept(value: Any) -> None:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, str) and (match := _UNSENT.search(each)):
            raise _UnkeptError(f"the character {match[0]!r}, which no command and no record can have. Leave it out")
        elif isinstance(each, float) and not math.isfinite(each):
            raise ValueError(each)
        elif isinstance(each, int) and abs(each) > _EXACT and (abs(each) >= _LARGEST or int(float(each)) != each):
            text = str(each) if abs(each) < _LARGEST else "of more than 300 digits"
            raise _UnkeptError(f"the number {text}, which KFP would round: it keeps numbers as doubles. {_AS_TEXT}")


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
            found = jsons.load(value, parse_constant=_refuse)
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
            try:
                value = jsons.load(value)
            except ValueError as error:
                raise PipeyardError(f"{value!r} has no field {key!r}: it isn't JSON ({error}).") from error
        if not isinstance(value, Mapping) or key not in value:
            raise PipeyardError(f"{as_text(value)!r} has no field {key!r}.")
        value = value[key]
    return value
