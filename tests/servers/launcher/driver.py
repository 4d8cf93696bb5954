"""What a container is started with: the executor input, and the command."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from .records import Artifact, stored_metadata
from .storage import local_path


@dataclass(frozen=True)
class Pod:
    """A container's filesystem; a new attempt has a new one."""

    root: Path

    @property
    def output_file(self) -> Path:
        return self.root / "tmp/kfp_outputs/output_metadata.json"

    def parameter_file(self, name: str) -> Path:
        return self.root / "tmp/kfp/outputs" / name


@dataclass(frozen=True)
class Task:
    """A task to run.

    Attributes:
        component: ComponentSpec of the IR.
        container: PipelineContainerSpec of the IR.
        parameters: values of inputs.
        artifacts: inputs, as ML Metadata has them.
        output_root: URI below which its output artifacts are; the same for every attempt.
    """

    name: str
    component: Mapping[str, Any]
    container: Mapping[str, Any]
    output_root: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)


def executor_input(task: Task, pod: Pod) -> dict[str, Any]:
    """Returns the task's ExecutorInput."""
    outputs = task.component.get("outputDefinitions", {})
    return {
        "inputs": {
            "parameterValues": dict(task.parameters),
            "artifacts": {name: {"artifacts": [_runtime(each)]} for name, each in task.artifacts.items()},
        },
        "outputs": {
            "outputFile": str(pod.output_file),
            "parameters": {
                name: {"outputFile": str(pod.parameter_file(name))} for name in outputs.get("parameters", {})
            },
            "artifacts": {
                name: {
                    "artifacts": [{"name": name, "type": each["artifactType"], "uri": f"{task.output_root}/{name}"}],
                }
                for name, each in outputs.get("artifacts", {}).items()
            },
        },
    }


def _runtime(artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "type": {"schemaTitle": artifact.type},
        "uri": artifact.uri,
        "metadata": stored_metadata(artifact.metadata),
    }


def with_defaults(given: Mapping[str, Any], component: Mapping[str, Any]) -> dict[str, Any]:
    """Returns parameters with those of the component's defaults that are left out."""
    declared = component.get("inputDefinitions", {}).get("parameters", {})
    return {name: each["defaultValue"] for name, each in declared.items() if "defaultValue" in each} | dict(given)


def argv(task: Task, pod: Pod, given: Mapping[str, Any]) -> list[str]:
    """Returns the command with its placeholders resolved.

    Args:
        given: the executor input.
    """
    known = {"{{$}}": as_argument(given, task)}
    for name, value in with_defaults(given["inputs"]["parameterValues"], task.component).items():
        known[f"{{{{$.inputs.parameters['{name}']}}}}"] = text(value)
    for side in ("inputs", "outputs"):
        for name, listed in given[side].get("artifacts", {}).items():
            uri = listed["artifacts"][0]["uri"]
            known[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = uri
            known[f"{{{{$.{side}.artifacts['{name}'].path}}}}"] = str(local_path(pod.root, uri))
    for name, each in given["outputs"].get("parameters", {}).items():
        known[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = each["outputFile"]
    parts: Sequence[str] = [*task.container.get("command", ()), *task.container.get("args", ())]
    return [_resolved(part, known) for part in parts]


def as_argument(given: Mapping[str, Any], task: Task) -> str:
    """Returns what `{{$}}` stands for: all of the executor input, with defaults, as one argument."""
    values = with_defaults(given["inputs"]["parameterValues"], task.component)
    filled = {**given, "inputs": {**given["inputs"], "parameterValues": values}}
    return json.dumps(filled, sort_keys=True, separators=(",", ":"))


def _resolved(part: str, known: Mapping[str, str]) -> str:
    for placeholder, value in known.items():
        if part == placeholder:
            return value
    for placeholder, value in known.items():
        part = part.replace(placeholder, value)
    return part


def text(value: Any) -> str:
    """Returns a parameter as the command gets it: text as it is, numbers without an exponent, objects' keys sorted."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):  # never with an exponent, as strconv.FormatFloat(value, 'f', -1, 64) has it
        digits = format(Decimal(repr(float(value))), "f")
        return digits.rstrip("0").rstrip(".") if "." in digits else digits
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
