"""The pipeline module's part: the model."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import keras

from stepkit import modules
from stepkit.errors import StepError, near_misses
from trainkit.hyperparameters import ModuleNames, described
from trainkit.transform_graph import Transform

NAMES = ModuleNames("build_model", "hyperparameter_space")


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
        raise StepError(f"The pipeline module's build_model returned {described(model)}. Return a Keras 3 model.")
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
