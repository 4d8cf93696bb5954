"""Loading the pipeline's own code: `preprocessing_fn`, `build_model` and the like."""

import atexit
import hashlib
import importlib.util
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from stepkit import module_reads, uris
from stepkit.errors import StepError, UsageError, near_misses


def load(source: str, uri: str, required: Sequence[str] = ()) -> ModuleType:
    """Imports a pipeline module. What its code reads from then on is recorded, see `module_reads`.

    Args:
        source: its Python source; or
        uri: where to read that source.
        required: names of functions it must define.

    Raises:
        UsageError: both or none of `source` and `uri` are given.
        StepError: it doesn't parse, raises while it is imported, or lacks a function.
    """
    if bool(source) == bool(uri):
        raise UsageError("give the pipeline module by exactly one of --module and --module-uri")
    text = source or uris.read_text(uri, "pipeline module")
    shown = uri or "given by --module"
    name = f"pipeline_module_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    # A real file, because TFT and Beam read the source of functions back, and for the lines of tracebacks.
    folder = Path(tempfile.mkdtemp(prefix="stepkit-module-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    module_reads.watch(path)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise StepError(
            f"The pipeline module {shown} has a syntax error in line {error.lineno}: {error.msg}: "
            f"{(error.text or '').strip()!r}. Correct it and run again."
        ) from error
    except (Exception, SystemExit) as error:  # pylint: disable=broad-exception-caught  # the user's code: anything can come
        raise StepError(f"The pipeline module {shown} failed while it was imported: {_where(error, path)}.") from error
    module_reads.declare(module)
    for function in required:
        if not callable(getattr(module, function, None)):
            defined = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            raise StepError(
                f"The pipeline module {shown} defines no function {function!r}. {near_misses(function, defined)}"
            )
    return module


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function of the pipeline module.

    Raises:
        StepError: it raised; the message names the function, the line and the cause.
    """
    try:
        return function(*args, **kwargs)
    except StepError:
        raise
    except Exception as error:  # pylint: disable=broad-exception-caught  # it is the user's code: anything can come
        path = Path(getattr(function, "__globals__", {}).get("__file__", ""))
        name = getattr(function, "__name__", "function")
        raise StepError(f"The pipeline module's {name} raised: {_where(error, path)}.") from error
    finally:
        module_reads.report()


def _where(error: BaseException, path: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    at = f" in line {lines[-1]}" if lines else ""
    return f"{type(error).__name__}{at}: {error}"
