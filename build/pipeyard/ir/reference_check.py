"""Whether every name in a compiled pipeline stands for something.

kfp 2.17 writes references to what isn't there for some plain shapes of the DSL (kubeflow/pipelines#13273, #11484), and
no backend checks before tasks run.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format

from pipeyard.ir.protobuf import pb

_CHANNEL = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
_IN_CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\]")
_TEXT = re.compile(r"'[^'\\]*'")
_ODD = re.compile(r"['\\]|\|\||#\s*[=!<>]+\s*#")  # kfp knows no `or`, and compares no text with another
_WORD = re.compile(r"[A-Za-z_]\w*")
_CEL_WORDS = {"int", "double", "string", "bool", "true", "false", "null", "in", "e", "E"}
# dsl.PIPELINE_*_PLACEHOLDER; and those that KFP's driver puts a value in place of, where they are a whole input:
# kubeflow/pipelines, backend/src/v2/driver/resolver/parameters.go.
_PLACEHOLDER = re.compile(r"\{\{\$(?:\.(pipeline_\w+|outputs\.output_file))?\}\}")
RESOLVED_INPUTS = frozenset(
    {
        "pipeline_job_name",
        "pipeline_job_resource_name",
        "pipeline_job_uuid",
        "pipeline_job_create_time_utc",
        "pipeline_job_schedule_time_utc",
        "pipeline_task_name",
        "pipeline_task_uuid",
    }
)
_LOOP_ITEM = re.compile(r"loop-item")


def problems(spec: pb.PipelineSpec) -> list[str]:
    """Returns what no backend can run, each naming the task, its input, and what to write in the DSL instead."""
    executors = json_format.MessageToDict(spec.deployment_spec).get("executors", {})
    dags = {"": spec.root, **{name: each for name, each in spec.components.items() if each.HasField("dag")}}
    found = list(_defaults(spec.root))
    for name, component in sorted(dags.items()):
        place = name.removeprefix("comp-")
        for task_name, task in sorted(component.dag.tasks.items()):
            path = f"{place}/{task_name}" if place else task_name
            found += [f"{path}: {problem}" for problem in _of_task(spec, component, task, executors)]
        found += [f"{place or 'the pipeline'}: {problem}" for problem in _of_outputs(spec, component.dag)]
    return list(dict.fromkeys(found))


def _of_task(
    spec: pb.PipelineSpec, around: pb.ComponentSpec, task: pb.PipelineTaskSpec, executors: Mapping[str, Any]
) -> Iterator[str]:
    name = task.component_ref.name
    component = spec.components.get(name) if name in spec.components else None
    if component is None:
        yield f"kfp wrote no component {name!r}. {_GROUPS}"
        return
    implementation = component.WhichOneof("implementation")
    if not implementation or (implementation == "dag" and not component.dag.tasks):
        yield f"kfp wrote nothing into it, it would run no task. {_GROUPS}"
    elif implementation == "executor_label" and component.executor_label not in executors:
        yield f"kfp wrote no executor {component.executor_label!r} for it. Compile it again."
    for other in task.dependent_tasks:
        if other not in around.dag.tasks:
            yield f"it waits for {other!r}, which isn't beside it. {_GROUPS}"
    yield from _bound(task, component)
    yield from _condition(task.trigger_policy.condition)
    for key, parameter in sorted(task.inputs.parameters.items()):
        yield from _parameter(spec, around, task, key, parameter)
    for key, artifact in sorted(task.inputs.artifacts.items()):
        if artifact.WhichOneof("kind") == "component_input_artifact":
            if artifact.component_input_artifact not in around.input_definitions.artifacts:
                yield _no_value(key, artifact.component_input_artifact)
        else:
            output = artifact.task_output_artifact
            yield from _output(spec, around.dag, key, output.producer_task, "artifacts", output.output_artifact_key)


def _condition(condition: str) -> Iterator[str]:
    """Yields why a condition says something else than the DSL: kfp writes texts into it as they are."""
    rest = _TEXT.sub("#", _IN_CONDITION.sub("@", condition))
    if _ODD.search(rest) or set(_WORD.findall(rest)) - _CEL_WORDS:
        yield (
            f"kfp wrote a text with a quote or a backslash into its condition as it is, where CEL reads another text: "
            f"{condition}. Compare with a parameter of the pipeline that has the text as its default."
        )


def _bound(task: pb.PipelineTaskSpec, component: pb.ComponentSpec) -> Iterator[str]:
    """Yields the inputs that must have a value and that nothing gives one."""
    definitions = component.input_definitions
    item = task.parameter_iterator.item_input or task.artifact_iterator.item_input
    for key, definition in sorted(definitions.parameters.items()):
        optional = definition.is_optional or definition.HasField("default_value")
        if key not in task.inputs.parameters and key != item and not optional:
            yield _no_value(key)
    for key, declared in sorted(definitions.artifacts.items()):
        if key not in task.inputs.artifacts and key != item and not declared.is_optional:
            yield _no_value(key)
    items = task.parameter_iterator.items.input_parameter
    if items and items not in task.inputs.parameters:
        yield _no_value(items)
    artifacts = task.artifact_iterator.items.input_artifact
    if artifacts and artifacts not in task.inputs.artifacts:
        yield _no_value(artifacts)
    for key in _IN_CONDITION.findall(task.trigger_policy.condition):
        if key not in task.inputs.parameters and key not in definitions.parameters:
            yield _no_value(key)


def _parameter(
    spec: pb.PipelineSpec, around: pb.ComponentSpec, task: pb.PipelineTaskSpec, key: str, given: Any
) -> Iterator[str]:
    kind = given.WhichOneof("kind")
    if kind == "component_input_parameter":
        if given.component_input_parameter not in around.input_definitions.parameters:
            yield _no_value(key, given.component_input_parameter)
    elif kind == "task_output_parameter":
        output = given.task_output_parameter
        yield from _output(spec, around.dag, key, output.producer_task, "parameters", output.output_parameter_key)
    elif kind == "task_final_status":
        if given.task_final_status.producer_task not in around.dag.tasks:
            yield _no_value(key, given.task_final_status.producer_task)
    elif kind == "runtime_value":
        yield from _constant(task, key, json_format.MessageToDict(given.runtime_value.constant))
    else:
        yield _no_value(key)


def _constant(task: pb.PipelineTaskSpec, key: str, value: Any) -> Iterator[str]:
    for text in _texts(value):
        for channel in _CHANNEL.findall(text):
            if channel not in task.inputs.parameters:
                yield _no_value(key, channel)
        for match in _PLACEHOLDER.finditer(text):
            whole = match.group(0) == value
            if not whole and match.group(1) in RESOLVED_INPUTS:
                yield (
                    f"its input {key!r} has {match.group(0)} within a text, which KFP's driver leaves as it stands. "
                    "Give the step the placeholder as an input of its own, and join the texts there."
                )
            elif match.group(1) not in RESOLVED_INPUTS:
                yield (
                    f"its input {key!r} is {match.group(0)}, which KFP's driver leaves as it stands. "
                    "Write the placeholder into the component's command or args."
                )


def _defaults(root: pb.ComponentSpec) -> Iterator[str]:
    for name, definition in sorted(root.input_definitions.parameters.items()):
        for text in _texts(json_format.MessageToDict(definition.default_value)):
            for match in _PLACEHOLDER.finditer(text):
                yield (
                    f"the default of the parameter {name!r} has {match.group(0)}, which KFP leaves as it stands. "
                    "Give it to the tasks that need it instead."
                )


def _of_outputs(spec: pb.PipelineSpec, dag: pb.DagSpec) -> Iterator[str]:
    for key, output in sorted(dag.outputs.parameters.items()):
        one = output.WhichOneof("kind") == "value_from_parameter"
        for each in [output.value_from_parameter] if one else output.value_from_oneof.parameter_selectors:
            yield from _output(spec, dag, key, each.producer_subtask, "parameters", each.output_parameter_key, "output")
    for key, collected in sorted(dag.outputs.artifacts.items()):
        for selector in collected.artifact_selectors:
            producer, wanted = selector.producer_subtask, selector.output_artifact_key
            yield from _output(spec, dag, key, producer, "artifacts", wanted, "output")


def _output(
    spec: pb.PipelineSpec, dag: pb.DagSpec, key: str, producer: str, kind: str, output: str, what: str = "input"
) -> Iterator[str]:
    if producer not in dag.tasks:
        yield _no_value(key, f"{producer}.{output}", what)
        return
    name = dag.tasks[producer].component_ref.name
    if name in spec.components and output not in getattr(spec.components[name].output_definitions, kind):
        yield _no_value(key, f"{producer}.{output}", what)


def _no_value(key: str, source: str = "", what: str = "input") -> str:
    from_ = f": it refers to {source!r}, which isn't there" if source and source != key else ""
    advice = LOST_FIELDS if _LOOP_ITEM.search(key + source) else _GROUPS if source else _GIVE
    return f"kfp wrote no value for its {what} {key!r}{from_}. {advice}"


_GIVE = "Give it a value where the task is made, or a default in its component."
LOST_FIELDS = (
    "kfp loses the fields of a loop's item in an f-string: give the step each field as an input of its own, as "
    "`step(lr=item.lr, n=item.n)`, and join them there."
)
_GROUPS = (
    "kfp 2.17 mixes up groups of the same name in a pipeline and in one that it contains: use If/Elif/Else in one of "
    "them only, and in the other `dsl.If` alone, with the opposite condition for what was `dsl.Else`."
)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)
