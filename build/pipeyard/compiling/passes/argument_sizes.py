"""What is too large to start a step with.

KFP's launcher gets the executor input, a JSON document with all of a step's parameters and artifacts, as one argument,
and gives it to the program as one where that asks for `{{$}}`. Linux takes 128 KiB in an argument (MAX_ARG_STRLEN).
Under the launcher of KFP 2.17.0 a parameter of 75 KB ran; one of 96 KB, or of less whose escapes made it 128 KB, was
refused by exec (E2BIG).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from pipeyard.compiling.passes.traversal import Visit, visits
from pipeyard.ir import Pipeline
from pipeyard.ir.protobuf import pb
from pipeyard.ir.values import from_proto

LIMIT = 96_000
WARNING = 64 * 1024
# Where KFP puts what it makes: a pipeline root as long as its default one, ids of 36 characters.
_URI = "minio://mlpipeline/v2/artifacts/{pipeline}/{id}/{task}/{id}/{name}"
_ID = "0" * 36


@dataclass(frozen=True)
class Large:
    """A step that is, or nearly is, too large to start.

    Attributes:
        fatal: it can't be started.
        text: which step, what of it, and the remedy.
    """

    fatal: bool
    text: str


def large(pipeline: Pipeline, parameters: Mapping[str, Any]) -> Iterator[Large]:
    """Yields the steps with an argument over `WARNING` bytes.

    What is known only in a run counts for nothing.

    Args:
        pipeline: with its defaults written.
        parameters: name to value; those of the pipeline that aren't among them have their defaults.
    """
    given: dict[str, Any] = {}
    for name, definition in pipeline.spec.root.input_definitions.parameters.items():
        default = from_proto(definition.default_value) if definition.HasField("default_value") else None
        given[name] = parameters.get(name, default)
    for visit in visits(pipeline, given, _value):
        container = pipeline.executors.get(visit.component.executor_label, {}).get("container")
        if not container or visit.component.HasField("dag"):
            continue
        size = _bytes(_executor_input(pipeline.name, visit))
        if size > WARNING:
            yield Large(size >= LIMIT, _told(visit, size))
        command = (*container.get("command", []), *container.get("args", []))
        literal = max((len(part.encode()) for part in command), default=0)
        if literal > WARNING:
            text = (
                f"the step {visit.path!r} has an element of {_kb(literal)} in its command, and {_kb(LIMIT)} can't be "
                "started. Put its program into the image."
            )
            yield Large(literal >= LIMIT, text)


def _value(_name: str, spec: Any, _declared: Any, known: Mapping[str, Any]) -> Any:
    if spec is None:
        return None
    if spec.HasField("runtime_value"):
        return from_proto(spec.runtime_value.constant)
    value = known.get(spec.component_input_parameter)
    return None if spec.parameter_expression_selector else value


def _executor_input(pipeline: str, visit: Visit[Any]) -> dict[str, Any]:
    def artifact(name: str, type_: pb.ArtifactTypeSchema) -> dict[str, Any]:
        uri = _URI.format(pipeline=pipeline, task=visit.name, id=_ID, name=name)
        return {"artifacts": [{"name": _ID, "type": json_format.MessageToDict(type_), "uri": uri}]}

    takes, makes = visit.component.input_definitions, visit.component.output_definitions
    return {
        "inputs": {
            "parameterValues": {name: value for name, value in visit.inputs.items() if value is not None},
            "artifacts": {name: artifact(name, takes.artifacts[name].artifact_type) for name in takes.artifacts},
        },
        "outputs": {
            "parameters": {name: {"outputFile": f"/tmp/kfp/outputs/{name}"} for name in makes.parameters},
            "artifacts": {name: artifact(name, makes.artifacts[name].artifact_type) for name in makes.artifacts},
            "outputFile": "/tmp/kfp_outputs/output_metadata.json",
        },
    }


def _told(visit: Visit[Any], size: int) -> str:
    sizes = {name: _bytes(value) for name, value in visit.inputs.items() if value is not None}
    largest = max(sizes, key=lambda name: (sizes[name], name), default="")
    declared = visit.component.input_definitions.parameters
    instead = next(
        (name for name in (f"{largest}_uri", f"{largest.removesuffix('_text')}_uri") if name in declared), ""
    )
    remedy = f"Pass it by URI, as {instead!r}." if instead else "Make it smaller, or pass a URI to read it from."
    verdict = "can't be started on KFP" if size >= LIMIT else f"is near the {_kb(LIMIT)} that KFP can't start"
    return (
        f"the step {visit.path!r} {verdict}: its parameters and artifacts are {_kb(size)} as JSON, which is passed as "
        f"one argument; {_kb(sizes.get(largest, 0))} of them are the input {largest!r}. {remedy}"
    )


def _bytes(value: Any) -> int:
    # As Go's protojson writes it: quotes, backslashes and control characters are escaped, other characters stay.
    return len(json.dumps(value, ensure_ascii=False).encode())


def _kb(size: int) -> str:
    return f"{size // 1000} KB"
