"""Defaults of a specification that kfp reads unlike they are written: in YAML 1.1, 012 is 10, and no is false."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from pipeyard_components import yamls

_BOOLEANS = ("bool", "boolean")


def defaults(text: str) -> Iterator[str]:
    """Yields what is wrong with each default, and how to mend it.

    Args:
        text: of a specification of kfp 1's kind.

    Raises:
        yaml.YAMLError: it isn't YAML, or is past a bound.
    """
    inputs = _members(yamls.compose(text)).get("inputs")
    for each in inputs.value if isinstance(inputs, yaml.SequenceNode) else []:
        port = _members(each)
        node, name, kind = (port.get(key) for key in ("default", "name", "type"))
        if not isinstance(node, yaml.ScalarNode):
            continue
        type_ = str(kind.value) if isinstance(kind, yaml.ScalarNode) else ""
        read = _read(node, type_)
        if read:
            shown = name.value if isinstance(name, yaml.ScalarNode) else ""
            yield (
                f"the default of input {shown!r} is {node.value} in line {node.start_mark.line + 1}, which kfp reads "
                f"as {read}. Put it in quotes."
            )


def _read(node: yaml.ScalarNode, type_: str) -> str:
    is_boolean = node.tag.endswith(":bool")
    if type_ == "String" and node.style is None and node.tag.endswith((":int", ":float")):
        read = str(yaml.safe_load(node.value))
        return "" if read == node.value else read
    return "" if is_boolean and type_.lower() in _BOOLEANS else yamls.misread(node)


def _members(node: yaml.Node | None) -> dict[str, yaml.Node]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return {str(key.value): value for key, value in pairs if isinstance(key, yaml.ScalarNode)}
