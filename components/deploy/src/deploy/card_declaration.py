"""What people say of a model: `MODEL_CARD` of the pipeline's module, with the field names of the Model Card Toolkit.

    MODEL_CARD = {
        "overview": "Does the rider tip more than 20% of the fare?",
        "use_cases": ["Ranking offers to drivers."],
        "limitations": ["Tips in cash aren't in the data."],
    }

It is read from the source without running it, before a run: the module imports what only other steps have. So it has to
be written out, as a dictionary of texts and lists. Names and meanings are those of model_card.schema.json v0.0.2
(https://github.com/tensorflow/model-card-toolkit).
"""

import ast
from collections.abc import Mapping
from typing import Any

from stepkit import uris
from stepkit.errors import StepError, UsageError, near_misses

NAME = "MODEL_CARD"
# Key to the keys of its items, the first of which is what a plain text is; a text alone where there are none.
_DETAILS: Mapping[str, tuple[str, ...]] = {
    "overview": (),
    "documentation": (),
    "owners": ("name", "contact"),
    "licenses": ("identifier", "custom_text"),
    "references": ("reference",),
    "citations": ("citation", "style"),
}
_CONSIDERATIONS: Mapping[str, tuple[str, ...]] = {
    "users": ("description",),
    "use_cases": ("description",),
    "limitations": ("description",),
    "tradeoffs": ("description",),
    "ethical_considerations": ("name", "mitigation_strategy"),
}
_KEYS = {**_DETAILS, **_CONSIDERATIONS}
# What a card without is told to lack.
EXPECTED = ("overview", "owners", "licenses", "users", "use_cases", "limitations", "ethical_considerations")


def read(module: str, module_uri: str) -> dict[str, Any]:
    """Returns what a module declares, each item an object as the schema has it; {} if it declares nothing.

    Args:
        module: its source; or
        module_uri: where to read that.

    Raises:
        UsageError: both are given.
        StepError: the source can't be read or parsed, or declares what isn't in the schema; names near misses.
    """
    if module and module_uri:
        raise UsageError("give the pipeline module by one of --module and --module-uri")
    source = module or (uris.read_text(module_uri, "pipeline module") if module_uri else "")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise StepError(f"The pipeline module can't be parsed ({error}). Correct it and run again.") from error
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and NAME in _names(node):
            found = _checked(_literal(node.value))
    return found


def _names(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def sections(declared: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what belongs to `model_details` and to `considerations`."""
    return (
        {key: declared[key] for key in _DETAILS if key in declared},
        {key: declared[key] for key in _CONSIDERATIONS if key in declared},
    )


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise StepError(
            f"The pipeline module's {NAME} in line {node.lineno} isn't written out. It is read without running the "
            "module: write a dictionary of texts and lists of texts, without names, calls and operators."
        ) from error


def _checked(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StepError(
            f"The pipeline module's {NAME} is {value!r}. Make it a dictionary, e.g. {{'use_cases': [...]}}."
        )
    for key in value:
        if key not in _KEYS:
            raise StepError(f"The pipeline module's {NAME} has an unknown key {key!r}. {near_misses(str(key), _KEYS)}")
    return {key: _field(key, value[key]) for key in _KEYS if key in value}


def _field(key: str, value: object) -> Any:
    fields = _KEYS[key]
    if not fields:
        return _text(value, f"{key!r}")
    items = value if isinstance(value, list | tuple) else [value]
    return [_item(key, item, fields) for item in items]


def _item(key: str, item: object, fields: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(item, dict):
        return {fields[0]: _text(item, f"an item of {key!r}")}
    for name in item:
        if name not in fields:
            raise StepError(
                f"The pipeline module's {NAME} has an unknown key {name!r} in {key!r}. {near_misses(str(name), fields)}"
            )
    if key == "licenses" and len(item) != 1:
        raise StepError(f"The pipeline module's {NAME}: a license has either {' or '.join(map(repr, fields))}.")
    return {name: _text(text, f"{name!r} of {key!r}") for name, text in item.items()}


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise StepError(f"The pipeline module's {NAME}: {what} is {value!r}. Write a text, or leave it out.")
    return value.strip()
