"""A pipeline's entry in `settings.yaml`, written into its text: comments, anchors and the order of all else stay."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.settings import FILE, yaml_lines
from pipeyard.system import yamls


def added(text: str, environment: str, pipeline: str, parameters: Mapping[str, str]) -> str:
    """Returns the text with a pipeline more in an environment.

    Args:
        parameters: those that the environment gives all pipelines are left out.

    Raises:
        PipeyardError: there is no such environment, it has the pipeline, or it is written in a way that nothing can be
            put into.
    """
    environments = _mapping(_child(yamls.compose(text), "environments"), "environments")
    names = [key.value for key, _ in environments.value]
    if environment not in names:
        raise PipeyardError(f"{FILE} has no environment {environment!r}. {near_misses(environment, names)}")
    place = _mapping(_child(environments, environment), f"environments.{environment}")
    wanted = _data(text)
    there = wanted["environments"][environment]["pipelines"] = (
        wanted["environments"][environment].get("pipelines") or {}
    )
    if pipeline in there:
        raise PipeyardError(
            f"{FILE} has {pipeline!r} in environments.{environment} already. Choose another name, or remove it there."
        )
    given = wanted["environments"][environment].get("parameters") or {}
    there[pipeline] = {"parameters": {name: value for name, value in parameters.items() if name not in given}}
    entry = yaml.safe_dump({pipeline: there[pipeline]}, sort_keys=False, allow_unicode=True, width=10_000).splitlines()
    pipelines = _child(place, "pipelines")
    if pipelines is None:
        new = _inserted(text, place, ["pipelines:", *(f"  {line}" for line in entry)])
    else:
        new = _inserted(text, _mapping(pipelines, f"environments.{environment}.pipelines"), entry)
    if _data(new) != wanted:  # an anchor, of which others would have the pipeline, too; a text that ends like a comment
        raise PipeyardError(
            f"{FILE} is written so that nothing can be put into environments.{environment}.pipelines alone. "
            f"Put it there by hand: {'; '.join(entry)}"
        )
    return new


def _data(text: str) -> Any:
    """Returns what a text says, in which what an alias repeats is a value of its own."""
    return json.loads(json.dumps(yaml_lines.read(text).data))


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    children = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in children if name.value == key), None)


def _mapping(node: yaml.Node | None, where: str) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode) or node.flow_style or not node.value:
        raise PipeyardError(f"{FILE} has no {where} with a line for each of its keys. Write it so.")
    return node


def _inserted(text: str, mapping: yaml.MappingNode, lines: list[str]) -> str:
    """Puts lines behind the last of a mapping's, as deep as its keys."""
    indent = " " * mapping.value[0][0].start_mark.column
    written = text.splitlines(keepends=True)
    # A block ends where the next thing begins: comments and empty lines between are that one's.
    at = len(written) if mapping.end_mark.index >= len(text) else mapping.end_mark.line
    while not written[at - 1].strip() or written[at - 1].lstrip().startswith("#"):
        at -= 1
    if not written[at - 1].endswith("\n"):
        written[at - 1] += "\n"
    return "".join([*written[:at], *(f"{indent}{line}\n" for line in lines), *written[at:]])
