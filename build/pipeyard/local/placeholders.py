"""Placeholders in commands, as documented in kfp-pipeline-spec (`PipelineDeploymentConfig.PipelineContainerSpec`)."""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.ir.reference_check import RESOLVED_INPUTS
from pipeyard.ir.values import as_text
from pipeyard.settings import nested

_PLACEHOLDER = re.compile(r"\{\{\$(?:\.(?P<path>[^{}]*))?\}\}")
_CHANNEL = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
_PARAMETER = re.compile(r"inputs\.parameters\['([^']+)'\]$")
_ARTIFACT = re.compile(r"(inputs|outputs)\.artifacts\['([^']+)'\]\.(uri|path|name|metadata)(?:\['([^']+)'\])?$")
_ARTIFACTS = re.compile(r"inputs\.artifacts\['([^']+)'\]$")
_OUTPUT_FILE = re.compile(r"outputs\.parameters\['([^']+)'\]\.output_file$")


class Resolver:
    """Resolves placeholders for one task.

    Args:
        executor_input: KFP's ExecutorInput as JSON-able dict.
        job: values of `{{$.pipeline_job_uuid}}` and the like, by name.
    """

    def __init__(self, executor_input: Mapping[str, Any], job: Mapping[str, str]) -> None:
        self._input = executor_input
        self._job = job

    def command(self, parts: Sequence[str]) -> list[str]:
        """Resolves a command; absent optional inputs take their arguments along (`IfPresent`).

        Raises:
            PipeyardError: a placeholder is unknown or an input isn't there.
        """
        return [text for part in parts for text in self._part(part)]

    def text(self, template: str) -> str:
        """Resolves every placeholder of a text once: what a value contains is not looked at again."""
        return _PLACEHOLDER.sub(lambda match: self._lookup(match.group("path")), template)

    def _part(self, part: Any) -> list[str]:
        if isinstance(part, str) and part.startswith(('{"IfPresent"', '{"Concat"')):
            part = json.loads(part)
        if isinstance(part, dict) and "IfPresent" in part:
            clause = part["IfPresent"]
            chosen = clause.get("Then", []) if self._present(clause["InputName"]) else clause.get("Else", [])
            return self.command(chosen if isinstance(chosen, list) else [chosen])
        if isinstance(part, dict) and "Concat" in part:
            return ["".join(self.command(part["Concat"]))]
        return [self.text(part)]

    def _present(self, name: str) -> bool:
        inputs = self._input["inputs"]
        return name in inputs["parameterValues"] or name in inputs["artifacts"]

    def _lookup(self, path: str | None) -> str:
        if path is None:
            return json.dumps(self._input)
        if path in self._job:
            return self._job[path]
        try:
            if path == "outputs.output_file":
                return self._input["outputs"]["outputFile"]
            if match := _PARAMETER.match(path):
                return as_text(self._input["inputs"]["parameterValues"][match.group(1)])
            if match := _OUTPUT_FILE.match(path):
                return self._input["outputs"]["parameters"][match.group(1)]["outputFile"]
            if match := _ARTIFACTS.match(path):  # an `Input[List[...]]`, as Vertex AI resolves it
                return json.dumps(self._input["inputs"]["artifacts"][match.group(1)]["artifacts"])
            if match := _ARTIFACT.match(path):
                side, name, attribute, key = match.groups()
                artifact = self._input[side]["artifacts"][name]["artifacts"][0]
                if attribute == "metadata":
                    metadata = artifact.get("metadata", {})
                    return as_text(metadata[key] if key else metadata)
                return artifact["name" if attribute == "name" else "uri"]
        except (KeyError, IndexError) as error:
            raise PipeyardError(f"the command needs {{{{$.{path}}}}}, which this task was not given.") from error
        raise PipeyardError(f"the command has a placeholder that this runner doesn't know: {{{{$.{path}}}}}.")


def of_task(job: Mapping[str, str], name: str, path: str) -> dict[str, str]:
    """Returns the values of `dsl.PIPELINE_*_PLACEHOLDER` for a task.

    Args:
        job: those of the run.
        path: of the task in the run, of which its id is made: the same when the run is resumed.
    """
    id_ = uuid.uuid5(uuid.NAMESPACE_URL, f"{job.get('pipeline_job_uuid', '')}/{path}")
    return {**job, "pipeline_task_name": name, "pipeline_task_uuid": str(id_)}


def constant(value: Any, parameters: Mapping[str, Any], told: Mapping[str, str]) -> Any:
    """Returns a constant of the pipeline's author with what it refers to in place, by the rules of KFP's driver.

    References to parameters stand anywhere in a text; one that is the whole constant keeps its type. Of a run's and a
    task's placeholders only one that is the whole constant has a meaning.

    Args:
        parameters: what it may refer to.
        told: see `of_task`.

    Raises:
        PipeyardError: a parameter isn't there.
    """
    if not isinstance(value, str):
        return _deep(value, parameters)
    whole = _PLACEHOLDER.fullmatch(value)
    path = (whole.group("path") or "") if whole else ""
    if path in RESOLVED_INPUTS and path in told:
        return told[path]
    match = _PARAMETER.match(path)
    return _given(match.group(1), parameters) if match else _deep(value, parameters)


def _deep(value: Any, parameters: Mapping[str, Any]) -> Any:
    return nested.mapped(
        value,
        lambda text: _CHANNEL.sub(lambda match: as_text(_given(match.group(1), parameters)), text),
        names=True,
    )


def _given(name: str, parameters: Mapping[str, Any]) -> Any:
    if name not in parameters:
        shown = name.removeprefix("pipelinechannel--")
        raise PipeyardError(f"it needs {shown!r}, which has no value: what produces it was skipped or left it out.")
    return parameters[name]
