"""What can't be compiled to an Argo workflow, which is found out when a run is made, not at the upload.

Source: kubeflow/pipelines, backend/src/v2/compiler (visitor.go: components and executors that aren't there), and Argo's
validation of the workflow (dependencies that aren't there, or go round). Recorded: a component that isn't there.
"""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from .refusals import internal


def check(spec: Mapping[str, Any]) -> None:
    """Refuses a specification that can't be compiled. One of Argo's own needs no compiling."""
    if "root" not in spec:
        return
    components = spec.get("components", {})
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    waiting, seen = [("root", spec["root"])], {"root"}
    while waiting:
        name, component = waiting.pop()
        label = component.get("executorLabel")
        if label is not None and label not in executors:
            raise internal(f"Failed to compile job: component {name!r}: executor {label!r} not found")
        tasks = component.get("dag", {}).get("tasks", {})
        _order(name, tasks)
        for task in tasks.values():
            used = task.get("componentRef", {}).get("name", "")
            if used not in components:
                raise internal(f"Failed to compile job: component {used!r} not found")
            if used not in seen:
                seen.add(used)
                waiting.append((used, components[used]))


def _order(name: str, tasks: Mapping[str, Mapping[str, Any]]) -> None:
    needed_by = {key: set(needs(task)) for key, task in tasks.items()}
    for key, needed in needed_by.items():
        if unknown := needed - set(tasks):
            raise internal(f"Failed to validate workflow: {name}.{key} depends on {sorted(unknown)}, not found")
    try:
        TopologicalSorter(needed_by).prepare()
    except CycleError as error:
        raise internal(f"Failed to validate workflow: {name}: dependency cycle {error.args[1]}") from error


def needs(task: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of the tasks beside it that a task waits for; some more than once."""
    yield from task.get("dependentTasks", ())
    inputs = task.get("inputs", {})
    for given in (*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()):
        for kind in ("taskOutputParameter", "taskOutputArtifact", "taskFinalStatus"):
            if producer := given.get(kind, {}).get("producerTask"):
                yield producer
