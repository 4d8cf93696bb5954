"""What a compiled pipeline means, beyond what kfp checks.

kfp 2 knows Dataset, Model and a few more, and takes any other type for `system.Artifact`: an edge from a Schema to
Examples compiles. The specs say what artifacts mean: by the annotations `pipeyard.dev/input-types` and `output-types`,
or by a type of their own.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from pipeyard.compiling.passes.early_checks import EarlyCheck
from pipeyard.ir import Pipeline
from pipeyard.ir.kubernetes_settings import VOLUME_IMAGES
from pipeyard.ir.protobuf import pb
from pipeyard.repository.project import ANNOTATION_PREFIX
from pipeyard_components import interfaces
from pipeyard_components.components import LoadedComponent

# Longer ones don't fit what registries and Kubernetes keep of them (a repository's name: 255 characters).
IMAGE_LIMIT = 255
_NO_COMMAND = "it has no `command`, and the image's ENTRYPOINT is never used. Write the command."


@dataclass(frozen=True)
class _ArtifactSource:
    """Where an artifact comes from, and what it means ('' if that isn't known)."""

    name: str
    meaning: str


def problems(pipeline: Pipeline, loaded: Iterable[LoadedComponent]) -> list[str]:
    """Returns what is wrong with a pipeline: edges whose ends mean different things, constructs that backends break on.

    Args:
        loaded: the components it was made of.
    """
    specs = _by_executor(loaded)
    found = list(_Connections(pipeline, specs).mismatches(pipeline.spec.root.dag, {}))
    for label, executor in pipeline.executors.items():
        container = executor.get("container")
        spec = specs.get(_key(container or {}))
        # KFP's driver makes and removes volumes itself: these steps have no command.
        bare = container and not container.get("command") and container["image"] not in VOLUME_IMAGES
        wrong = constructs(spec) if spec else [_NO_COMMAND] if bare else []
        found += [f"{label.removeprefix('exec-')}: {problem}" for problem in wrong]
    return list(dict.fromkeys(found))


def constructs(spec: Mapping[str, Any]) -> list[str]:
    """Returns what a kfp 1 specification has that every backend ignores or breaks on, each with the reason."""
    container = spec.get("implementation", {}).get("container", {})
    found = []
    if "fileOutputs" in container:
        found.append("`fileOutputs` is dropped without a word: outputs would be lost. Use {outputPath: NAME} in args.")
    if not container.get("command"):
        found.append(_NO_COMMAND)
    return found


def portable_constructs(spec: Mapping[str, Any]) -> list[str]:
    """Returns what a kfp 1 specification has that some backend ignores or breaks on, each with the reason."""
    container = spec.get("implementation", {}).get("container", {})
    found = constructs(spec)
    if _has(container.get("command"), "concat") or _has(container.get("args"), "concat"):
        found.append(
            "`concat` reaches the program unresolved on KFP's backend. Pass the parts as arguments of their own."
        )
    return found


def external(pipeline: Pipeline, loaded: Iterable[LoadedComponent]) -> dict[str, list[str]]:
    """Returns executor label to the URI templates of what its component reads outside the run."""
    specs = _by_executor(loaded)
    found = {}
    for label, executor in pipeline.executors.items():
        spec = specs.get(_key(executor.get("container", {})))
        if spec and (templates := json.loads(_annotations(spec).get(f"{ANNOTATION_PREFIX}external-state", "[]"))):
            found[label] = templates
    return found


def early_checks(pipeline: Pipeline, loaded: Iterable[LoadedComponent]) -> dict[str, EarlyCheck]:
    """Returns executor label to how its component's program is asked by a task before a model is trained."""
    specs = _by_executor(loaded)
    found = {}
    for label, executor in pipeline.executors.items():
        annotations = _annotations(specs.get(_key(executor.get("container", {})), {}))
        keys = (f"{ANNOTATION_PREFIX}check", f"{ANNOTATION_PREFIX}check-task")
        arguments, task = (json.loads(annotations.get(key, "{}")) for key in keys)
        if arguments and task:
            before, given = ([_sanitized(name) for name in task.get(key, ())] for key in ("before", "given"))
            found[label] = EarlyCheck(arguments, before, given)
    return found


def warnings(pipeline: Pipeline) -> list[str]:
    """Returns what may fail on a backend."""
    images = {executor["container"]["image"] for executor in pipeline.executors.values() if "container" in executor}
    return [
        f"the image {image[:60]}… has {len(image)} characters, over {IMAGE_LIMIT} are refused. Shorten its repository."
        for image in sorted(images)
        if len(image) > IMAGE_LIMIT
    ]


@dataclass(frozen=True)
class _Connections:
    """What flows along the edges of a pipeline, whose graph has graphs in it.

    Attributes:
        specs: `_key` of an executor to the spec of its component.
    """

    pipeline: Pipeline
    specs: Mapping[str, Mapping[str, Any]]

    def mismatches(self, dag: pb.DagSpec, given: Mapping[str, _ArtifactSource]) -> Iterator[str]:
        """Yields the edges in a graph whose ends mean different things.

        Args:
            given: input of the graph to where its artifact comes from.
        """
        for name, task in dag.tasks.items():
            sources = dict(self._sources(dag, task, given))
            component = self.pipeline.component(task)
            if component.HasField("dag"):
                yield from self.mismatches(component.dag, sources)
                continue
            for input_, source in sources.items():
                wants = self._meaning(component, input_, "input")
                if wants and source.meaning and wants != source.meaning:
                    yield (
                        f"{source.name} is {source.meaning}, but {name}.{input_} takes {wants}. "
                        f"Connect an output that is {wants}."
                    )

    def _sources(
        self, dag: pb.DagSpec, task: pb.PipelineTaskSpec, given: Mapping[str, _ArtifactSource]
    ) -> Iterator[tuple[str, _ArtifactSource]]:
        """Yields a task's inputs with where they come from, if that is known."""
        for name, wanted in task.inputs.artifacts.items():
            if wanted.HasField("task_output_artifact"):
                from_ = wanted.task_output_artifact
                yield name, self._produced(dag, from_.producer_task, from_.output_artifact_key)
            elif wanted.component_input_artifact in given:
                yield name, given[wanted.component_input_artifact]

    def _produced(self, dag: pb.DagSpec, task: str, output: str) -> _ArtifactSource:
        """Returns the source of a task's output: where the task is a graph, the task in it that makes the output."""
        component = self.pipeline.component(dag.tasks[task])
        if not component.HasField("dag"):
            return _ArtifactSource(f"{task}.{output}", self._meaning(component, output, "output"))
        selectors = component.dag.outputs.artifacts[output].artifact_selectors
        if len(selectors) != 1:
            return _ArtifactSource(f"{task}.{output}", "")
        return self._produced(component.dag, selectors[0].producer_subtask, selectors[0].output_artifact_key)

    def _meaning(self, component: pb.ComponentSpec, name: str, direction: str) -> str:
        executor = self.pipeline.executors.get(component.executor_label, {})
        spec = self.specs.get(_key(executor.get("container", {})))
        return _meanings(spec, direction).get(_sanitized(name), "") if spec else ""


def _by_executor(loaded: Iterable[LoadedComponent]) -> dict[str, Mapping[str, Any]]:
    specs: dict[str, Mapping[str, Any]] = {}
    for component in loaded:
        if component.spec:
            deployment = component.component_spec.to_pipeline_spec().deployment_spec
            for executor in json_format.MessageToDict(deployment)["executors"].values():
                specs[_key(executor.get("container", {}))] = component.spec
    return specs


def _key(container: Mapping[str, Any]) -> str:
    return json.dumps({key: container.get(key) for key in ("image", "command", "args")}, sort_keys=True)


def _meanings(spec: Mapping[str, Any], direction: str) -> dict[str, str]:
    """As `interfaces.meanings`, by the names that the compiled pipeline has."""
    return {_sanitized(name): meaning for name, meaning in interfaces.meanings(spec, direction).items()}


def _annotations(spec: Mapping[str, Any]) -> Mapping[str, str]:
    return (spec.get("metadata") or {}).get("annotations") or {}


def _sanitized(name: str) -> str:
    return re.sub(r"\W", "_", name.lower())


def _has(node: Any, key: str) -> bool:
    if isinstance(node, dict):
        return key in node or any(_has(value, key) for value in node.values())
    return isinstance(node, list) and any(_has(each, key) for each in node)
