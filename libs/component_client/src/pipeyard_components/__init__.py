"""Loading components for pipelines, as kfp 1's ComponentStore did; kfp 2 has none."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeyard_components.auth import Basic, Token
    from pipeyard_components.locking import Locks
    from pipeyard_components.store import ComponentNotFoundError, Components, ComponentStore, Found, images_of

__all__ = ["Basic", "ComponentNotFoundError", "ComponentStore", "Components", "Found", "Locks", "Token", "images_of"]

_ELSEWHERE = {"Basic": "auth", "Token": "auth", "Locks": "locking"}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: who needs the error class alone doesn't wait for PyYAML."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ELSEWHERE.get(name, 'store')}"), name)
