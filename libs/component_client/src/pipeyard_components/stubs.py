"""Typed stubs (.pyi) of components, by which editors complete, and type checkers check, how a pipeline calls them.

They stand for a module of the user's that loads the components:

    components = Locks(Path("components.lock")).load_components()

kfp carries no annotations, so what a task is, and gives, is declared in the stub.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeyard_components import interfaces
from pipeyard_components.interfaces import Port

if TYPE_CHECKING:
    from pipeyard_components.components import LoadedComponent

_HEAD = '''\
# Made by `pipeyard-components stubs`; make it anew when the components change.
from typing import Any, Generic, TypedDict, TypeVar

from pipeyard_components.components import LoadedComponent

_T = TypeVar("_T")

class Value(Generic[_T]):
    """An output that is a value."""

class ArtifactOutput:
    """An output that is an artifact."""

class Task:
    """A step of a pipeline; what else kfp lets do with it isn't checked."""

    def __getattr__(self, name: str) -> Any: ...
'''
PYTHON_TYPES = {
    "String": "str",
    "Integer": "int",
    "Float": "float",
    "Boolean": "bool",
    "JsonObject": "dict[str, Any]",
    "JsonArray": "list[Any]",
}


def render(components: Mapping[str, LoadedComponent]) -> str:
    """Returns the text of a stub for a module that has `components`."""
    parts = [_HEAD]
    attributes = ["", "class _All:"]
    for name, component in components.items():
        interface = interfaces.read(component.text, component.location)
        attribute = re.sub(r"\W", "_", name.rpartition("/")[2])
        class_ = f"_{''.join(each.capitalize() for each in re.split(r'[^A-Za-z0-9]+', name))}"
        parts += ["", *_component(class_, interface)]
        if is_name(attribute):
            attributes.append(f"    {attribute}: {class_}")
    attributes += ["    def __getitem__(self, name: str) -> LoadedComponent: ..."]
    return "\n".join([*parts, *attributes, "", "components: _All", ""])


def _component(class_: str, interface: interfaces.Interface) -> Iterator[str]:
    outputs = {argument_name(name): _given(port) for name, port in interface.outputs.items()}
    pairs = ", ".join(f'"{name}": {type_}' for name, type_ in outputs.items())
    yield f'{class_}Outputs = TypedDict("{class_}Outputs", {{{pairs}}})'
    yield ""
    yield f"class {class_}Task(Task):"
    yield f"    outputs: {class_}Outputs"
    if len(outputs) == 1:
        (only,) = outputs.values()
        yield f"    output: {only}"
    yield ""
    yield f"class {class_}(LoadedComponent):"
    arguments = [each for port in interface.inputs.values() for each in _argument(port)]
    given = ["self", *(["*", *arguments] if arguments else [])]
    yield f"    def __call__(\n        {', '.join(given)}\n    ) -> {class_}Task:"
    yield f"        {_quoted(interface)}"


def _argument(port: Port) -> Iterator[str]:
    name = argument_name(port.name)
    if port.type != "PipelineTaskFinalStatus" and is_name(name):  # kfp gives that one
        yield f"{name}: {_taken(port)}{'' if port.required else ' = ...'}"


def _taken(port: Port) -> str:
    if port.type not in interfaces.VALUES:
        return "ArtifactOutput"
    plain = PYTHON_TYPES[port.type]
    values = "Value[int] | Value[float]" if port.type == "Float" else f"Value[{plain}]"
    return f"{plain} | {values}"


def _given(port: Port) -> str:
    return f"Value[{PYTHON_TYPES[port.type]}]" if port.type in PYTHON_TYPES else "ArtifactOutput"


def _quoted(interface: interfaces.Interface) -> str:
    lines = [interface.description, *(f"{name}: {port.description}" for name, port in interface.inputs.items())]
    return repr(" | ".join(" ".join(each.split()) for each in lines if each.strip()))


def argument_name(name: str) -> str:
    """Returns how kfp calls the argument for an input."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def is_name(text: str) -> bool:
    """True if Python takes it as a name."""
    return text.isidentifier() and not keyword.iskeyword(text)
