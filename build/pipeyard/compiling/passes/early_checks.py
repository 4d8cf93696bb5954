"""Adds tasks that check, before a model is trained, what a later step will be given.

A component with the annotation `pipeyard.dev/check-task` has its program asked with `--check` (see
`pipeyard.local.program_checks`) by a task of its own: {"before": [inputs], "given": [inputs]}. What makes the inputs
`before` waits for it; of the input artifacts it gets those in `given`. KFP's 2.17.0 driver takes an optional artifact
that is there for absent (kubeflow/pipelines#14175), so that no step can be both itself and its check: the task has a
component with fewer inputs, and no outputs.

Runs on this machine ask all programs before the first step, and need no such task.
"""

import copy
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pipeyard.system import yamls

_PREFIX = "check-"
_REFERENCE = re.compile(r"\{\{\$(?:\.(inputs|outputs)\.\w+\['([^']+)'\])?")


@dataclass(frozen=True)
class EarlyCheck:
    """How a component's program is asked.

    Attributes:
        arguments: by which it only checks.
        before: input artifacts whose producers wait for the answer.
        given: input artifacts that it is asked with; of parameters it gets all that are known by then.
    """

    arguments: Sequence[str]
    before: Collection[str]
    given: Collection[str]


def added(text: str, checks: Mapping[str, EarlyCheck]) -> str:
    """Returns a compiled pipeline with the tasks that check.

    A step under a condition of its own, in a loop, or whose `before` is made outside of its group has none: whether, or
    with what, it runs isn't known by then.

    Args:
        checks: by executor label.
    """
    documents = yamls.load_all(text)
    spec = documents[0]
    changed = False
    for holder in [spec["root"], *(spec["components"][name] for name in sorted(spec["components"]))]:
        tasks = holder.get("dag", {}).get("tasks", {})
        for name in sorted(tasks):
            label = spec["components"][tasks[name]["componentRef"]["name"]].get("executorLabel", "")
            if label in checks:
                changed |= _add(documents, tasks, name, checks[label])
    return yaml.dump_all(documents, sort_keys=True) if changed else text  # as kfp writes it


def _add(documents: list[Any], tasks: dict[str, Any], name: str, check: EarlyCheck) -> bool:
    task = tasks[name]
    artifacts = task.get("inputs", {}).get("artifacts", {})
    waiting = {_producer(artifacts[each]) for each in check.before if each in artifacts} - {""}
    if not waiting or {"triggerPolicy", "parameterIterator", "artifactIterator", "iteratorPolicy"} & set(task):
        return False
    late = _later(tasks, waiting)
    inputs = {
        kind: {
            each: source
            for each, source in task.get("inputs", {}).get(kind, {}).items()
            if _producer(source) not in late and (kind == "parameters" or each in check.given)
        }
        for kind in ("parameters", "artifacts")
    }
    inputs = {kind: found for kind, found in inputs.items() if found}
    component = _component(documents, task["componentRef"]["name"], name, inputs, check.arguments)
    made = {key: copy.deepcopy(value) for key, value in task.items() if key not in ("dependentTasks", "inputs")}
    producers = sorted({_producer(each) for found in inputs.values() for each in found.values()} - {""})
    made |= {"cachingOptions": {}, "componentRef": {"name": component}, "taskInfo": {"name": _PREFIX + name}}
    made |= {"inputs": inputs} if inputs else {}
    made |= {"dependentTasks": producers} if producers else {}
    own = _unused(_PREFIX + name, tasks)
    tasks[own] = made
    for each in waiting:
        tasks[each]["dependentTasks"] = sorted({*tasks[each].get("dependentTasks", ()), own})
    return True


def _component(
    documents: list[Any], like: str, name: str, inputs: Mapping[str, Mapping[str, Any]], arguments: Sequence[str]
) -> str:
    """Adds the component of a task that checks, and its executor; returns its name.

    Args:
        like: the component whose program is asked.
        name: of the task that it is asked for.
        inputs: those that the program is told, by kind.
    """
    spec = documents[0]
    declared = spec["components"][like]
    executors = spec["deploymentSpec"]["executors"]
    component = _unused(f"comp-{_PREFIX}{name}", spec["components"])
    label = _unused(f"exec-{_PREFIX}{name}", executors)
    definitions = {
        kind: {each: copy.deepcopy(declared["inputDefinitions"][kind][each]) for each in found}
        for kind, found in inputs.items()
    }
    spec["components"][component] = {"executorLabel": label} | ({"inputDefinitions": definitions} if inputs else {})
    executor = copy.deepcopy(executors[declared["executorLabel"]])
    told = {each for found in inputs.values() for each in found}
    executor["container"]["args"] = [*_known(executor["container"].get("args", ()), told), *arguments]
    executors[label] = executor
    for document in documents[1:]:  # what Kubernetes gives the step, it gives the check
        for platform in document.get("platforms", {}).values():
            settings = platform.get("deploymentSpec", {}).get("executors", {})
            if declared["executorLabel"] in settings:
                settings[label] = copy.deepcopy(settings[declared["executorLabel"]])
    return component


def _known(arguments: Sequence[str], told: Collection[str]) -> Iterator[str]:
    """Yields the arguments whose inputs are told; of the others the flag before goes, too."""
    for place, argument in enumerate(arguments):
        follows = arguments[place + 1] if place + 1 < len(arguments) else ""
        if _is_known(argument, told) and not (argument.startswith("--") and not _is_known(follows, told)):
            yield argument


def _is_known(argument: str, told: Collection[str]) -> bool:
    return all(kind == "inputs" and name in told for kind, name in _REFERENCE.findall(argument))


def _later(tasks: Mapping[str, Any], first: Collection[str]) -> set[str]:
    """Returns tasks of a group, and all that come after them."""
    found = set(first)
    while more := {name for name, task in tasks.items() if name not in found and _needs(task) & found}:
        found |= more
    return found


def _needs(task: Mapping[str, Any]) -> set[str]:
    inputs = task.get("inputs", {})
    sources = [each for kind in ("parameters", "artifacts") for each in inputs.get(kind, {}).values()]
    return {*task.get("dependentTasks", ()), *map(_producer, sources)} - {""}


def _producer(source: Mapping[str, Any]) -> str:
    """Returns the task that makes an input; '' if none in its group does."""
    for kind in ("taskOutputArtifact", "taskOutputParameter"):
        if kind in source:
            return str(source[kind]["producerTask"])
    return ""


def _unused(name: str, taken: Collection[str]) -> str:
    return next(each for each in (name, *(f"{name}-{count}" for count in range(2, 999))) if each not in taken)
