"""The pipeline module's hyperparameters, and what overrides them."""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stepkit import modules
from stepkit.errors import StepError, near_misses

DEFAULTS = "DEFAULT_HYPERPARAMETERS"


@dataclass(frozen=True)
class ModuleNames:
    """What a trainer asks the pipeline's module for, by name.

    Attributes:
        build: function that gives what is trained for hyperparameters.
        space: function that gives the hyperparameters of a trial.
        defaults: what hyperparameters there are.
    """

    build: str
    space: str
    defaults: str = DEFAULTS

    def functions(self, args: argparse.Namespace) -> list[str]:
        """Returns the functions that the module has to define."""
        return [self.build] + ([self.space] if args.tune_trials else [])

    def hyperparameters(self, module: ModuleType, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the module's defaults with overrides.

        Raises:
            StepError: the defaults aren't a dict, or an override is unknown.
        """
        return merge_hyperparameters(default_hyperparameters(module, self.defaults), overrides, declared=self.defaults)

    def search_space(self, module: ModuleType, overrides: Mapping[str, Any]) -> Callable[[Any], dict[str, Any]]:
        """Returns a function that gives a trial's hyperparameters: what the module chooses, but for the overrides.

        It raises StepError where the module gives no dict, or names a hyperparameter that it has no default for.
        """
        defaults = default_hyperparameters(module, self.defaults)

        def space(hp: Any) -> dict[str, Any]:
            chosen = modules.call(getattr(module, self.space), hp)
            if not isinstance(chosen, dict):
                raise StepError(
                    f"The pipeline module's {self.space} returned {chosen!r}. Return a dict of hyperparameters."
                )
            merged = merge_hyperparameters(defaults, chosen, f"from {self.space}", self.defaults)
            return merge_hyperparameters(merged, overrides, declared=self.defaults)

        return space


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
