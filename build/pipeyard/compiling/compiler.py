"""Compiles a pipeline's `pipeline.py` to KFP's intermediate representation."""

import importlib.util
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError
from pipeyard.system import apart

if TYPE_CHECKING:
    from pipeyard.compiling.passes.early_checks import EarlyCheck
    from pipeyard.ir import Pipeline
    from pipeyard_components.components import LoadedComponent

# Argo keeps the workflow in etcd, which takes 1.5 MiB; Pipeyard's own annotations and the run's parameters come on top.
WORKFLOW_WARNING = 700 * 1024


@dataclass(frozen=True)
class CompiledPipeline:
    """A compiled pipeline.

    Attributes:
        text: YAML, as runs on this machine take it: with the cache for all steps that the pipeline leaves it to.
        warnings: what its user should know.
        reads_outside: the tasks that read outside the run, see `passes.cache_switch`.
        checks: executor label to how its component's program is asked before a model is trained.
    """

    text: str
    warnings: tuple[str, ...]
    reads_outside: frozenset[tuple[str, str]] = frozenset()
    checks: "Mapping[str, EarlyCheck]" = field(default_factory=dict)

    def shipped(self) -> str:
        """Returns the YAML for servers.

        Their cache can't tell that what a step reads outside the run has changed, and nobody asks the programs about
        their parameters before the run: tasks do.
        """
        from pipeyard.compiling.passes import cache_switch, early_checks

        return early_checks.added(cache_switch.without(self.text, self.reads_outside), self.checks)


def compile_pipeline(folder: Path, instead: Mapping[Path, Path] | None = None) -> CompiledPipeline:
    """Compiles `<folder>/pipeline.py`.

    Tasks have the defaults of their components as constants: see `passes.defaults`.

    Args:
        instead: folder of components to the one that is searched in its place, as for rendered specs.

    Raises:
        PipeyardError: it can't be imported, defines no pipeline or several, doesn't compile, carries a value that no
            process can take as an argument, connects what doesn't mean the same, or uses what backends break on.
    """
    from kfp.dsl import graph_component

    from pipeyard import ir
    from pipeyard.compiling import semantics
    from pipeyard.compiling.passes import cache_switch, defaults
    from pipeyard_components.session import session

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
    pipeline.pipeline_spec.CopyFrom(defaults.written(pipeline.pipeline_spec))
    text = _written(folder / "pipeline.py", pipeline)
    try:
        read = ir.parse(text)
    except PipeyardError as error:
        raise PipeyardError(f"{folder / 'pipeline.py'}: {error}") from error
    warnings = (*_check(folder, read, opened.loaded), *sizes_of(read, {}, f"{folder / 'pipeline.py'}"))
    outside = cache_switch.outside(read, semantics.external(read, opened.loaded))
    return CompiledPipeline(text, warnings, outside, semantics.early_checks(read, opened.loaded))


def compile_apart(folder: Path, instead: Mapping[Path, Path] | None = None) -> CompiledPipeline:
    """Compiles as `compile_pipeline` does, in a process of its own, so that this one holds no kfp for hours.

    Raises:
        PipeyardError: as there; or the process was killed.
    """
    try:
        return apart.call(compile_pipeline, folder, instead)
    except apart.KilledError as error:
        raise PipeyardError(
            f"{folder / 'pipeline.py'}: the process that compiled it was killed. Is there memory left? Run again."
        ) from error


def _written(path: Path, pipeline: Any) -> str:
    """Returns a pipeline as kfp writes it, but for the comment at the top.

    kfp's comment shows default values as they are, so a line break in one ends the comment and its rest becomes part of
    the pipeline; and it shows them in an order that differs from process to process.

    Raises:
        PipeyardError: kfp refuses to write it.
    """
    import yaml
    from google.protobuf import json_format
    from kfp import compiler

    with tempfile.TemporaryDirectory(prefix="pipeyard-") as scratch:
        try:  # for what kfp checks only when it writes
            compiler.Compiler().compile(pipeline, str(Path(scratch) / "pipeline.yaml"))
        except Exception as error:  # kfp raises many kinds
            raise PipeyardError(f"{path} doesn't compile: {type(error).__name__}: {error}") from error
    documents = [json_format.MessageToDict(pipeline.pipeline_spec)]
    if pipeline.platform_spec.platforms:
        documents.append(json_format.MessageToDict(pipeline.platform_spec))
    return yaml.dump_all(documents, sort_keys=True)


def _check(folder: Path, pipeline: "Pipeline", loaded: "list[LoadedComponent]") -> list[str]:
    from pipeyard.compiling import semantics
    from pipeyard.compiling.passes import driver

    unstartable, doubtful = driver.check(pipeline)
    problems = [*semantics.problems(pipeline, loaded), *unstartable]
    if problems:
        raise PipeyardError(f"{folder / 'pipeline.py'}: {' '.join(problems)}")
    elsewhere = [f"{each} It can't be deployed to Kubeflow Pipelines as it is." for each in driver.unresolved(pipeline)]
    return [*semantics.warnings(pipeline), *doubtful, *elsewhere]


def sizes_of(pipeline: "Pipeline", parameters: Mapping[str, Any], what: str) -> list[str]:
    """Returns what is nearly too large to be started with some parameters.

    Args:
        what: what is compiled with them, for the error.

    Raises:
        PipeyardError: a step can't be started with them.
    """
    from pipeyard.compiling.passes import argument_sizes

    found = list(argument_sizes.large(pipeline, parameters))
    if fatal := [each.text for each in found if each.fatal]:
        raise PipeyardError(f"{what}: {' '.join(fatal)}")
    warnings = [each.text for each in found]
    if len(pipeline.text) > WORKFLOW_WARNING:
        warnings.append(
            f"it is {len(pipeline.text) // 1024} KiB compiled; clusters refuse about 1.5 MiB. Pass large values by URI."
        )
    return warnings


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
        raise PipeyardError(f"{_place(path, error)} can't be imported: {_said(error)}") from error
    return module


def _said(error: Exception) -> str:
    """Returns what is wrong; of kfp's assertions without the protobuf that it prints after, and with the remedy."""
    from pipeyard.ir import reference_check

    text = f"{type(error).__name__}: {error}"
    if isinstance(error, AssertionError) and "loop-item" in text:
        return f"{text.partition(' All inputs:')[0]} {reference_check.LOST_FIELDS}"
    return text


def _place(path: Path, error: Exception) -> str:
    """Returns the file, its line, and the task that kfp was at, when kfp or what the file calls raised an error."""
    from kfp.dsl import pipeline_task

    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f"{path}:{lines[-1].lineno}, `{lines[-1].line}`," if lines else str(path)
    names = (
        getattr(value, "name", None)  # a task whose arguments don't fit has none yet: kfp names its component
        for frame, _ in traceback.walk_tb(error.__traceback__)
        for value in frame.f_locals.values()
        if isinstance(value, pipeline_task.PipelineTask) and frame.f_code.co_filename != str(path)
    )
    tasks = [name for name in names if name]
    return f"{place} at the task {tasks[-1]!r}," if tasks else place
