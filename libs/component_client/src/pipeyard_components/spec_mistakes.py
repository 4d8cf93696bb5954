"""What is wrong with a specification of kfp 1's kind that kfp refused: kfp itself dumps the structure and its classes.

It is asked only after kfp has refused, so it can't refuse what kfp takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeyard_components.errors import near_misses

_TOP = ("name", "description", "metadata", "inputs", "outputs", "implementation", "version")
_CONTAINER = ("image", "command", "args", "env", "fileOutputs")
_PORT = ("name", "type", "description", "annotations")
_OF_INPUTS = ("inputValue", "inputPath", "inputUri")
_OF_OUTPUTS = ("outputPath", "outputUri")
_PLACEHOLDERS = (*_OF_INPUTS, *_OF_OUTPUTS, "executorInput", "concat", "if")


def of(spec: Any) -> str | None:
    """Returns the first mistake with its remedy, or None if there is none that is known."""
    return next(_mistakes(spec), None)


def _mistakes(spec: Any) -> Iterator[str]:
    if not isinstance(spec, dict):
        yield "it isn't a component: a mapping with `name` and `implementation` is expected at the top."
        return
    implementation = spec.get("implementation")
    if isinstance(implementation, dict) and "graph" in implementation:
        yield "graph components don't exist in kfp 2. Write its tasks as a function with @dsl.pipeline."
    elif isinstance(implementation, dict) and "importer" in implementation:
        yield "importers aren't components of kfp 1's kind. Write dsl.importer(...) in the pipeline."
    elif not isinstance(implementation, dict) or not isinstance(implementation.get("container"), dict):
        yield "it has no implementation.container. Write one, with the `image` to run and its `command`."
    yield from _unknown(spec, _TOP, "at the top")
    for side in ("inputs", "outputs"):
        yield from _of_ports(spec.get(side) or [], side)
    yield from _of_metadata(spec.get("metadata"))
    container = implementation.get("container") if isinstance(implementation, dict) else None
    if isinstance(container, dict):
        yield from _of_container(container, _names(spec.get("inputs")), _names(spec.get("outputs")))


def _unknown(node: dict[str, Any], known: tuple[str, ...], where: str) -> Iterator[str]:
    for key in node:
        if key not in known:
            yield f"kfp 2 knows no {key!r} {where}. {near_misses(str(key), known)}"


def _of_ports(ports: Any, side: str) -> Iterator[str]:
    if not isinstance(ports, list):
        yield f"its {side} aren't a list. Write each as `- {{name: ..., type: ...}}`."
        return
    seen = set()
    for number, each in enumerate(ports, 1):
        if not isinstance(each, dict) or "name" not in each:
            yield f"number {number} of its {side} has no name. Write it as `{{name: ..., type: ...}}`."
            continue
        name = each["name"]
        if not isinstance(name, str):
            yield (
                f"the name of one of its {side} is {name!r}, as YAML reads what isn't in quotes. "
                "Put the name in quotes there, and where it is used: 'off', '1'."
            )
        elif name in seen:
            yield f"two of its {side} are called {name!r}. Name each otherwise."
        else:
            seen.add(name)
        known = (*_PORT, "default", "optional") if side == "inputs" else _PORT
        yield from _unknown(each, known, f"of {side[:-1]} {name!r}")
        type_ = each.get("type")
        if type_ is not None and not isinstance(type_, (str, dict)):
            yield f"the type of {side[:-1]} {name!r} is {type_!r}. Write a type's name, e.g. String."
        yield from _of_default(name, type_, each.get("default"))


def _of_default(name: str, type_: Any, default: Any) -> Iterator[str]:
    where = f"the default of input {name!r} is {default!r}"
    if default is not None and not isinstance(default, (str, int, float, bool, list, dict)):
        yield f"{where}, as YAML reads what isn't in quotes. Put it in quotes."
    kinds = {"integer": int, "int": int, "float": float, "double": float}
    kind = kinds.get(type_.lower()) if isinstance(type_, str) else None
    if kind and isinstance(default, str):
        try:
            kind(default)
        except ValueError:
            yield f"{where}, which is no {type_}. Write a number, or `optional: true` and no default."


def _of_metadata(metadata: Any) -> Iterator[str]:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        yield "its metadata isn't a mapping. Write `annotations` and `labels` below it."
        return
    yield from _unknown(metadata, ("annotations", "labels"), "of metadata")
    for part, told in metadata.items():
        for key, value in told.items() if isinstance(told, dict) else []:
            if not isinstance(value, str):
                yield f"metadata.{part}.{key} is {value!r}, and no text. Put it in quotes."


def _of_container(container: dict[str, Any], inputs: list[str], outputs: list[str]) -> Iterator[str]:
    yield from _unknown(container, _CONTAINER, "of a container")
    image = container.get("image")
    if not isinstance(image, str):
        yield f"implementation.container.image is {image!r}. Write an image's name, in quotes."
    for part in ("command", "args"):
        elements = container.get(part)
        if elements is None:
            continue
        if not isinstance(elements, list):
            yield f"{part} is no list. Write each word as an element: `{part}: [python3, -m, step]`."
            continue
        for number, element in enumerate(elements, 1):
            yield from _of_element(element, f"element {number} of {part}", inputs, outputs)
    for part in ("env", "fileOutputs"):
        told = container.get(part)
        if told is not None and not isinstance(told, dict):
            yield f"{part} isn't a mapping. Write `{part}: {{NAME: 'text'}}`."
        for key, value in told.items() if isinstance(told, dict) else []:
            if isinstance(value, dict):
                yield f"{part}.{key} is {value!r}: kfp 2 takes text only there. Pass the value in `args`."
            elif not isinstance(value, str):
                yield f"{part}.{key} is {value!r}, as YAML reads what isn't in quotes. Put it in quotes."


def _of_element(element: Any, where: str, inputs: list[str], outputs: list[str], joined: bool = False) -> Iterator[str]:
    if isinstance(element, str):
        return
    if not isinstance(element, dict):
        yield f"{where} is {element!r}, as YAML reads what isn't in quotes. Put it in quotes."
        return
    if len(element) != 1 or not element.keys() <= set(_PLACEHOLDERS):
        keys = ", ".join(map(repr, element))
        yield f"{where} is a mapping with {keys}, and no placeholder. {near_misses(str(keys), _PLACEHOLDERS)}"
        return
    ((kind, value),) = element.items()
    if kind in _OF_INPUTS and value not in inputs:
        yield f"{where} uses the input {value!r}, which isn't declared. {near_misses(str(value), inputs)}"
    elif kind in _OF_OUTPUTS and value not in outputs:
        yield f"{where} uses the output {value!r}, which isn't declared. {near_misses(str(value), outputs)}"
    elif kind == "concat":
        for each in value if isinstance(value, list) else [value]:
            yield from _of_element(each, f"{where}, in its concat,", inputs, outputs, joined=True)
    elif kind == "if":
        yield from _of_condition(value, where, inputs, outputs, joined)


def _of_condition(condition: Any, where: str, inputs: list[str], outputs: list[str], joined: bool) -> Iterator[str]:
    cond = condition.get("cond") if isinstance(condition, dict) else None
    name = cond.get("isPresent") if isinstance(cond, dict) else None
    if not isinstance(name, str):
        yield f"{where} has a condition that isn't {{isPresent: INPUT}}, which is all that kfp 2 knows."
        return
    if name not in inputs:
        yield f"{where} asks for the input {name!r}, which isn't declared. {near_misses(name, inputs)}"
    if "then" not in condition:
        yield f"{where} has a condition without `then`. Write what stands there if the input has a value."
    for branch in ("then", "else"):
        value = condition.get(branch) or []
        if joined and branch == "else" and isinstance(value, dict):
            yield f"{where} has an `else` with a placeholder, which kfp 2 can't join. Move it out of the concat."
        for each in value if isinstance(value, list) else [value]:
            yield from _of_element(each, f"{where}, in `{branch}`,", inputs, outputs)


def _names(ports: Any) -> list[str]:
    return [str(each.get("name")) for each in ports if isinstance(each, dict)] if isinstance(ports, list) else []
