"""Types of inputs that are passed by value: texts as backends write them, and what a program should make of each."""

import json
from collections.abc import Mapping
from typing import Any

FINAL_STATUS = "PipelineTaskFinalStatus"
# Of whole numbers both forms: a protobuf Value has only doubles, and some backends print them so. Of booleans KFP 1
# prints Python's form, KFP 2 JSON's.
_SAMPLES = {
    "String": ("text", "two words\nand lines"),
    "Integer": ("3", "3.0"),
    "Float": ("0.5", "2"),
    "Boolean": ("true", "False"),
    "JsonArray": ('["a", "b"]', "[]"),  # of strings: that a program takes no others is its own affair
    "JsonObject": ('{"a": [1]}', "{}"),
    FINAL_STATUS: ('{"state": "SUCCEEDED", "error": {}}',),
}
VALUES = frozenset(_SAMPLES)
PATH_SAMPLE = "/a folder/of-it.json"


def of(declared: Mapping[str, Any]) -> str:
    """Returns the type of an input or output as its spec declares it; '' for none, or one with properties."""
    kind = declared.get("type", "")
    return kind if isinstance(kind, str) else ""


def samples(kind: str) -> tuple[str, ...]:
    """Returns texts in which a backend may pass a value of the type."""
    return _SAMPLES.get(kind, ("text",))


def fits(kind: str, text: str, value: Any) -> bool:
    """True if `value`, as a program reads it, is what `text` means as the type.

    Text may become anything: a path, a member of an enumeration.
    """
    if kind == "Integer":
        return _is_number(value) and value == int(float(text))
    if kind == "Float":
        return _is_number(value) and value == float(text)
    if kind == "Boolean":
        return value is (text.lower() == "true")
    if kind in ("JsonArray", "JsonObject"):
        return value == json.loads(text)
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
