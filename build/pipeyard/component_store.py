"""Loading components for pipelines. The client that does it is installed alone elsewhere; these are its names here."""

from pipeyard_components import (
    Basic,
    ComponentNotFoundError,
    Components,
    ComponentStore,
    Found,
    Token,
    images_of,
    layout,
)

__all__ = ["Basic", "ComponentNotFoundError", "ComponentStore", "Components", "Found", "Token", "images_of", "layout"]
