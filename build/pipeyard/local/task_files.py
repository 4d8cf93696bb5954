"""Where the files of one task are, and what it is told of them: KFP's ExecutorInput.

Each place is made once a task: a run of many tasks would spend a third of its time on joining paths.
"""

import functools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from google.protobuf import json_format

from pipeyard.errors import PipeyardError
from pipeyard.local import external, leftovers, module_reads
from pipeyard.local.scheduler import Leaf
from pipeyard.system import jsons

# What these say is in their metadata.
_METRICS = frozenset({"system.Metrics", "system.ClassificationMetrics", "system.SlicedClassificationMetrics"})


class TaskFiles:
    """A task's files in the folder of its run.

    Attributes:
        log_folder: of all of them, relative to the run's.
        outputs: in which it writes its outputs. Those of a retry stand where the failed attempt's would have: so a step
            finds what it left beside its outputs, its checkpoints for one, when it is tried again.
        executor_output: what it says of its outputs, if it says anything.
        module_reads: its report of what its pipeline module read.
    """

    def __init__(self, run: Path, leaf: Leaf) -> None:
        self._leaf = leaf
        self.log_folder = f"{leftovers.TASKS_FOLDER}/{leaf.path}"
        self._folder = f"{run}/{self.log_folder}"
        self._outputs = f"{self._folder}/{leftovers.OUTPUTS_FOLDER}"
        self.outputs = Path(self._outputs)
        self.executor_output = Path(f"{self._outputs}/executor_output.json")
        self.module_reads = module_reads.report_path(self.outputs)

    @functools.cached_property
    def folder(self) -> Path:
        """The folder of all of them."""
        return Path(self._folder)

    @functools.cached_property
    def parameters(self) -> dict[str, Path]:
        """Output parameters to the files that they are written to."""
        return {name: Path(f"{self._outputs}/{name}") for name in self._leaf.component.output_definitions.parameters}

    @functools.cached_property
    def artifacts(self) -> dict[str, Path]:
        """Output artifacts to where they are written."""
        return {name: Path(f"{self._outputs}/{name}") for name in self._leaf.component.output_definitions.artifacts}

    @functools.cached_property
    def executor_input(self) -> dict[str, Any]:
        """KFP's ExecutorInput."""
        definitions = self._leaf.component.output_definitions
        return {
            "inputs": {
                "parameterValues": dict(self._leaf.parameters),
                "artifacts": {name: _artifact_list(value) for name, value in self._leaf.artifacts.items()},
            },
            "outputs": {
                "parameters": {name: {"outputFile": str(path)} for name, path in self.parameters.items()},
                "artifacts": {
                    name: {
                        "artifacts": [
                            {
                                "name": name,
                                "type": json_format.MessageToDict(definition.artifact_type),
                                "uri": str(self.artifacts[name]),
                                "metadata": {},
                            }
                        ]
                    }
                    for name, definition in definitions.artifacts.items()
                },
                "outputFile": str(self.executor_output),
            },
        }

    def clear(self) -> None:
        """Removes what a failed attempt left at the outputs' places, and makes their folder."""
        try:
            self.outputs.mkdir(parents=True)
            return  # nothing was there before
        except FileExistsError:
            pass
        leftovers.remove_hidden(self.outputs)
        for path in [*self.parameters.values(), *self.artifacts.values(), self.executor_output]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def uri(self, name: str) -> str:
        """Returns where an output artifact is: at its place, unless the step says otherwise, as with `dsl.get_uri`."""
        return str(said_of(self.told(), name).get("uri") or self.artifacts[name])

    def settle(self) -> None:
        """Brings what a step says of its output artifacts to where the next step looks, as KFP's launcher does.

        An artifact of a path of its own (`custom_path`) is copied to its place. One that consists of its metadata, as
        metrics do, gets an empty file.
        """
        for name, definition in self._leaf.component.output_definitions.artifacts.items():
            said, path = said_of(self.told(), name), self.artifacts[name]
            own = Path(said.get("custom_path") or path)
            if own != path and own.is_dir():
                shutil.copytree(own, path, dirs_exist_ok=True)
            elif own != path and own.exists():
                shutil.copy2(own, path)
            metrics = definition.artifact_type.schema_title in _METRICS
            if (said.get("metadata") or (said and metrics)) and self.uri(name) == str(path) and not path.exists():
                path.touch()

    def unwritten(self) -> list[str]:
        """Returns the outputs that aren't there."""
        missing = [name for name, path in self.parameters.items() if not path.exists()]
        if missing:
            told = self.told()["parameterValues"]
            missing = [name for name in missing if name not in told]
        for name in self.artifacts:
            local = external.local_path(self.uri(name))
            if local and not Path(local[0]).exists():
                missing.append(name)
        return sorted(missing)

    def told(self) -> dict[str, Any]:
        """Returns what the step said of its outputs, if it said anything (KFP's ExecutorOutput).

        Raises:
            PipeyardError: it isn't JSON, or no such object.
        """
        told: dict[str, Any] = {}
        if self.executor_output.exists():
            try:
                told = jsons.read(self.executor_output)
            except ValueError as error:
                raise PipeyardError(f"its executor output isn't valid JSON ({error}).") from error
            parts = [told, *(told.get(key, {}) for key in ("parameterValues", "artifacts"))] if _is(told) else [told]
            if not all(map(_is, parts)) or not all(map(_is, told.get("artifacts", {}).values())):
                raise PipeyardError("its executor output isn't KFP's: an object with parameterValues and artifacts.")
        return {"parameterValues": told.get("parameterValues", {}), "artifacts": told.get("artifacts", {})}


def _is(told: Any) -> bool:
    return isinstance(told, dict)


def said_of(told: Mapping[str, Any], artifact: str) -> Mapping[str, Any]:
    """Returns what a step said of an output artifact; empty: nothing."""
    listed = told["artifacts"].get(artifact, {}).get("artifacts") or [{}]
    if not isinstance(listed, list) or not isinstance(listed[0], dict):
        raise PipeyardError(f"its executor output says of {artifact!r} what isn't a list of artifacts.")
    return cast("Mapping[str, Any]", listed[0])


def _artifact_list(value: Any) -> dict[str, Any]:
    several = value if isinstance(value, list) else [value]
    return {
        "artifacts": [
            {"name": each.name, "type": {"schemaTitle": each.type}, "uri": each.uri, "metadata": each.metadata}
            for each in several
        ]
    }
