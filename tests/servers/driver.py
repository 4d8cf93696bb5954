"""The driver of Kubeflow Pipelines 2.17.0, as far as it decides what a step's command is.

Written from kubeflow/pipelines, backend/src/v2/driver (`RootDAG`, `resolveInputs`, `resolveContainerArgs`), and as
strict: arguments are resolved by what the task has, before defaults are filled in. Every group and task runs, of a loop
the first iteration; what tasks put out is made up by its type.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from stepkit.cli import canonical

_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}")
_MADE_UP = {"STRING": "text", "NUMBER_INTEGER": 3.0, "NUMBER_DOUBLE": 0.5, "BOOLEAN": True, "LIST": ["a"], "STRUCT": {}}
_KINDS = {
    "STRING": str,
    "NUMBER_INTEGER": float,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
    "TASK_FINAL_STATUS": dict,
}


class Refused(Exception):
    """The driver fails, and with it the run."""


def commands(text: str, parameters: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns the command of each step with its arguments, by path (`group/step`).

    Args:
        text: a compiled pipeline.
        parameters: of the run.

    Raises:
        Refused: a task can't be started.
    """
    spec = next(yaml.safe_load_all(text))
    given = dict(parameters)
    for name, declared in _declared(spec["root"]).items():
        if name not in given:
            if not declared.get("isOptional"):
                raise Refused(f"the server wants {name}")
            given[name] = declared.get("defaultValue")
    found: dict[str, list[str]] = {}
    _dag(spec, spec["root"], "", given, found)
    return found


def _dag(
    spec: Mapping[str, Any], dag: Mapping[str, Any], path: str, given: Mapping[str, Any], found: dict[str, list[str]]
) -> None:
    tasks = dag["dag"]["tasks"]
    for name, task in tasks.items():
        here = f"{path}{name}"
        component = spec["components"][task["componentRef"]["name"]]
        try:
            values = _inputs(spec, tasks, task, component, given)
            if "dag" in component:
                _dag(spec, component, f"{here}/", values, found)
                continue
            container = spec["deploymentSpec"]["executors"][component["executorLabel"]].get("container")
            if container:
                found[here] = resolved([*container.get("command", []), *container.get("args", [])], values)
        except Refused as error:
            raise Refused(f"{name}: {error}") from error


def _inputs(
    spec: Mapping[str, Any],
    tasks: Mapping[str, Any],
    task: Mapping[str, Any],
    component: Mapping[str, Any],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    declared, passed = _declared(component), task.get("inputs", {}).get("parameters", {})
    values: dict[str, Any] = {}
    if "dag" in component:
        values = {
            name: each.get("defaultValue")
            for name, each in declared.items()
            if name not in passed and each.get("isOptional")
        }
    null = {name for name, value in values.items() if value is None}
    for name, source in passed.items():
        value = _value(spec, tasks, source, given)
        if value is not None:
            values[name] = value
        elif not declared.get(name, {}).get("isOptional"):
            raise Refused(f"the resolved input parameter is null: {name}")
    iterator = task.get("parameterIterator")
    if iterator:
        items = iterator["items"]
        listed = json.loads(items["raw"]) if "raw" in items else values.pop(items["inputParameter"])
        values[iterator["itemInput"]] = (json.loads(listed) if isinstance(listed, str) else listed)[0]
    for name, each in declared.items():
        if iterator and name in (iterator["itemInput"], iterator["items"].get("inputParameter")):
            continue
        _check(name, each, values, null)
    return values


def _check(name: str, declared: Mapping[str, Any], values: dict[str, Any], null: set[str]) -> None:
    if name not in values or name in null:
        if not declared.get("isOptional"):
            raise Refused(f'neither value nor default value provided for non-optional parameter "{name}"')
        return
    type_, value = declared["parameterType"], values[name]
    if type_ == "STRING" and not isinstance(value, str):
        values[name] = _text(value)
        return
    value = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(value, _KINDS[type_]):
        raise Refused(f'input parameter "{name}" type mismatch: expect {type_}, got {value!r}')


def _value(
    spec: Mapping[str, Any], tasks: Mapping[str, Any], source: Mapping[str, Any], given: Mapping[str, Any]
) -> Any:
    if "runtimeValue" in source:
        return source["runtimeValue"]["constant"]
    if "taskFinalStatus" in source:
        return {"state": "COMPLETE", "error": {}}
    if "componentInputParameter" in source:
        name = source["componentInputParameter"]
        if name not in given:
            raise Refused(f"parent DAG does not have input parameter {name}")
        return "selected" if "parameterExpressionSelector" in source and given[name] is not None else given[name]
    output = source["taskOutputParameter"]
    producer = spec["components"][tasks[output["producerTask"]]["componentRef"]["name"]]
    type_ = producer["outputDefinitions"]["parameters"][output["outputParameterKey"]]["parameterType"]
    return _MADE_UP[type_]


def resolved(elements: list[str], values: Mapping[str, Any]) -> list[str]:
    """Returns a step's command and arguments as the launcher gets them: with inputs, and without what is absent.

    Raises:
        Refused: an input that they need isn't among the values.
    """
    found = []
    for element in elements:
        if "$.outputs" in element:
            found.append(element)
        elif element.strip().startswith('{"IfPresent":'):
            clause = json.loads(element)["IfPresent"]
            chosen = clause.get("Then" if values.get(clause["InputName"]) is not None else "Else") or []
            for each in [chosen] if isinstance(chosen, str) else chosen:
                if not isinstance(each, str):
                    raise Refused(f"failed to resolve container args: non-string item in IfPresent: {each}")
                found.append(_substituted(each, values))
        else:
            found.append(_substituted(element, values))
    return found


def _substituted(element: str, values: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        if match.group(1) not in values:
            missing = f'parameter "{match.group(1)}" not found in executor input'
            raise Refused(f"failed to resolve container args: failed to resolve input parameters: {missing}")
        return _text(values[match.group(1)])

    return _PARAMETER.sub(value, element)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{int(value)}" if value == int(value) else f"{value:g}"
    return "" if value is None else json.dumps(canonical(value), sort_keys=True, separators=(",", ":"))


def _declared(component: Mapping[str, Any]) -> Mapping[str, Any]:
    return component.get("inputDefinitions", {}).get("parameters", {})
