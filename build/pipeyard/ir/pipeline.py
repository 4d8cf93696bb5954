"""The compiled pipeline: KFP's intermediate representation, read strictly."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format

from pipeyard.errors import PipeyardError
from pipeyard.ir import kubernetes_settings, reference_check
from pipeyard.ir.protobuf import pb
from pipeyard.system import yamls

SCHEMA_VERSION = "2.1.0"


@dataclass(frozen=True)
class Pipeline:
    """A pipeline's specification.

    Attributes:
        text: the YAML it was read from.
        timeouts: executor label to seconds, from the kubernetes platform's `activeDeadlineSeconds`; without those that
            limit nothing, as the run's deadline comes first.
        kubernetes: executor label to what `kfp.kubernetes` sets for it, see `kubernetes_settings`.
        deadline: seconds of a whole run, from the platform's `pipelineConfig`; None: none.
    """

    spec: pb.PipelineSpec
    text: str
    executors: dict[str, dict[str, Any]]
    timeouts: dict[str, int] = field(default_factory=dict)
    deadline: int | None = None
    kubernetes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.spec.pipeline_info.name)

    def component(self, task: pb.PipelineTaskSpec) -> pb.ComponentSpec:
        """Returns the component that `task` runs."""
        return self.spec.components[task.component_ref.name]

    def executor(self, component: pb.ComponentSpec) -> dict[str, Any]:
        """Returns the executor (`container` or `importer`) of a leaf component."""
        return self.executors[component.executor_label]


def load(path: Path) -> Pipeline:
    """Reads a compiled `pipeline.yaml`, with or without a platform document. See `parse`."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except PipeyardError as error:
        raise PipeyardError(f"{path}: {error}") from error


def parse(text: str) -> Pipeline:
    """Parses a compiled pipeline.

    Raises:
        PipeyardError: it isn't an IR of the schema version known here, has fields or executors unknown here, or refers
            to what isn't there (see `reference_check`).
    """
    try:
        documents = yamls.load_all(text)
    except yaml.YAMLError as error:
        raise PipeyardError(f"not a compiled pipeline ({error}). Compile it with `pipeyard compile`.") from error
    if not documents or not isinstance(documents[0], dict) or "pipelineInfo" not in documents[0]:
        raise PipeyardError("not a compiled pipeline (no pipelineInfo). Compile it with `pipeyard compile`.")
    version = documents[0].get("schemaVersion")
    if version != SCHEMA_VERSION:
        raise PipeyardError(
            f"its schemaVersion is {version!r}; this runner knows {SCHEMA_VERSION}. "
            "Compile it with the kfp version that Pipeyard pins."
        )
    try:
        spec = json_format.ParseDict(documents[0], pb.PipelineSpec(), ignore_unknown_fields=False)
    except json_format.ParseError as error:
        raise PipeyardError(
            f"it has a field that this runner doesn't know ({error}). "
            "Compile it with the kfp version that Pipeyard pins."
        ) from error
    executors = json_format.MessageToDict(spec.deployment_spec).get("executors", {})
    for label, executor in executors.items():
        unknown = set(executor) - {"container", "importer"}
        if unknown:
            raise PipeyardError(f"executor {label!r} is of a kind that runs only on a cluster: {sorted(unknown)}.")
    if unfounded := reference_check.problems(spec):
        raise PipeyardError(f"no backend can run it: {' '.join(unfounded)}")
    for dag in (spec.root, *spec.components.values()):
        for name, task in dag.dag.tasks.items():
            if task.retry_policy.max_retry_count and spec.components[task.component_ref.name].HasField("dag"):
                raise PipeyardError(f"{name!r} is a pipeline with retries. Set them on its steps instead.")
    kubernetes = [(each or {}).get("platforms", {}).get("kubernetes", {}) for each in documents[1:]]
    deadline = _deadline(kubernetes)
    of_steps = kubernetes_settings.of_executors(kubernetes)
    timeouts = {label: seconds for label, seconds in _timeouts(of_steps).items() if seconds < (deadline or math.inf)}
    return Pipeline(spec, text, executors, timeouts, deadline, of_steps)


def _deadline(platforms: list[dict[str, Any]]) -> int | None:
    """Reads what `dsl.PipelineConfig(active_deadline_seconds=...)` wrote into the platform document."""
    set_ = [int(each.get("pipelineConfig", {}).get("activeDeadlineSeconds") or 0) for each in platforms]
    return min(filter(None, set_), default=None)


def _timeouts(of_steps: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Reads what `kfp.kubernetes.set_timeout` wrote into the platform document."""
    key = kubernetes_settings.TIMEOUT
    return {label: int(settings[key]) for label, settings in of_steps.items() if key in settings}
