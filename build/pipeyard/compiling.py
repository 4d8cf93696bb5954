"""Compiles a pipeline's `pipeline.py` to KFP's intermediate representation."""

import importlib.util
import itertools
import multiprocessing
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeyard.errors import PipeyardError

if TYPE_CHECKING:
    from pipeyard.component_store.loading import LoadedComponent
    from pipeyard.local.ir import Pipeline

# One argument of a process on Linux, and so one parameter of a step: MAX_ARG_STRLEN.
ARGUMENT_LIMIT = 128 * 1024
ARGUMENT_WARNING = 64 * 1024
# Argo keeps the workflow in etcd, which takes 1.5 MiB; Pipeyard's own annotations and the run's parameters come on top.
WORKFLOW_WARNING = 700 * 1024


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline: YAML text, and what its user should know of it."""

    text: str
    warnings: tuple[str, ...]


def compile_pipeline(folder: Path, instead: Mapping[Path, Path] | None = None) -> Compiled:
    """Compiles `<folder>/pipeline.py`.

    Args:
        instead: folder of components to the one that is searched in its place, as for rendered specs.

    Raises:
        PipeyardError: it can't be imported, defines no pipeline or several, doesn't compile, carries a value that no
            process can take as an argument, connects what doesn't mean the same, or uses what backends break on.
    """
    from kfp import compiler
    from kfp.dsl import graph_component

    from pipeyard.component_store.session import session
    from pipeyard.local import ir

    with session(instead or {}) as opened:
        module = _import(folder / "pipeline.py")
    pipelines = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, graph_component.GraphComponent) and not name.startswith("_")
    }
    if len(pipelines) != 1:
        raise PipeyardError(
            f"{folder / 'pipeline.py'} defines {len(pipelines)} pipelines ({', '.join(pipelines) or 'none'}); "
            "define one function with @dsl.pipeline, and prefix helpers' names with an underscore."
        )
    ((_, pipeline),) = pipelines.items()
    for name, definition in pipeline.pipeline_spec.root.input_definitions.parameters.items():
        if "\n" in definition.default_value.string_value:
            raise PipeyardError(
                f"the default of {name!r} has several lines, which kfp writes into a comment and so breaks the file. "
                "Pass it to the step as a constant, or by URI."
            )
    with tempfile.TemporaryDirectory(prefix="pipeyard-") as scratch:
        package = Path(scratch) / "pipeline.yaml"
        try:
            compiler.Compiler().compile(pipeline, str(package))
        except Exception as error:  # kfp raises many kinds
            raise PipeyardError(f"{folder / 'pipeline.py'} doesn't compile: {error}") from error
        text = _without_header(package.read_text(encoding="utf-8"))
    read = ir.parse(text)
    return Compiled(text, (*_check_sizes(read), *_check_meaning(folder, read, opened.loaded)))


def compile_apart(folder: Path, instead: Mapping[Path, Path] | None = None) -> Compiled:
    """Compiles as `compile_pipeline` does, in a process of its own, so that this one holds no kfp for hours.

    Raises:
        PipeyardError: as there; or the process was killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        try:
            return pool.submit(compile_pipeline, folder, instead).result()
        except BrokenProcessPool as error:
            raise PipeyardError(
                f"{folder / 'pipeline.py'}: the process that compiled it was killed. Is there memory left? Run again."
            ) from error


def _without_header(text: str) -> str:
    """Drops kfp's leading comment: it prints default values in an order that differs from process to process."""
    lines = text.splitlines(keepends=True)
    return "".join(itertools.dropwhile(lambda line: line.startswith("#"), lines))


def _check_meaning(folder: Path, pipeline: "Pipeline", loaded: "list[LoadedComponent]") -> list[str]:
    from pipeyard import semantics

    problems = semantics.problems(pipeline, loaded)
    if problems:
        raise PipeyardError(f"{folder / 'pipeline.py'}: {' '.join(problems)}")
    return semantics.warnings(pipeline)


def _check_sizes(pipeline: "Pipeline") -> tuple[str, ...]:
    from google.protobuf import json_format

    warnings = []
    dags = {"the pipeline": pipeline.spec.root, **dict(pipeline.spec.components)}
    for component in dags.values():
        for task_name, task in component.dag.tasks.items():
            for name, spec in task.inputs.parameters.items():
                value = json_format.MessageToDict(spec.runtime_value.constant) if spec.HasField("runtime_value") else ""
                warnings += _check_size(f"the input {name!r} of {task_name!r}", value)
    for name, definition in pipeline.spec.root.input_definitions.parameters.items():
        warnings += _check_size(f"the default of {name!r}", json_format.MessageToDict(definition.default_value))
    if len(pipeline.text) > WORKFLOW_WARNING:
        warnings.append(
            f"it is {len(pipeline.text) // 1024} KiB compiled; clusters refuse about 1.5 MiB. Pass large values by URI."
        )
    return tuple(warnings)


def _check_size(what: str, value: object) -> list[str]:
    size = len(str(value).encode())
    remedy = "Pass it by URI instead (module_uri, schema_uri)."
    if size > ARGUMENT_LIMIT:
        raise PipeyardError(f"{what} is {size // 1024} KiB; a process takes 128 KiB in one argument. {remedy}")
    return [f"{what} is {size // 1024} KiB, near the limit of 128 KiB. {remedy}"] if size > ARGUMENT_WARNING else []


def _import(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(f"pipeline_{path.parent.name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except PipeyardError:
        raise
    except Exception as error:
        raise PipeyardError(f"{path} can't be imported: {type(error).__name__}: {error}") from error
    return module
