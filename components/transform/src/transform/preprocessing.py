"""The pipeline's preprocessing_fn, made safe to ship and to call."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf

from stepkit import modules
from stepkit.errors import StepError, near_misses

FUNCTION = "preprocessing_fn"
_REFUSED = ("/", "\0")  # in names of transformed features
_DTYPES = (tf.float32, tf.int64, tf.string)


class Preprocessing:
    """Calls a pipeline module's preprocessing_fn. Pickles as source, since remote workers don't have the module.

    Attributes:
        module: as `stepkit.modules.load` gives it.
        source: of the module.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.source = Path(str(module.__file__)).read_text(encoding="utf-8")

    @classmethod
    def load(cls, source: str, uri: str) -> "Preprocessing":
        """Loads the module from its source or its URI.

        Raises:
            UsageError, StepError: see `stepkit.modules.load`.
        """
        return cls(modules.load(source, uri, [FUNCTION]))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.source,)

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Calls preprocessing_fn with symbolic tensors.

        Raises:
            StepError: it raised, or returned something that can't be written as tf.Examples.
        """
        outputs = modules.call(getattr(self.module, FUNCTION), _Inputs(inputs))
        check_outputs(outputs)
        return outputs


@lru_cache(maxsize=1)
def _restore(source: str) -> Preprocessing:
    return Preprocessing(modules.load(source, "", [FUNCTION]))


class NoSuchInput(KeyError):
    """preprocessing_fn asked for a feature that the schema doesn't have."""

    def __str__(self) -> str:
        return str(self.args[0])


class _Inputs(dict):
    """Raw features by name; asking for one that isn't there says which there are."""

    def __missing__(self, name: str) -> Any:
        raise NoSuchInput(f"{name!r} isn't a feature of the schema. {near_misses(name, self).rstrip('.')}")


def check_outputs(outputs: Any) -> None:
    """Sees that `outputs` is a dict of tensors that tf.Examples can hold: one entry a row, float32, int64 or string.

    Raises:
        StepError: it isn't; names the output and what to return.
    """
    if not isinstance(outputs, dict):
        raise StepError(f"{FUNCTION} returned {_article(outputs)}; return a dict of names to tensors.")
    if not outputs:
        raise StepError(f"{FUNCTION} returned an empty dict; return at least one tensor.")
    for name, value in outputs.items():
        if not isinstance(name, str):
            raise StepError(f"{FUNCTION} returned the name {name!r}; names must be str.")
        _check_name(name)
        if not isinstance(value, tf.Tensor | tf.SparseTensor | tf.RaggedTensor):
            raise StepError(
                f"{FUNCTION} returned {_article(value)} for {name!r}; "
                "return a tf.Tensor, tf.SparseTensor or tf.RaggedTensor."
            )
        if value.dtype not in _DTYPES:
            raise StepError(
                f"{FUNCTION} returned {value.dtype.name} for {name!r}, which tf.Example can't hold; "
                "tf.cast it to float32 or int64, or tf.as_string it."
            )
        if value.shape.rank is None or value.shape.rank == 0:
            raise StepError(
                f"{FUNCTION} returned shape {value.shape} for {name!r}; the first dimension must be the rows."
            )
        if isinstance(value, tf.Tensor) and None in value.shape[1:].as_list():
            raise StepError(
                f"{FUNCTION} returned shape {value.shape} for {name!r}; only the rows may be of unknown number. "
                "Set the shape (tf.ensure_shape), or return a sparse or ragged tensor."
            )


def _check_name(name: str) -> None:
    """Raises StepError if no model can have an input of that name: Keras' and HDF5's rules, found by trying."""
    refused = [what for what in _REFUSED if what in name]
    if refused or not name:
        problem = f"it has {', '.join(repr(what) for what in refused)}" if refused else "it is empty"
        better = re.sub(r"[/\x00]+", "_", name) or "feature"
        raise StepError(
            f"{FUNCTION} returned a feature named {name!r}, which no input of a Keras model can be called: {problem}. "
            f"Return it under another name, e.g. {better!r}. (Raw features may have any name.)"
        )


def _article(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
