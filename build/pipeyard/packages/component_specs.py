"""Specs for release: the committed `component.yaml` with another image, and nothing else changed."""

import re
from pathlib import Path
from typing import Any

import yaml

from pipeyard.errors import PipeyardError
from pipeyard.system import yamls

_IMAGE = ("implementation", "container", "image")
_ALIAS = re.compile(r"\s*:\s+(\*[^\s,\[\]{}]+)")


def with_image(text: str, image: str, name: str = "component.yaml") -> str:
    """Returns a spec's text with `image` as its image; comments, order and layout are those of `text`.

    Where the image is shared with other places, through anchors and merge keys, these keep theirs: then what aliases
    repeat is written out, and comments are lost.

    Args:
        name: of the file, for messages.

    Raises:
        PipeyardError: the spec isn't YAML or has no image.
    """
    try:
        spec = yamls.unshared(yamls.load(text))
        root = yamls.compose(text)
    except yaml.YAMLError as error:
        raise PipeyardError(f"{name} isn't valid YAML: {error}") from error
    container = spec
    for key in _IMAGE:
        if not isinstance(container, dict) or key not in container:
            raise PipeyardError(f"{name} has no {'.'.join(_IMAGE)}. Write which image runs the component.")
        container = container[key] if key != _IMAGE[-1] else container
    if not isinstance(container["image"], str):
        raise PipeyardError(f"{name}: {'.'.join(_IMAGE)} is no text. Write an image's name.")
    container["image"] = image
    start, end = _place_of_image(text, root)
    written = text[:start] + image + text[end:]
    if start == end or not _says(written, spec):
        return yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    return written


def _place_of_image(text: str, node: yaml.Node | None) -> tuple[int, int]:
    """Returns where the image's text begins and ends; equal indices if it stands in no mapping of its own."""
    start = end = 0
    for wanted in _IMAGE:
        found = [pair for pair in node.value if pair[0].value == wanted] if isinstance(node, yaml.MappingNode) else []
        if not found:
            return 0, 0
        key, node = found[-1]  # the last one counts
        start, end = node.start_mark.index, node.end_mark.index
        if alias := _ALIAS.match(text, key.end_mark.index):  # the node is what it names, wherever that stands
            start, end = alias.span(1)
    # A scalar in a block (`>-`, `|`) ends where the next key begins.
    return start, start + len(text[start:end].rstrip())


def _says(text: str, spec: Any) -> bool:
    try:
        return yamls.load(text) == spec
    except yaml.YAMLError:
        return False


def image_of(spec: Path) -> str:
    """Returns the image that a spec names.

    Raises:
        PipeyardError: it isn't a specification with an image.
    """
    try:
        return yamls.load(spec.read_text(encoding="utf-8"))["implementation"]["container"]["image"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise PipeyardError(
            f"{spec} has no {'.'.join(_IMAGE)}: it was changed. Restore it, or run `pipeyard build` again."
        ) from error
