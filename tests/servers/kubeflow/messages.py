"""Requests' JSON, read as protobuf's JSON mapping does: what isn't in the API's definition is refused.

The definition is that of `kfp_server_api`, which is generated from the same protocol buffers. Source of the mapping:
https://protobuf.dev/programming-guides/json.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import kfp_server_api

# Messages of which one field at most may be set.
_ONE_OF = {
    "V2beta1Run": {"pipeline_version_id", "pipeline_spec", "pipeline_version_reference"},
    "V2beta1RecurringRun": {"pipeline_version_id", "pipeline_spec", "pipeline_version_reference"},
    "V2beta1Trigger": {"cron_schedule", "periodic_schedule"},
    "V2beta1Predicate": {
        "int_value",
        "long_value",
        "string_value",
        "timestamp_value",
        "int_values",
        "long_values",
        "string_values",
    },
}
# 64-bit integers, which go as text.
_LONG = {"max_concurrency", "interval_second", "long_value", "pipeline_context_id", "pipeline_run_context_id"}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_LARGEST = {"int": 2**31, "long": 2**63}
# Numbers of predicates' operations; those of other enumerations follow the order of their values.
_OPERATIONS = {
    0: "OPERATION_UNSPECIFIED",
    1: "EQUALS",
    2: "NOT_EQUALS",
    3: "GREATER_THAN",
    5: "GREATER_THAN_EQUALS",
    6: "LESS_THAN",
    7: "LESS_THAN_EQUALS",
    8: "IN",
    9: "IS_SUBSTRING",
}


def read(kind: str, text: str | bytes) -> dict[str, Any]:
    """Returns a message's fields by their names in the API.

    Args:
        kind: the message, as `kfp_server_api` calls it.

    Raises:
        ValueError: it is no such message.
    """
    given = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number) if text.strip() else {}
    return _message(kind, given)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("duplicate field")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"invalid value {text}")


def _message(kind: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"syntax error: unexpected token {json.dumps(given)[:40]}")
    types = getattr(kfp_server_api, kind).openapi_types
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = re.sub("([A-Z])", lambda match: f"_{match[1].lower()}", key)
        if name not in types:
            raise ValueError(f'unknown field "{key}"')
        if name in found:
            raise ValueError(f'duplicate field "{key}"')
        if value is not None:
            found[name] = _value("long" if name in _LONG else types[name], value, name)
    several = _ONE_OF.get(kind, set()) & set(found)
    if len(several) > 1:
        raise ValueError(f"several of a oneof are set: {', '.join(sorted(several))}")
    return found


def _value(kind: str, value: Any, name: str) -> Any:
    if listed := re.fullmatch(r"list\[(.*)\]", kind):
        return [_value(listed[1], each, name) for each in _as(value, list, name)]
    if mapped := re.fullmatch(r"dict\(str, (.*)\)", kind):
        return {key: _value(mapped[1], each, name) for key, each in _as(value, dict, name).items()}
    if kind == "object":  # a Struct, or a Value of one
        return value if name == "parameters" else _as(value, dict, name)
    if kind in ("int", "long"):
        return _integer(kind, value, name)
    if kind == "datetime":
        return _time(_as(value, str, name), name)
    if kind in ("str", "bool"):
        return _as(value, {"str": str, "bool": bool}[kind], name)
    if not getattr(kfp_server_api, kind).openapi_types:
        return _enumeration(kind, value, name)
    return _message(kind, value)


def _as(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"invalid value for field {name}: {json.dumps(value)[:40]}")
    return value


def _integer(kind: str, value: Any, name: str) -> int:
    number = value
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        number = int(value)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or not -_LARGEST[kind] <= number < _LARGEST[kind]:
        raise ValueError(f"invalid value for field {name}: {json.dumps(value)[:40]}")
    return number


def _time(value: str, name: str) -> str:
    try:
        if not _TIME.fullmatch(value):
            raise ValueError(value)
        datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError(f"invalid value for field {name}: {value!r} is no RFC 3339 time") from None
    return value


def _enumeration(kind: str, value: Any, name: str) -> str:
    names = getattr(kfp_server_api, kind).allowable_values
    numbers = _OPERATIONS if kind.endswith("Operation") else dict(enumerate(names))
    if isinstance(value, int) and not isinstance(value, bool):
        return numbers.get(value, str(value))
    if value not in names:
        raise ValueError(f"invalid value for enum field {name}: {json.dumps(value)[:40]}")
    return value
