"""The pipeline module's part: hyperparameters and the model."""

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import keras

from stepkit import modules
from stepkit.errors import StepError, near_misses
from train.transform_graph import Transform


def default_hyperparameters(module: ModuleType) -> dict[str, Any]:
    """Returns a copy of the module's DEFAULT_HYPERPARAMETERS; empty if it has none.

    Raises:
        StepError: they aren't a dict.
    """
    defaults = getattr(module, "DEFAULT_HYPERPARAMETERS", {})
    if not isinstance(defaults, dict):
        raise StepError(f"The pipeline module's DEFAULT_HYPERPARAMETERS is {_article(defaults)}. Make it a dict.")
    try:
        json.dumps(defaults)
    except (TypeError, ValueError) as error:
        raise StepError(
            f"The pipeline module's DEFAULT_HYPERPARAMETERS can't be written as JSON ({error}). "
            "Use numbers, text, lists and dicts only."
        ) from error
    return dict(defaults)


def merge_hyperparameters(
    defaults: Mapping[str, Any], overrides: Mapping[str, Any], where: str = "--hyperparameters"
) -> dict[str, Any]:
    """Returns `defaults` with `overrides`. A module without defaults takes any.

    Args:
        where: what gave the overrides, for the error.

    Raises:
        StepError: an override is unknown.
    """
    for name in overrides:
        if defaults and name not in defaults:
            raise StepError(
                f"Hyperparameter {name!r} ({where}) isn't in the pipeline module's DEFAULT_HYPERPARAMETERS. "
                f"{near_misses(name, defaults)}"
            )
    return {**defaults, **overrides}


def build(
    module: ModuleType,
    transform: Transform,
    hyperparameters: Mapping[str, Any],
    withheld: Mapping[str, str] | None = None,
) -> keras.Model:
    """Calls the module's `build_model`.

    Args:
        withheld: transformed feature that no model gets to why, for the error.

    Raises:
        StepError: it raises, or returns something other than a compiled Keras 3 model whose inputs are transformed
            features, or one with several outputs.
    """
    model = modules.call(module.build_model, transform, dict(hyperparameters))
    if not isinstance(model, keras.Model):
        raise StepError(f"The pipeline module's build_model returned {_article(model)}. Return a Keras 3 model.")
    if not model.compiled or model.optimizer is None or not hasattr(model, "loss"):
        raise StepError(
            "The pipeline module's build_model returned a model that isn't compiled. "
            "Call model.compile(optimizer=..., loss=...) before returning it."
        )
    if len(getattr(model, "outputs", None) or [None]) != 1:
        raise StepError(f"The pipeline module's model has {len(model.outputs)} outputs. Return a model with one.")
    for name in input_names(model) or ():
        if name in (withheld or {}):
            raise StepError(f"The model's input {name!r} is {(withheld or {})[name]}. Remove it from the inputs.")
        if name not in transform.feature_spec:
            raise StepError(
                f"The model's input {name!r} is no transformed feature. {near_misses(name, transform.feature_spec)}"
            )
    return model


def input_names(model: keras.Model) -> list[str] | None:
    """Returns the names of a functional model's inputs when they are given by name; None if it takes what it likes."""
    structure = getattr(model, "_inputs_struct", None)
    return list(structure) if isinstance(structure, dict) else None


def _article(value: object) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__!r}"
