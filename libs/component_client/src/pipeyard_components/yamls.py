"""YAML that somebody else wrote: without Python objects, and within bounds.

libyaml reads it where PyYAML was built with it, ten times as fast as PyYAML's own reader. Before anything is built, its
events are counted: an alias counts as all that it repeats, so a document of a few lines that unfolds to billions of
values is refused at once. A key that stands twice with two meanings is refused, too: PyYAML would take the last.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from pipeyard_components import bounds
from pipeyard_components.bounds import TooMuch

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What PyYAML's constructors let through of Python's own, for `2020-13-01`, `!!int x` and the like.
_ODD = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)
_MERGE = "tag:yaml.org,2002:merge"
# Numbers of YAML 1.1 that YAML 1.2 reads otherwise: octal, to the base of 2 or 60, with underscores.
_ODD_NUMBER = re.compile(r"[-+]?(0[0-9_]+|0b[01_]+|(?=[0-9.]*_)[0-9][0-9_]*(\.[0-9_]*)?|[0-9_]+(:[0-9.]+)+)")
_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def load(text: str | bytes) -> Any:
    """Returns the only document's content; None if absent.

    Raises:
        yaml.YAMLError: it isn't YAML, has several documents, tags that stand for objects, values that aren't what
            they look like (the date 2020-13-01), has a key twice with two meanings, or is past a bound (`TooMuch`).
    """
    check(text)
    return yaml.load(text, Loader=_BoundedLoader)


def load_all(text: str | bytes) -> list[Any]:
    """Returns the content of each document.

    Raises:
        yaml.YAMLError: as `load`, but for several documents.
    """
    check(text)
    return list(yaml.load_all(text, Loader=_BoundedLoader))


def compose(text: str | bytes) -> yaml.Node | None:
    """Returns the only document's nodes, which know their lines; None if absent.

    Raises:
        yaml.YAMLError: as `load`.
    """
    check(text, yaml.SafeLoader)
    return yaml.compose(text, Loader=yaml.SafeLoader)


def check(text: str | bytes, loader: Any = _PARSER) -> None:
    """Checks that a text is YAML, and within bounds, without building anything.

    Args:
        loader: that it is going to be built with, whose words errors have.

    Raises:
        yaml.YAMLError: it isn't.
    """
    bounds.check_size(text)
    count = _Count()
    try:
        for event in yaml.parse(text, Loader=loader):
            count.add(event)
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise yaml.YAMLError(f"it has a character that no text has: {error}") from error


def refuse_keys_that_stand_twice(root: yaml.Node | None) -> None:
    """Refuses a key that stands twice with two meanings, of which the last would be taken without a word.

    With equal values it does no harm, nor below the `metadata` of a component's specification, which nobody reads:
    public specifications have that.

    Raises:
        yaml.YAMLError: there is one.
    """
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    is_component = any(key.value == "implementation" for key, _ in pairs)
    waiting = [value for key, value in pairs if not (is_component and key.value == "metadata")]
    if isinstance(root, yaml.SequenceNode):
        waiting = [root]
    _refuse_twice(root)
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        _refuse_twice(node)
        waiting += [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else node.value


def _refuse_twice(node: yaml.Node | None) -> None:
    seen: dict[tuple[str, str], yaml.Node] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        first = seen.setdefault((key.tag, key.value), value)
        if first is not value and yaml.serialize(first) != yaml.serialize(value):
            line = key.start_mark.line + 1
            problem = (
                f"the key {key.value!r} stands twice, again in line {line}, with another value. Remove one of them."
            )
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)


class _BoundedLoader(_PARSER):  # type: ignore[misc, valid-type]  # the installed PyYAML decides which it is
    def get_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_node()
        refuse_keys_that_stand_twice(node)
        return node

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        refuse_keys_that_stand_twice(node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _ODD as error:
            problem = f"a value isn't what it looks like ({type(error).__name__}: {error}); put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


class _Count:
    """Counts the nodes of what is read, aliases being unfolded, and how deep they are nested."""

    def __init__(self) -> None:
        self._open: list[tuple[str | None, int]] = []  # anchor, and how many nodes there were before it
        self._nodes = self._repeated = 0
        self._deepest: list[int] = [0]  # below each open node, and below the document
        self._anchors: dict[str, tuple[int, int]] = {}  # nodes and depth

    def add(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._nodes += 1
            if event.anchor is not None:
                self._anchors[event.anchor] = (1, 0)
        elif isinstance(event, _STARTS):
            self._open.append((event.anchor, self._nodes))
            self._nodes += 1
            self._deepest.append(0)
            if event.anchor is not None:
                self._anchors.pop(event.anchor, None)  # until it ends it can only be named within itself
        elif isinstance(event, _ENDS):
            anchor, before = self._open.pop()
            depth = self._deepest.pop() + 1
            self._deepest[-1] = max(self._deepest[-1], depth)
            if anchor is not None:
                self._anchors[anchor] = (self._nodes - before, depth)
        self._check(event, 0)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = str(event.anchor)
        if any(anchor == name for anchor, _ in self._open) and name not in self._anchors:
            problem = f"the alias *{name} makes the document grow without end: it stands within what it repeats"
            raise TooMuch(problem, event.start_mark)
        nodes, depth = self._anchors.get(name, (1, 0))  # one that isn't known is refused when it is built
        self._nodes += nodes
        self._repeated += nodes
        self._deepest[-1] = max(self._deepest[-1], depth)
        self._check(event, depth)

    def _check(self, event: yaml.Event, depth: int) -> None:
        if len(self._open) + depth > bounds.MOST_DEPTH:
            raise TooMuch(f"it is nested more than {bounds.MOST_DEPTH} deep", event.start_mark)
        if self._repeated > bounds.MOST_REPEATED:
            problem = f"aliases make the document grow without end: they repeat over {bounds.MOST_REPEATED:,} values"
            raise TooMuch(problem, event.start_mark)
        if self._nodes > bounds.MOST_NODES:
            raise TooMuch(f"it has more than {bounds.MOST_NODES:,} values", event.start_mark)


def misread(node: yaml.Node) -> str:
    """Returns what PyYAML reads, as YAML 1.1 has it, where YAML 1.2 reads another value: 012 as 10, no as false.

    Args:
        node: of `compose`.

    Returns:
        The value; empty: both read the same, or it is in quotes.
    """
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return ""
    kind, text = node.tag.rpartition(":")[2], str(node.value)
    if kind == "bool" and text.lower() not in ("true", "false"):
        return str(yaml.safe_load(text)).lower()
    if kind in ("int", "float") and _ODD_NUMBER.fullmatch(text):
        return str(yaml.safe_load(text))
    return ""


def unshared(node: Any) -> Any:
    """Returns a copy of what was read in which whatever an alias repeats is a value of its own."""
    if isinstance(node, dict):
        return {key: unshared(value) for key, value in node.items()}
    return [unshared(each) for each in node] if isinstance(node, list) else node
