"""Filters of lists.

Source: kubeflow/pipelines, backend/src/apiserver/filter/filter.go and the field maps of backend/src/apiserver/model.
Text is compared as the database does (`collation`); a substring is a pattern of SQL's LIKE, with its `%` and `_`.
"""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from . import collation, messages
from .refusals import invalid

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "GREATER_THAN": operator.gt,
    "GREATER_THAN_EQUALS": operator.ge,
    "LESS_THAN": operator.lt,
    "LESS_THAN_EQUALS": operator.le,
}
_SEVERAL = {"int_values", "long_values", "string_values"}
_TAG = "tags."
Test = Callable[[Mapping[str, Any]], bool]


def parse(text: str, fields: Mapping[str, str]) -> list[Test]:
    """Returns the tests that an item has to pass.

    Args:
        fields: what can be filtered by, to the field of an item; with `tags.`, tags can, too.
    """
    if not text:
        return []
    try:
        predicates = messages.read("V2beta1Filter", text).get("predicates", [])
    except ValueError as error:
        raise invalid(f"failed to parse valid filter from {text!r}: {error}") from error
    return [_test(each, fields) for each in predicates]


def value(item: Mapping[str, Any], field: str) -> Any:
    """Returns an item's field as the database has it: text to compare, times as seconds."""
    if field.startswith(_TAG):
        found = item.get("tags", {}).get(field.removeprefix(_TAG))
        return None if found is None else collation.key(found)
    found = item.get(field, "")
    if field.endswith("_at") and found:
        return int(datetime.fromisoformat(found).timestamp())
    return collation.key(found) if isinstance(found, str) else found


def _test(predicate: Mapping[str, Any], fields: Mapping[str, str]) -> Test:
    operation, key = predicate.get("operation", ""), predicate.get("key", "")
    if not key:
        raise invalid("Predicate key cannot be empty")
    field = key if key.startswith(_TAG) and _TAG in fields else fields.get(key, "")
    if not field or key == _TAG:
        raise invalid(f"no support for filtering on unrecognized field {key!r}")
    given = [name for name in predicate if name not in ("operation", "key")]
    if not given:
        raise invalid("Predicate value is missing")
    [kind] = given
    if operation == "IN":
        if kind not in _SEVERAL:
            raise invalid(f"cannot use IN operator with scalar type {kind}")
        wanted = [_wanted(each) for each in predicate[kind].get("values", [])]
        return lambda item: value(item, field) in wanted
    if kind in _SEVERAL:
        raise invalid(f"cannot use scalar operator {operation} on array type {kind}")
    return _single(operation, field, kind, predicate[kind])


def _single(operation: str, field: str, kind: str, given: Any) -> Test:
    wanted = _wanted(given, kind)
    if operation == "EQUALS":
        return lambda item: value(item, field) == wanted
    if operation == "NOT_EQUALS":
        return lambda item: value(item, field) not in (None, wanted)
    if operation == "IS_SUBSTRING":
        if kind != "string_value":
            raise invalid(f"cannot use non string value type {kind} with operator IS_SUBSTRING")
        pattern = _like(f"%{given}%")
        return lambda item: pattern.fullmatch(str(value(item, field) or "")) is not None
    if operation in _ORDERS:
        compare = _ORDERS[operation]
        return lambda item: isinstance(value(item, field), type(wanted)) and compare(value(item, field), wanted)
    raise invalid(f"invalid predicate operation: {operation}")


def _wanted(given: Any, kind: str = "") -> Any:
    if kind == "timestamp_value":
        return int(datetime.fromisoformat(given.upper()).timestamp())
    return collation.key(given) if isinstance(given, str) else given


def _like(text: str) -> re.Pattern[str]:
    wild = {"%": ".*", "_": "."}
    parts = re.findall(r"\\(.)|(.)", text, re.DOTALL)
    written = (re.escape(collation.key(plain)) if plain else wild.get(other, "") for plain, other in parts)
    pattern = "".join(
        each or re.escape(collation.key(other) or other) for each, (_, other) in zip(written, parts, strict=True)
    )
    return re.compile(pattern, re.DOTALL)
