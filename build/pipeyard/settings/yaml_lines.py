"""YAML read strictly, with the line of every key and item.

YAML itself lets the last of two equal keys win, reads `no` as false and 2020-01-01 as a date. Here keys stand once and
are text, and values are what JSON has, for that is what pipelines take.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipeyard.settings.problems import Problem
from pipeyard.system import yamls

Key = tuple[str | int, ...]
# What YAML 1.1 reads as octal or to the base of 60: 010 is 8, 12:30 is 750.
_ODD = re.compile(r"[-+]?(0[0-9_]+|[0-9_]+(:[0-9.]+)+)")
_YAML = "tag:yaml.org,2002:"
_TAGS = {f"{_YAML}map", f"{_YAML}seq"}


@dataclass
class SettingsDocument:
    """A file as it was read.

    Attributes:
        data: mappings, lists, text, numbers, booleans and nulls.
        lines: line, from 1, where the key or item of each value stands; of the whole document: 1.
        problems: what was refused. `data` is without it.
    """

    data: Any = None
    lines: dict[Key, int] = field(default_factory=lambda: {(): 1})
    problems: list[Problem] = field(default_factory=list)

    def line(self, key: Key) -> int:
        """Returns the line of a key, or of the nearest one that it would stand in."""
        while key not in self.lines:
            key = key[:-1]
        return self.lines[key]


def read(text: str) -> SettingsDocument:
    """Reads a YAML document.

    Raises:
        yaml.YAMLError: it isn't one, has two documents, or is past a bound (`yamls`).
    """
    yamls.check(text, yaml.SafeLoader)
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        reader = _DocumentReader(loader)
        if node is not None:
            reader.document.data = reader.build(node, ())
        return reader.document
    finally:
        loader.dispose()


class _DocumentReader:
    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.document = SettingsDocument()
        self._loader = loader
        self._checked: set[int] = set()

    def build(self, node: yaml.Node, key: Key) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key)
        if node.tag not in _TAGS:
            fix = "Write a mapping or a list as it is."
            self._problem(
                node.start_mark.line + 1, key, f"the tag {node.tag.removeprefix(_YAML)} isn't known here", fix
            )
            return None
        return self._mapping(node, key) if isinstance(node, yaml.MappingNode) else self._list(node, key)

    def _list(self, node: yaml.Node, key: Key) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self.document.lines[(*key, index)] = item.start_mark.line + 1
            items.append(self.build(item, (*key, index)))
        return items

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        if id(node) not in self._checked:  # an alias brings a node again, by then with what was merged into it
            self._checked.add(id(node))
            self._refuse_repeated(node, key)
            self._loader.flatten_mapping(node)  # `<<: *anchor`; what it brings gives way to keys that stand here
        built: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = self._name(name_node, key)
            if name is not None:
                self.document.lines[(*key, name)] = name_node.start_mark.line + 1
                built[name] = self.build(value_node, (*key, name))
        return built

    def _refuse_repeated(self, node: yaml.MappingNode, key: Key) -> None:
        seen: dict[str, int] = {}
        for name_node, _ in node.value:
            if name_node.tag == f"{_YAML}merge" or not isinstance(name_node, yaml.ScalarNode):
                continue
            name, line = name_node.value, name_node.start_mark.line + 1
            if name in seen:
                self._problem(
                    line, (*key, name), f"the key {name!r} stands twice, first in line {seen[name]}", "Remove one."
                )
            seen.setdefault(name, line)

    def _name(self, node: yaml.Node, key: Key) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            if node.tag == f"{_YAML}str":
                return str(node.value)
            self._problem(
                node.start_mark.line + 1,
                (*key, node.value),
                f"to YAML the key {node.value} isn't text",
                f'Put it in quotes: "{node.value}".',
            )
            return None
        self._problem(node.start_mark.line + 1, key, "a key is a mapping or a list", "Write a name.")
        return None

    def _scalar(self, node: yaml.ScalarNode, key: Key) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (ValueError, ArithmeticError, LookupError, AttributeError):  # Python's own, as for 2020-13-01
            kind = node.tag.removeprefix(_YAML)
            text = f"to YAML this looks like a {kind}, and it is none"
            self._problem(node.start_mark.line + 1, key, text, "Put it in quotes, if text is meant.")
            return None
        if isinstance(value, int | float) and _ODD.fullmatch(node.value):
            text = f"to YAML this is the number {value}"
            self._problem(node.start_mark.line + 1, key, text, "Put it in quotes, or write the number so.")
            return None
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        kind = node.tag.removeprefix(_YAML)
        self._problem(
            node.start_mark.line + 1,
            key,
            f"to YAML this is a {kind}, which pipelines can't be given",
            "Put it in quotes, if text is meant.",
        )
        return None

    def _problem(self, line: int, key: Key, text: str, fix: str) -> None:
        self.document.problems.append(Problem(line, key, text, fix))
