"""The pipeline module's hyperparameters, and what overrides them."""

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from stepkit.errors import StepError, near_misses

DEFAULTS = "DEFAULT_HYPERPARAMETERS"


def default_hyperparameters(module: ModuleType, name: str = DEFAULTS) -> dict[str, Any]:
    """Returns a copy of the module's defaults; empty if it has none.

    Args:
        name: what the module calls them.

    Raises:
        StepError: they aren't a dict.
    """
    defaults = getattr(module, name, {})
    if not isinstance(defaults, dict):
        raise StepError(f"The pipeline module's {name} is {described(defaults)}. Make it a dict.")
    try:
        json.dumps(defaults)
    except (TypeError, ValueError) as error:
        raise StepError(
            f"The pipeline module's {name} can't be written as JSON ({error}). Use numbers, text, lists and dicts only."
        ) from error
    return dict(defaults)


def merge_hyperparameters(
    defaults: Mapping[str, Any],
    overrides: Mapping[str, Any],
    where: str = "--hyperparameters",
    declared: str = DEFAULTS,
) -> dict[str, Any]:
    """Returns `defaults` with `overrides`. A module without defaults takes any.

    Args:
        where: what gave the overrides, for the error.
        declared: what the module calls the defaults, likewise.

    Raises:
        StepError: an override is unknown.
    """
    for name in overrides:
        if defaults and name not in defaults:
            raise StepError(
                f"Hyperparameter {name!r} ({where}) isn't in the pipeline module's {declared}. "
                f"{near_misses(name, defaults)}"
            )
    return {**defaults, **overrides}


def described(value: object) -> str:
    """Returns how errors call what a module's function returned."""
    return "None" if value is None else f"an object of type {type(value).__name__!r}"
