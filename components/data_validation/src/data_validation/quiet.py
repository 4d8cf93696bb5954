"""Importing TFDV without TensorFlow, and without the page of warnings that its libraries print.

TFDV imports TensorFlow at the top, for files and types that this step doesn't use: 3 s, 370 MB, and threads that a
process had better not have before it forks. So the modules that only it needs are put off until something asks them
for a name; whatever asks (TFDV's command line, a notebook) gets the real ones.
"""

import contextlib
import importlib
import importlib.util
import io
import logging
import sys
import types
import warnings

_SKEW = "tensorflow_data_validation.skew.feature_skew_detector"  # names tf.train.Example in its annotations


class _Deferred(types.ModuleType):
    """Stands in `sys.modules` for a module that is imported when a name of it is asked for.

    Given a `__path__`, its submodules are imported without it: `tensorflow_data_validation/__init__.py` imports all.
    """

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if "__path__" in vars(self) and importlib.util.find_spec(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class _Compat(types.SimpleNamespace):
    """`tf.compat`: `as_bytes`, which TFDV calls on each proto that it hands to its C++, doesn't need the rest."""

    @staticmethod
    def as_bytes(text: str | bytes) -> bytes:
        return text.encode() if isinstance(text, str) else bytes(text)

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module("tensorflow").compat, name)


def import_tfdv() -> None:
    """Imports what the step needs of TFDV, silently.

    Raises:
        ImportError: after showing what the libraries printed.
    """
    warnings.simplefilter("ignore", FutureWarning)
    # Means over columns with infinities are NaN, as TFDV has it; numpy need not say so for every batch.
    warnings.simplefilter("ignore", RuntimeWarning)
    logging.getLogger().setLevel(logging.ERROR)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            _defer("tensorflow", compat=_Compat())
            _defer("tensorflow_data_validation", only_submodules=True)
            _defer(_SKEW)
            importlib.import_module("tensorflow_data_validation.statistics.stats_impl")
            importlib.import_module("tensorflow_data_validation.api.validation_api")
    except ImportError:
        sys.stderr.write(printed.getvalue())
        raise


def _defer(name: str, *, only_submodules: bool = False, **names: object) -> None:
    if name in sys.modules:
        return
    module = _Deferred(name)
    vars(module).update(names)
    if only_submodules:
        found = importlib.util.find_spec(name)
        vars(module)["__path__"] = list(found.submodule_search_locations or ()) if found else []
    sys.modules[name] = module
