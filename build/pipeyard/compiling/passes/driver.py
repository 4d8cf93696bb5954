"""What the driver of KFP 2.17.0 can't start, told when a pipeline is compiled.

Protocol: kubeflow/pipelines, backend/src/v2/driver, `resolveContainerArgs` and `resolveInputs`. The driver resolves
`{{$.inputs.parameters['x']}}` and `IfPresent` in a container's command by the parameters that the task has, and fails
if one isn't there. Elements with `$.outputs` it leaves to the launcher, which knows no `IfPresent`.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeyard.compiling.passes.traversal import Visit, visits
from pipeyard.ir import Pipeline

_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}")
_SERVER = "KFP 2.17"
_CONCAT = '{"Concat":'


@dataclass(frozen=True)
class _Absence:
    """Why an input may have no value.

    Attributes:
        parameter: the pipeline's own that a run may leave out; '' if there never is a value.
    """

    parameter: str


# Of an input: None if there is a value whenever the task runs.
_MaybeAbsent = _Absence | None


def check(pipeline: Pipeline) -> tuple[list[str], list[str]]:
    """Returns what can't be started, and what can't if a run leaves an optional parameter out.

    Args:
        pipeline: with its defaults written.
    """
    problems: list[str] = []
    maybe: dict[str, str] = {}
    for visit, name, absence in _lacking(pipeline, (), []):
        if absence.parameter:
            maybe.setdefault(absence.parameter, visit.path)
        else:
            problems.append(
                f"{visit.path}: {_SERVER} can't start it without its input {name!r}, which isn't given and has no "
                "default. Give it a value or a default, or write its arguments as `if: {cond: {isPresent: ...}}`."
            )
    warnings = [
        f"{_SERVER} fails in {path!r} when a run leaves the parameter {name!r} out. Give it a default, as '' or 0."
        for name, path in sorted(maybe.items())
    ]
    return list(dict.fromkeys(problems)), warnings


def unresolved(pipeline: Pipeline) -> list[str]:
    """Returns what of commands Kubeflow Pipelines alone doesn't resolve; this machine does, and so does Vertex AI."""
    found: list[str] = []
    for _ in _lacking(pipeline, (), found):
        pass  # what lacks a value is `check`'s
    for visit in visits(pipeline, {}, lambda *_: None):
        container = pipeline.executors.get(visit.component.executor_label, {}).get("container", {})
        if any(part.strip().startswith(_CONCAT) for part in _parts(container)):
            found.append(
                f"{visit.path}: `concat` reaches the program unresolved on Kubeflow Pipelines. Pass the parts as "
                "arguments of their own."
            )
    return list(dict.fromkeys(found))


def missing(pipeline: Pipeline, given: Collection[str]) -> list[str]:
    """Returns what a run with some parameters can't start, whatever happens in it: tasks under conditions are left out.

    Args:
        given: names of the parameters that have a value, besides those with defaults.
    """
    found: dict[str, str] = {}
    for visit, _, absence in _lacking(pipeline, given, []):
        if absence.parameter and not visit.conditional:
            found.setdefault(absence.parameter, visit.path)
    return [
        f"the parameter {name!r} has no value, and {path!r} can't start without one. Set it in settings.yaml or by "
        f"--param {name}=..., or give it a default in the pipeline."
        for name, path in sorted(found.items())
    ]


def _lacking(
    pipeline: Pipeline, given: Collection[str], problems: list[str]
) -> Iterator[tuple[Visit[_MaybeAbsent], str, _Absence]]:
    """Yields each task with an input that it needs and that may be absent; appends to `problems` as `_needed` does."""
    known = {
        name: _Absence(name) if each.is_optional and not each.HasField("default_value") and name not in given else None
        for name, each in pipeline.spec.root.input_definitions.parameters.items()
    }
    for visit in visits(pipeline, known, _known):
        for name in _needed(pipeline, visit, problems):
            if absence := visit.inputs.get(name):
                yield visit, name, absence


def _known(_name: str, spec: Any, _declared: Any, known: Mapping[str, _MaybeAbsent]) -> _MaybeAbsent:
    if spec is None:
        return _Absence("")
    return known.get(spec.component_input_parameter) if spec.component_input_parameter else None


def _needed(pipeline: Pipeline, visit: Visit[_MaybeAbsent], problems: list[str]) -> Iterator[str]:
    """Yields the inputs that a task can't do without; appends to `problems` what no input helps against."""
    absent = {name for name, absence in visit.inputs.items() if absence}
    passed = absent & set(visit.task.inputs.parameters)
    if visit.component.HasField("dag"):
        # What is null in the DAG around it isn't among the inputs of a DAG, and what refers to it there fails.
        yield from sorted(passed)
        return
    declared = visit.component.input_definitions.parameters
    yield from sorted(name for name in passed if not declared[name].is_optional)
    container = pipeline.executors.get(visit.component.executor_label, {}).get("container", {})
    for part in _parts(container):
        yield from _of_element(part, visit, problems)


def _parts(container: Mapping[str, Any]) -> list[str]:
    return [*container.get("command", []), *container.get("args", [])]


def _of_element(part: str, visit: Visit[_MaybeAbsent], problems: list[str]) -> Iterator[str]:
    """Yields the parameters that an element of a command is resolved by."""
    conditional = part.strip().startswith('{"IfPresent":')
    if conditional:
        yield from _of_condition(part, visit, problems)
    elif "$.outputs" not in part:
        yield from _PARAMETER.findall(part)


def _of_condition(part: str, visit: Visit[_MaybeAbsent], problems: list[str]) -> Iterator[str]:
    clause = json.loads(part)["IfPresent"]
    name = clause["InputName"]
    if name in visit.task.inputs.artifacts:
        problems.append(
            f"{visit.path}: `isPresent` of the artifact {name!r} is never true on {_SERVER}, which looks among "
            "parameters only. Make two components, with the artifact and without."
        )
    if "$.outputs" in part:
        problems.append(
            f"{visit.path}: `isPresent` of {name!r} around an output reaches the program unresolved on {_SERVER}. "
            "Put the output's argument outside."
        )
        return
    absence = visit.inputs.get(name, _Absence(""))  # artifacts are none of the inputs here, as for the driver
    branches = [] if absence and not absence.parameter else [(clause.get("Then"), {name})]
    branches += [(clause.get("Else"), set())] if absence else []
    for branch, present in branches:
        elements = branch if isinstance(branch, list) else [branch] if branch else []
        if not all(isinstance(each, str) for each in elements):
            problems.append(
                f"{visit.path}: `isPresent` of {name!r} has a condition or `concat` inside, on which {_SERVER} fails. "
                "Write each as an element of its own."
            )
            continue
        yield from (each for text in elements for each in _PARAMETER.findall(text) if each not in present)
