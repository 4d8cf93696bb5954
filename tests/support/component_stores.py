"""Small component stores, for tests of what finds components in them."""

from collections.abc import Mapping
from pathlib import Path

from pipeyard.component_store import layout


def spec(name: str = "echo", image: str = "busybox:1", description: str = "Says it.") -> bytes:
    """Returns a specification with one input, `text`."""
    return f"""name: {name}
description: {description}
inputs:
- {{name: text, type: String}}
implementation:
  container:
    image: {image}
    command: [echo]
    args: [{{inputValue: text}}]
""".encode()


def image_of(component) -> str:
    """Returns the image that a loaded component runs: what tells versions apart here."""
    return component.component_spec.implementation.container.image


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files by their paths below `root`."""
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def two_versions() -> tuple[dict[str, bytes], str, str]:
    """Returns a store's files, in which `echo` has the tags `v1` and `v2`, and the digests of both."""
    first, second = spec(image="busybox:1"), spec(image="busybox:2")
    files = {**layout.publication("echo", first, ["v1"]), **layout.publication("echo", second, ["v2", "latest"])}
    return files, layout.digest_of(first), layout.digest_of(second)
