"""Loading components for pipelines, as kfp 1's ComponentStore did; kfp 2 has none."""

from pipeyard_components.auth import Basic, Token
from pipeyard_components.store import ComponentNotFoundError, Components, ComponentStore, Found

__all__ = ["Basic", "ComponentNotFoundError", "ComponentStore", "Components", "Found", "Token"]
