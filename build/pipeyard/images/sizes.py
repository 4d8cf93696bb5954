"""What images take on a node's disk, against the goals that a repository sets itself."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeyard.errors import PipeyardError
from pipeyard.images.publisher import ImageOutcome
from pipeyard.images.references import Reference
from pipeyard.images.registry import Layer
from pipeyard.repository.project import Project

EACH = "each"
TOGETHER = "together"
_AT_ONCE = 8


@dataclass(frozen=True)
class Sizes:
    """Bytes of unpacked layers, as their archives count them: files in blocks of 512 bytes, with a header each.

    Attributes:
        images: by name; None where the registry doesn't tell.
        together: of all, on one node: layers that images share count once.
    """

    images: Mapping[str, int | None]
    together: int | None


def measure(unpacked: Callable[[Reference, Layer], int | None], outcomes: Iterable[ImageOutcome]) -> Sizes:
    """Asks for the size of every layer, once.

    Args:
        unpacked: see `Registry.unpacked_bytes`. Where it raises PipeyardError, the size is unknown.
    """
    outcomes = list(outcomes)
    places = {layer: each.image.reference() for each in outcomes for layer in each.layers}

    def ask(layer: Layer) -> int | None:
        try:
            return unpacked(places[layer], layer)
        except PipeyardError:
            return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        known = dict(zip(places, pool.map(ask, places), strict=True))
    # Without layers it is an index of several manifests.
    images = {each.name: _sum(known[layer] for layer in each.layers) if each.layers else None for each in outcomes}
    return Sizes(images, None if None in images.values() else _sum(known.values()))


def packed(outcomes: Iterable[ImageOutcome]) -> int:
    """Returns the bytes of layers as registries keep them; those that images share count once."""
    return sum({layer.digest: layer.bytes for each in outcomes for layer in each.layers}.values())


def goals(project: Project) -> dict[str, int]:
    """Returns `[tool.pipeyard.image-goals]` of the repository's `pyproject.toml`, in bytes.

    `each` is for images that aren't named themselves, `together` for all on one node.

    Raises:
        PipeyardError: a goal is for no image, or is no number.
    """
    path = project.root / "pyproject.toml"
    if not path.exists():
        return {}
    found = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("pipeyard", {}).get("image-goals", {})
    strange = [name for name in found if name not in {EACH, TOGETHER, *project.components}]
    strange += [name for name, value in found.items() if not isinstance(value, int | float)]
    if strange:
        raise PipeyardError(
            f"{path}, [tool.pipeyard.image-goals]: {', '.join(strange)} isn't understood. "
            f"Write bytes for {EACH}, {TOGETHER}, or a component."
        )
    return {name: int(value) for name, value in found.items()}


def _sum(values: Iterable[int | None]) -> int | None:
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
