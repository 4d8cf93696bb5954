"""What users of a component, or of a compiled pipeline, hold on to: inputs, outputs, meanings, program, user, version.

Specifications of kfp 1, components and pipelines that kfp 2 compiled are read to one form, so that versions can be
compared. These annotations of a kfp 1 specification count, each a JSON object by names of inputs and outputs:

    pipeyard.dev/input-types, output-types    what artifacts mean
    pipeyard.dev/domains                      which values there are: JSON Schema's enum, minimum, maximum, ...
    pipeyard.dev/units                        what numbers are counted in: "seconds"

and `pipeyard.dev/version`, the component's semantic version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipeyard_components import yamls
from pipeyard_components.errors import PipeyardError

PREFIX = "pipeyard.dev/"
VERSION = f"{PREFIX}version"
OF_PORTS = ("input-types", "output-types", "domains", "units")
# Types of kfp that say how an artifact is shown or stored, not what it means.
GENERAL = frozenset(
    (
        "Artifact",
        "Dataset",
        "Model",
        "Metrics",
        "ClassificationMetrics",
        "SlicedClassificationMetrics",
        "HTML",
        "Markdown",
    )
)
_VALUES = {
    "String": ("string", "str", "text"),
    "Integer": ("integer", "int", "number_integer"),
    "Float": ("float", "double", "number_double"),
    "Boolean": ("boolean", "bool"),
    "JsonObject": ("jsonobject", "dict", "dictionary", "struct"),
    "JsonArray": ("jsonarray", "list"),
    "PipelineTaskFinalStatus": ("pipelinetaskfinalstatus", "task_final_status"),
}
_CANONICAL = {spelling: type_ for type_, spellings in _VALUES.items() for spelling in spellings}
VALUES = frozenset(_VALUES)


@dataclass(frozen=True)
class Port:
    """An input or an output.

    Attributes:
        type: of a value as KFP 1 spells it, of an artifact its class without `system.`.
        required: an input that has to be given.
        default: as JSON, whatever way it was written in; None: none.
        meaning: what an artifact is; '' if nothing says it.
        domain: JSON Schema of its values; {} if nothing says it.
        other: what else is declared of it.
    """

    name: str
    type: str
    required: bool = False
    default: str | None = None
    description: str = ""
    meaning: str = ""
    domain: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""
    other: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Interface:
    """A version of a component or pipeline, as its users see it.

    Attributes:
        version: semantic version; '' if it declares none.
        versioned: such a thing has a version; compiled pipelines have none.
        user: the image's, as a Dockerfile has it; None: unknown.
        images: step to image; a component's one step is called ''.
        program: step to its command line and what else its container has, but for the image.
        annotations: those that say nothing of one input or output.
        wiring: of a pipeline, what connects its steps; of a component nothing.
        users: of a pipeline, step to the user that its platform document sets.
    """

    name: str
    description: str = ""
    version: str = ""
    versioned: bool = True
    inputs: Mapping[str, Port] = field(default_factory=dict)
    outputs: Mapping[str, Port] = field(default_factory=dict)
    user: str | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    program: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)
    wiring: Mapping[str, Any] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)


def read(text: str, where: str, user: str | None = None) -> Interface:
    """Reads a component specification, kfp 1's or kfp 2's, or a compiled pipeline.

    Args:
        where: what messages call it.
        user: the image's, if that is known.

    Raises:
        PipeyardError: it is none of these, or an annotation can't be read.
    """
    try:
        documents = yamls.load_all(text)
    except yaml.YAMLError as error:
        raise PipeyardError(f"{where} isn't YAML: {error}") from error
    spec = documents[0] if documents else None
    try:
        if isinstance(spec, dict) and "pipelineInfo" in spec:
            return _of_compiled(spec, documents[1:], user)
        if isinstance(spec, dict) and isinstance(spec["implementation"]["container"], dict):
            return _of_spec(spec, user)
    except PipeyardError as error:
        raise PipeyardError(f"{where}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise PipeyardError(
            f"{where} isn't a component specification, nor a compiled pipeline ({type(error).__name__}: {error})."
        ) from error
    raise PipeyardError(f"{where} isn't a component specification, nor a compiled pipeline.")


def meanings(spec: Mapping[str, Any], direction: str) -> dict[str, str]:
    """Returns input (or output) to what its artifact means; those of kfp's general types alone are left out.

    Args:
        spec: kfp 1's.
        direction: input or output.
    """
    types = {each["name"]: each.get("type") for each in spec.get(f"{direction}s") or []}
    own = {name: type_ for name, type_ in types.items() if isinstance(type_, str) and type_ not in GENERAL}
    return {**own, **_json_object(_annotations(spec), f"{direction}-types")}


def _of_spec(spec: Mapping[str, Any], user: str | None) -> Interface:
    annotations = dict(_annotations(spec))
    told = {key: _json_object(annotations, key) for key in ("domains", "units")}
    ports = {}
    for side in ("input", "output"):
        means = meanings(spec, side)
        found = [_port(each, side == "input", means, told) for each in spec.get(f"{side}s") or []]
        ports[side] = {port.name: port for port in found}
    container = dict(spec["implementation"]["container"])
    image = str(container.pop("image", ""))
    version = str(annotations.pop(VERSION, ""))
    general = {key: value for key, value in annotations.items() if key.replace(PREFIX, "", 1) not in OF_PORTS}
    labels = (spec.get("metadata") or {}).get("labels") or {}
    return Interface(
        name=str(spec.get("name", "")),
        description=str(spec.get("description") or ""),
        version=version,
        inputs=ports["input"],
        outputs=ports["output"],
        user=user,
        images={"": image},
        program={"": container},
        annotations={**general, **{f"label {key}": value for key, value in labels.items()}},
    )


def _port(
    each: Mapping[str, Any], is_input: bool, means: Mapping[str, str], told: Mapping[str, Mapping[str, Any]]
) -> Port:
    name, type_ = each["name"], _type(each.get("type"))
    default = each.get("default")
    return Port(
        name=name,
        type=type_,
        required=is_input and default is None and not each.get("optional"),
        default=None if default is None else _default(type_, default),
        description=str(each.get("description") or ""),
        meaning="" if type_ in VALUES else str(means.get(name, "")),
        domain=_domain(told["domains"].get(name, {}), name),
        unit=str(told["units"].get(name, "")),
        other=each.get("annotations") or {},
    )


def _of_compiled(spec: Mapping[str, Any], platforms: list[Any], user: str | None) -> Interface:
    root = spec.get("root") or {}
    executors = (spec.get("deploymentSpec") or {}).get("executors") or {}
    containers = {_step(label): each.get("container") or each for label, each in executors.items()}
    info = spec["pipelineInfo"]
    wiring = {"root": root.get("dag"), "components": spec.get("components")}
    if settings := [kept for each in platforms if (kept := _without_users(each))]:
        wiring["platforms"] = settings
    return Interface(
        name=str(info.get("name", "")),
        description=str(info.get("description") or ""),
        versioned=False,
        inputs={port.name: port for port in _ir_ports(root.get("inputDefinitions") or {}, True)},
        outputs={port.name: port for port in _ir_ports(root.get("outputDefinitions") or {}, False)},
        user=user,
        images={step: str(each.get("image", "")) for step, each in containers.items()},
        program={step: {k: v for k, v in each.items() if k != "image"} for step, each in containers.items()},
        annotations={},
        wiring=wiring,
        users=dict(_ir_users(platforms)),
    )


def _ir_ports(definitions: Mapping[str, Any], is_input: bool) -> Iterator[Port]:
    for name, each in (definitions.get("parameters") or {}).items():
        type_ = _type(each.get("parameterType"))
        default = each.get("defaultValue")
        yield Port(
            name=name,
            type=type_,
            required=is_input and default is None and not each.get("isOptional"),
            default=None if default is None else _default(type_, default),
            description=str(each.get("description") or ""),
            domain={"enum": each["literals"]} if each.get("literals") else {},
        )
    for name, each in (definitions.get("artifacts") or {}).items():
        schema = each.get("artifactType") or {}
        title = schema.get("schemaTitle") or schema.get("instanceSchema") or ""
        version = schema.get("schemaVersion") or "0.0.1"
        yield Port(
            name=name,
            type=("List of " if each.get("isArtifactList") else "") + _type(f"{title}@{version}"),
            required=is_input and not each.get("isOptional"),
            description=str(each.get("description") or ""),
        )


def _platform_executors(document: Any) -> Mapping[str, Any]:
    kubernetes = ((document or {}).get("platforms") or {}).get("kubernetes") or {}
    return (kubernetes.get("deploymentSpec") or {}).get("executors") or {}


def _ir_users(platforms: list[Any]) -> Iterator[tuple[str, str]]:
    for document in platforms:
        for label, each in _platform_executors(document).items():
            if (context := (each or {}).get("securityContext")) is not None:
                yield _step(label), json.dumps(context, sort_keys=True)


def _without_users(node: Any) -> Any:
    """Returns a platform document without users, and without what is then empty."""
    if not isinstance(node, dict):
        return node
    kept = {key: _without_users(value) for key, value in node.items() if key != "securityContext"}
    return {key: value for key, value in kept.items() if value not in ({}, None)}


def _step(label: str) -> str:
    return label[len("exec-") :] if label.startswith("exec-") else label


def _annotations(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return (spec.get("metadata") or {}).get("annotations") or {}


def _json_object(annotations: Mapping[str, Any], key: str) -> dict[str, Any]:
    text = annotations.get(PREFIX + key, "{}")
    try:
        found = json.loads(text)
    except (TypeError, ValueError) as error:
        raise PipeyardError(f"the annotation {PREFIX}{key} is no JSON ({error}). Correct it.") from error
    if not isinstance(found, dict):
        raise PipeyardError(f"the annotation {PREFIX}{key} is no JSON object. Write {{name: ...}}.")
    return found


def _domain(told: Any, name: str) -> Mapping[str, Any]:
    if isinstance(told, list):
        return {"enum": told}
    if not isinstance(told, dict) or not isinstance(told.get("enum", []), list):
        raise PipeyardError(
            f"the domain of {name!r} is {told!r}. Write its values as a list, or JSON Schema: "
            '{"minimum": 0, "maximum": 1}.'
        )
    return told


def _type(declared: Any) -> str:
    if declared is None:
        return "Artifact"
    if not isinstance(declared, str):
        return json.dumps(declared, sort_keys=True)
    outer = re.sub(r"\[.*\]$", "", declared.strip())  # List[int] and List are one to kfp 2
    if outer.lower() in _CANONICAL:
        return _CANONICAL[outer.lower()]
    bare = re.sub(r"@0\.0\.1$", "", re.sub(r"^system\.", "", declared.strip()))
    return bare or "Artifact"


def _default(type_: str, default: Any) -> str:
    """Returns a default as JSON. The order of an object's keys is kept: programs may go by it."""
    text = default if isinstance(default, str) else json.dumps(default)
    value: Any = text
    try:
        if type_ == "Integer":
            value = int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text) else float(text)
            value = int(value) if value == int(value) else value
        elif type_ == "Float":
            value = float(text)
        elif type_ == "Boolean" and text.strip().lower() in {"true", "false"}:
            value = text.strip().lower() == "true"
        elif type_ in {"JsonObject", "JsonArray"}:
            value = json.loads(text)
    except (ValueError, OverflowError):
        value = text
    return json.dumps(value)
