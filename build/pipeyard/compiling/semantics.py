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

from pipeyard.component_store.components import LoadedComponent
from pipeyard.ir import Pipeline
from pipeyard.ir.protobuf import pb
from pipeyard.repository.project import ANNOTATION_PREFIX

# Longer ones don't fit what registries and Kubernetes keep of them (a repository's name: 255 characters).
IMAGE_LIMIT = 255


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
    found = [*_edges(pipeline, specs)]
    for label, executor in pipeline.executors.items():
        spec = specs.get(_key(executor.get("container", {})))
        if spec:
            found += [f"{label.removeprefix('exec-')}: {problem}" for problem in constructs(spec)]
    return list(dict.fromkeys(found))


def constructs(spec: Mapping[str, Any]) -> list[str]:
    """Returns what a kfp 1 specification has that KFP's backend ignores or breaks on, each with the reason."""
    container = spec.get("implementation", {}).get("container", {})
    found = []
    if "fileOutputs" in container:
        found.append("`fileOutputs` is dropped without a word: outputs would be lost. Use {outputPath: NAME} in args.")
    if not container.get("command"):
        found.append("it has no `command`, and the image's ENTRYPOINT is never used. Write the command.")
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


def warnings(pipeline: Pipeline) -> list[str]:
    """Returns what may fail on a backend."""
    images = {executor["container"]["image"] for executor in pipeline.executors.values() if "container" in executor}
    return [
        f"the image {image[:60]}… has {len(image)} characters, over {IMAGE_LIMIT} are refused. Shorten its repository."
        for image in sorted(images)
        if len(image) > IMAGE_LIMIT
    ]


def _edges(pipeline: Pipeline, specs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    def meaning(component: pb.ComponentSpec, name: str, direction: str) -> str:
        executor = pipeline.executors.get(component.executor_label, {})
        spec = specs.get(_key(executor.get("container", {})))
        return _meanings(spec, direction).get(_sanitized(name), "") if spec else ""

    def produced(tasks: Mapping[str, pb.PipelineTaskSpec], task: str, output: str) -> _ArtifactSource:
        component = pipeline.component(tasks[task])
        if not component.HasField("dag"):
            return _ArtifactSource(f"{task}.{output}", meaning(component, output, "output"))
        selectors = component.dag.outputs.artifacts[output].artifact_selectors
        if len(selectors) != 1:
            return _ArtifactSource(f"{task}.{output}", "")
        return produced(component.dag.tasks, selectors[0].producer_subtask, selectors[0].output_artifact_key)

    def walk(dag: pb.DagSpec, given: Mapping[str, _ArtifactSource]) -> Iterator[str]:
        for task_name, task in dag.tasks.items():
            sources = {}
            for name, wanted in task.inputs.artifacts.items():
                if wanted.HasField("task_output_artifact"):
                    from_ = wanted.task_output_artifact
                    sources[name] = produced(dag.tasks, from_.producer_task, from_.output_artifact_key)
                elif wanted.component_input_artifact in given:
                    sources[name] = given[wanted.component_input_artifact]
            component = pipeline.component(task)
            if component.HasField("dag"):
                yield from walk(component.dag, sources)
                continue
            for name, source in sources.items():
                wants = meaning(component, name, "input")
                if wants and source.meaning and wants != source.meaning:
                    yield (
                        f"{source.name} is {source.meaning}, but {task_name}.{name} takes {wants}. "
                        f"Connect an output that is {wants}."
                    )

    yield from walk(pipeline.spec.root.dag, {})


def _by_executor(loaded: Iterable[LoadedComponent]) -> dict[str, Mapping[str, Any]]:
    specs = {}
    for component in loaded:
        if component.spec:
            deployment = component.component_spec.to_pipeline_spec().deployment_spec
            for executor in json_format.MessageToDict(deployment)["executors"].values():
                specs[_key(executor.get("container", {}))] = component.spec
    return specs


def _key(container: Mapping[str, Any]) -> str:
    return json.dumps({key: container.get(key) for key in ("image", "command", "args")}, sort_keys=True)


def _meanings(spec: Mapping[str, Any], direction: str) -> dict[str, str]:
    """Returns input (or output) to what its artifact means; those of kfp's general types alone are left out."""
    annotated = json.loads(_annotations(spec).get(f"{ANNOTATION_PREFIX}{direction}-types", "{}"))
    types = {each["name"]: each.get("type") for each in spec.get(f"{direction}s") or []}
    own = {name: type_ for name, type_ in types.items() if isinstance(type_, str) and type_ not in _GENERAL}
    return {_sanitized(name): meaning for name, meaning in {**own, **annotated}.items()}


def _annotations(spec: Mapping[str, Any]) -> Mapping[str, str]:
    return (spec.get("metadata") or {}).get("annotations") or {}


# Types of kfp that say how an artifact is shown or stored, not what it means.
_GENERAL = {"Artifact", "Dataset", "Model", "Metrics", "ClassificationMetrics", "SlicedClassificationMetrics"} | {
    "HTML",
    "Markdown",
}


def _sanitized(name: str) -> str:
    return re.sub(r"\W", "_", name.lower())


def _has(node: Any, key: str) -> bool:
    if isinstance(node, dict):
        return key in node or any(_has(value, key) for value in node.values())
    return isinstance(node, list) and any(_has(each, key) for each in node)
