"""Loading components for pipelines, as kfp 1's ComponentStore did; kfp 2 has none."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kfp import components as kfp_components
from kfp.dsl import base_component

from pipeyard.errors import PipeyardError, near_misses

SPEC = "component.yaml"


class Components:
    """Loaded components, by attribute and by item; iterating gives their names."""

    def __init__(self, loaded: dict[str, base_component.BaseComponent]) -> None:
        self._loaded = loaded

    def __getattr__(self, name: str) -> base_component.BaseComponent:
        try:
            return self[name]
        except PipeyardError as error:
            raise AttributeError(str(error)) from error

    def __getitem__(self, name: str) -> base_component.BaseComponent:
        if name not in self._loaded:
            raise PipeyardError(f"The component {name!r} was not loaded. {near_misses(name, self._loaded)}")
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)


class ComponentStore:
    """Finds components by name in folders laid out `<name>/component.yaml`.

    Args:
        local_search_paths: folders, searched in this order.
    """

    def __init__(self, local_search_paths: Sequence[str | Path]) -> None:
        self._paths = [Path(path) for path in local_search_paths]

    def load_component(self, name: str) -> Any:
        """Loads one component.

        Raises:
            PipeyardError: it isn't there, or isn't a component specification that kfp can load.
        """
        tried = [folder / name / SPEC for folder in self._paths]
        for path in tried:
            if path.is_file():
                try:
                    return kfp_components.load_component_from_file(str(path))
                except Exception as error:  # kfp raises many kinds, YAML's among them
                    raise PipeyardError(f"{path} isn't a component that kfp can load: {error}") from error
        known = [path.parent.name for folder in self._paths for path in folder.glob(f"*/{SPEC}")]
        where = ", ".join(map(str, tried))
        raise PipeyardError(f"No component {name!r}; looked for {where}. {near_misses(name, known)}")

    def load_components(self, *names: str) -> Components:
        """Loads several components; see `load_component`."""
        return Components({name: self.load_component(name) for name in names})
