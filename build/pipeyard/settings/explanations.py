"""pydantic's errors in the words of the file: what is wrong, and what to do."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeyard.errors import near_misses
from pipeyard.settings.model import TRIGGERS, model_at
from pipeyard.settings.problems import Unfit
from pipeyard.settings.yaml_lines import Key

_KINDS = {
    "string_type": "text; put it in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping: lines of `name: value`, indented",
    "model_type": "a mapping: lines of `name: value`, indented",
    "model_attributes_type": "a mapping: lines of `name: value`, indented",
    "list_type": "a list: lines of `- item`, indented",
}


def explained(error: ValidationError, data: Mapping[str, Any]) -> Iterator[tuple[Key, str, str, bool]]:
    """Yields of each error the key in the environment, what is wrong, the fix, and whether the value is what is wrong.

    Args:
        data: the environment as it was written.
    """
    for each in error.errors(include_input=False, include_url=False):
        key = each["loc"]
        yield key, *_words(each, key, data), each["type"] != "extra_forbidden"


def _words(each: ErrorDetails, key: Key, data: Mapping[str, Any]) -> tuple[str, str]:
    context = each.get("ctx", {})
    match each["type"]:
        case "extra_forbidden":
            model = model_at(key[:-1], data)
            known = set(model.model_fields) if model else set()
            if len(key) == 1:
                known.discard("name")  # the environment's key is its name
            return f"there is no key {key[-1]!r} here", near_misses(str(key[-1]), known)
        case "missing":
            return f"{key[-1]} is missing", f"Set {key[-1]}: {_meaning(key, data)}."
        case "literal_error":
            return f"{key[-1]} is none of {context['expected']}", "Write one of them."
        case "union_tag_not_found":
            return "a trigger without kind", f"Set kind to one of {', '.join(TRIGGERS)}."
        case "union_tag_invalid":
            return f"there is no trigger of kind {context['tag']!r}", near_misses(str(context["tag"]), TRIGGERS)
        case "value_error" if isinstance(context["error"], Unfit):
            return context["error"].text, context["error"].fix
        case kind if kind in _KINDS:
            return "this has the wrong type", f"Write {_KINDS[kind]}."
        case _:
            return "this doesn't fit", f"{each['msg']}."


def _meaning(key: Key, data: Mapping[str, Any]) -> str:
    model = model_at(key[:-1], data)
    field = model.model_fields.get(str(key[-1])) if model else None
    return (field.description if field and field.description else "it has no default").rstrip(".")
