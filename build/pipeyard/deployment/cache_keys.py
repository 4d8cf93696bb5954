"""Steps of a compiled pipeline as the cache of Kubeflow Pipelines sees them.

Protocol: kubeflow/pipelines, backend/src/v2/cacheutils: a step is known by its image's name, its command, the values of
its parameters, and its artifacts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeyard.ir import Pipeline
    from pipeyard.ir.protobuf import pb


@dataclass(frozen=True)
class CachedStep:
    """One step.

    Attributes:
        command: with its arguments.
        parameters: name to value; of what is known only in a run, to where it comes from.
        artifacts: name to where it comes from.
        after: paths of the steps that it takes something from.
        cached: False: it runs each time, or takes an artifact of a step that does, and so another one each time.
    """

    image: str
    command: tuple[str, ...]
    parameters: Mapping[str, Any]
    artifacts: Mapping[str, str]
    after: frozenset[str]
    cached: bool


@dataclass(frozen=True)
class _RuntimeValue:
    """Where a value comes from that is known only in a run."""

    text: str
    steps: frozenset[str]


def read(text: str, parameters: Mapping[str, Any]) -> dict[str, CachedStep]:
    """Returns a pipeline's steps by path (`group/step`).

    Args:
        text: the compiled pipeline.
        parameters: of its runs; defaults are its own.

    Raises:
        PipeyardError: it isn't a compiled pipeline.
    """
    from pipeyard import ir
    from pipeyard.ir import values

    pipeline = ir.parse(text)
    given: dict[str, Any] = {}
    for name, definition in pipeline.spec.root.input_definitions.parameters.items():
        given[name] = parameters.get(name, values.from_proto(definition.default_value))
    for name in pipeline.spec.root.input_definitions.artifacts:
        given[name] = _RuntimeValue(f"the pipeline's {name}", frozenset())
    found: dict[str, CachedStep] = {}
    suppliers: dict[str, frozenset[str]] = {}
    _walk(pipeline, pipeline.spec.root, "", given, found, suppliers)
    again = {path for path, step in found.items() if not step.cached}
    while further := {
        path
        for path, groups in suppliers.items()
        if path not in again and any(f"{step}/".startswith(f"{group}/") for group in groups for step in again)
    }:
        again |= further
    return {path: replace(step, cached=path not in again) for path, step in found.items()}


def _walk(
    pipeline: "Pipeline",
    component: "pb.ComponentSpec",
    path: str,
    given: Mapping[str, Any],
    found: dict[str, CachedStep],
    suppliers: dict[str, frozenset[str]],
) -> None:
    """Adds the steps below a group, and whose artifacts each takes; `given` has the values of the group's inputs."""
    for name, task in component.dag.tasks.items():
        here = f"{path}{name}"
        inputs = {key: _value(spec, given, path, key) for key, spec in task.inputs.parameters.items()}
        artifacts = {key: _artifact(spec, given, path) for key, spec in task.inputs.artifacts.items()}
        inner = pipeline.component(task)
        for key, definition in inner.input_definitions.parameters.items():
            if key not in inputs and definition.HasField("default_value"):
                inputs[key] = _plain(definition.default_value)
        around = frozenset(f"{path}{other}" for other in task.dependent_tasks)
        iterator = task.parameter_iterator.item_input or task.artifact_iterator.item_input
        if iterator:
            inputs.setdefault(iterator, _RuntimeValue(f"an item in {here}", around))
        if inner.HasField("dag"):
            # What decides whether or how often a group runs isn't in the cache's keys of its steps.
            _walk(pipeline, inner, f"{here}/", {**inputs, **artifacts}, found, suppliers)
            continue
        executor = pipeline.executor(inner)
        container = executor.get("container") or {}
        importer = executor.get("importer") or {}
        sources = [each for each in (*inputs.values(), *artifacts.values()) if isinstance(each, _RuntimeValue)]
        suppliers[here] = frozenset().union(*(each.steps for each in artifacts.values()))
        found[here] = CachedStep(
            image=container.get("image", ""),
            command=(*container.get("command", []), *container.get("args", []), *map(str, sorted(importer.items()))),
            parameters={
                key: f"from {each.text}" if isinstance(each, _RuntimeValue) else each for key, each in inputs.items()
            },
            artifacts={key: each.text for key, each in artifacts.items()},
            after=frozenset().union(*(each.steps for each in sources)),
            cached=task.caching_options.enable_cache,
        )


def _value(spec: Any, given: Mapping[str, Any], path: str, name: str) -> Any:
    if spec.HasField("runtime_value"):
        return _plain(spec.runtime_value.constant)
    if spec.component_input_parameter:
        value = given.get(spec.component_input_parameter)
        if spec.parameter_expression_selector:
            steps = value.steps if isinstance(value, _RuntimeValue) else frozenset()
            shown = value.text if isinstance(value, _RuntimeValue) else value
            return _RuntimeValue(f"{shown} by {spec.parameter_expression_selector}", steps)
        return value
    if spec.HasField("task_output_parameter"):
        producer = f"{path}{spec.task_output_parameter.producer_task}"
        return _RuntimeValue(f"{producer}'s {spec.task_output_parameter.output_parameter_key}", frozenset({producer}))
    return _RuntimeValue(f"the run, for {name}", frozenset())  # the final status of a task


def _artifact(spec: Any, given: Mapping[str, Any], path: str) -> _RuntimeValue:
    if spec.component_input_artifact:
        value = given.get(spec.component_input_artifact)
        return value if isinstance(value, _RuntimeValue) else _RuntimeValue(spec.component_input_artifact, frozenset())
    producer = f"{path}{spec.task_output_artifact.producer_task}"
    return _RuntimeValue(f"{producer}'s {spec.task_output_artifact.output_artifact_key}", frozenset({producer}))


def _plain(value: Any) -> Any:
    from pipeyard.ir import values

    return values.from_proto(value)
