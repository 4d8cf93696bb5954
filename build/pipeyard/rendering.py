"""Specs for release: the committed `component.yaml` with another image, and nothing else changed."""

from pathlib import Path

import yaml

from pipeyard import yamls
from pipeyard.errors import PipeyardError

_IMAGE = ("implementation", "container", "image")


def with_image(text: str, image: str, name: str = "component.yaml") -> str:
    """Returns a spec's text with `image` as its image; comments, order and layout are those of `text`.

    Args:
        name: of the file, for messages.

    Raises:
        PipeyardError: the spec isn't YAML or has no image.
    """
    try:
        node = yamls.compose(text)
    except yaml.YAMLError as error:
        raise PipeyardError(f"{name} isn't valid YAML: {error}") from error
    for key in _IMAGE:
        found = [value for each, value in getattr(node, "value", []) if each.value == key] if _is_mapping(node) else []
        if not found:
            raise PipeyardError(f"{name} has no {'.'.join(_IMAGE)}. Write which image runs the component.")
        node = found[0]
    if not isinstance(node, yaml.ScalarNode):
        raise PipeyardError(f"{name}: {'.'.join(_IMAGE)} is no text. Write an image's name.")
    return text[: node.start_mark.index] + image + text[node.end_mark.index :]


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


def _is_mapping(node: yaml.Node | None) -> bool:
    return isinstance(node, yaml.MappingNode)
