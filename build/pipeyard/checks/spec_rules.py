"""Rules that a component.yaml keeps by itself, so that it means the same to KFP 1, KFP 2 and a reader."""

from collections.abc import Iterator
from typing import Any

import yaml

from pipeyard.checks import kinds
from pipeyard.checks.arguments import Passed, passed
from pipeyard.compiling import semantics
from pipeyard.errors import PipeyardError, near_misses
from pipeyard.findings import Finding
from pipeyard.repository.project import ANNOTATION_PREFIX, Component
from pipeyard_components import interfaces, misread
from pipeyard_components.semantic_versions import SemanticVersion

_CONTAINER_KEYS = {"image", "command", "args"}


def malformed(component: Component, part: str) -> Iterator[Finding]:
    """Yields why a spec can't be checked at all.

    Args:
        part: what findings call the component.

    Raises:
        PipeyardError: it isn't YAML, or is named unlike its folder.
    """
    spec = component.spec
    implementation = spec.get("implementation")
    if not isinstance(implementation, dict) or not isinstance(implementation.get("container"), dict):
        yield Finding(
            part, "spec", "component.yaml has no implementation.container", "Say there which image and command it runs."
        )
    for side in ("input", "output"):
        declared = spec.get(f"{side}s") or []
        if not isinstance(declared, list) or not all(isinstance(each, dict) and "name" in each for each in declared):
            yield Finding(part, "spec", f"not all {side}s in component.yaml have a name", "List mappings with `name`.")
    for key in (spec.get("metadata") or {}).get("annotations") or {}:
        name = key.removeprefix(ANNOTATION_PREFIX)
        if name == key:
            continue
        try:
            value = component.annotation(name, None)
        except yaml.YAMLError:
            yield Finding(part, "spec", f"the annotation {key} is no JSON", "Correct it.")
            continue
        if name in ("input-types", "output-types") and not isinstance(value, dict):
            yield Finding(part, "spec", f"the annotation {key} is no JSON object", "Write each name's meaning.")


def findings(component: Component, part: str) -> Iterator[Finding]:
    """Yields what is wrong with a spec that isn't malformed.

    Args:
        part: what findings call the component.
    """
    spec = component.spec
    container = spec["implementation"]["container"]
    if not spec.get("description"):
        yield Finding(part, "spec", "the component has no description", "Write it.")
    try:
        interface = interfaces.read(yaml.safe_dump(spec), "component.yaml")
        if interface.version:
            SemanticVersion.parse(interface.version)
    except PipeyardError as error:
        yield Finding(part, "spec", str(error).rstrip("."))
    for problem in misread.defaults((component.folder / "component.yaml").read_text(encoding="utf-8")):
        yield Finding(part, "spec", problem.rstrip("."))
    for problem in semantics.portable_constructs(spec):
        yield Finding(part, "spec", problem)
    if container.get("command") and container["command"] != ["python", "-m", component.name]:
        yield Finding(
            part,
            "names",
            f"its command is {container['command']}",
            f"Write [python, -m, {component.name}]: the package is called as the folder is.",
        )
    image = str(container.get("image", "")).rpartition("/")[2].partition("@")[0].partition(":")[0]
    if image != component.name:
        yield Finding(part, "names", f"its image is called {image!r}", f"Call it {component.name!r}, as the folder is.")
    strange = sorted(set(container) - _CONTAINER_KEYS - {"fileOutputs"})
    if strange:
        yield Finding(
            part,
            "spec",
            f"its container has {', '.join(strange)}, which not every backend heeds",
            "Pass it by a flag, or set it in the image.",
        )
    for side in ("input", "output"):
        yield from _declarations(component, part, side)
    yield from _wiring(spec, container, part)


def _declarations(component: Component, part: str, side: str) -> Iterator[Finding]:
    meanings = component.annotation(f"{side}-types", {})
    for each in component.spec.get(f"{side}s") or []:
        name = each["name"]
        missing = [key for key in ("type", "description") if not each.get(key)]
        if missing:
            yield Finding(part, "spec", f"the {side} {name} has no {' and no '.join(missing)}", "Write it.")
        if "default" in each and not each.get("optional"):
            yield Finding(
                part, "required", f"the input {name} has a default, but isn't optional", "Write `optional: true`."
            )
        if kinds.of(each) not in kinds.VALUES and name not in meanings:
            yield Finding(
                part,
                "spec",
                f"nothing says what the artifact {name} means, so wrong connections can't be told",
                f"Name its meaning in the annotation {ANNOTATION_PREFIX}{side}-types.",
            )


def _wiring(spec: dict[str, Any], container: dict[str, Any], part: str) -> Iterator[Finding]:
    declared = {each["name"]: ("input", each) for each in spec.get("inputs") or []}
    outputs = {each["name"]: ("output", each) for each in spec.get("outputs") or []}
    both = sorted(set(declared) & set(outputs))
    if both:
        yield Finding(part, "flags", f"{', '.join(both)} is both an input and an output", "Rename one.")
    declared |= outputs
    arguments = [each for each in passed(container) if each.placeholder]
    for argument in arguments:
        name = argument.value or ""
        if name not in declared:
            yield Finding(
                part, "flags", f"args pass {name!r}, which the spec doesn't declare", near_misses(name, declared)
            )
            continue
        yield from _passed_rightly(argument, *declared[name], part)
    counts = {name: sum(each.value == name for each in arguments) for name in declared}
    for name, count in counts.items():
        if count != 1:
            often = "never" if count == 0 else f"{count} times"
            yield Finding(part, "flags", f"args pass the {declared[name][0]} {name} {often}", "Pass it once.")


def _passed_rightly(argument: Passed, side: str, spec: dict[str, Any], part: str) -> Iterator[Finding]:
    name = spec["name"]
    flag = f"--{name.replace('_', '-')}"
    if argument.flag != flag:
        written = f"by {argument.flag}" if argument.flag else "without a flag"
        yield Finding(part, "flags", f"the {side} {name} is passed {written}", f"Pass it by {flag}.")
    taken = "inputValue" if kinds.of(spec) in kinds.VALUES else "inputPath"
    wanted = "outputPath" if side == "output" else taken
    if argument.placeholder == "inputValue" and _may_be_unresolved(argument, spec):
        yield Finding(
            part,
            "required",
            f"the input {name} is optional without a default; without a value KFP 2 can't fill in its placeholder",
            f"Give it a default, or pass {flag} under `if: {{cond: {{isPresent: {name}}}}}`.",
        )
    if argument.placeholder != wanted:
        yield Finding(
            part,
            "types",
            f"the {side} {name} is of type {spec.get('type')}, but passed by {argument.placeholder}",
            f"Pass it by {wanted}, or correct the type; values are {', '.join(sorted(kinds.VALUES))}.",
        )


def _may_be_unresolved(argument: Passed, spec: dict[str, Any]) -> bool:
    """The final status is an exception: the backend always has one."""
    optional = spec.get("optional") and "default" not in spec
    return bool(optional) and spec["name"] not in argument.guards and kinds.of(spec) != kinds.FINAL_STATUS
