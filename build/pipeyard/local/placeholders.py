"""Placeholders in commands, as documented in kfp-pipeline-spec (`PipelineDeploymentConfig.PipelineContainerSpec`)."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.ir.values import as_text

_PLACEHOLDER = re.compile(r"\{\{\$(?:\.(?P<path>[^{}]*))?\}\}")
_PARAMETER = re.compile(r"inputs\.parameters\['([^']+)'\]$")
_ARTIFACT = re.compile(r"(inputs|outputs)\.artifacts\['([^']+)'\]\.(uri|path|name|metadata)(?:\['([^']+)'\])?$")
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
        if path == "outputs.output_file":
            return self._input["outputs"]["outputFile"]
        try:
            if match := _PARAMETER.match(path):
                return as_text(self._input["inputs"]["parameterValues"][match.group(1)])
            if match := _OUTPUT_FILE.match(path):
                return self._input["outputs"]["parameters"][match.group(1)]["outputFile"]
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
