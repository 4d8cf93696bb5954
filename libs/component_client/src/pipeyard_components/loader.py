"""Makes kfp components of specifications, kfp 1's among them that kfp 2 would refuse."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

import kfp
import yaml
from kfp import components as kfp_components
from kfp.dsl.types import type_utils

from pipeyard_components import misread, session, spec_mistakes, yamls
from pipeyard_components.components import LoadedComponent, Retyped
from pipeyard_components.errors import PipeyardError

_log = logging.getLogger(__name__)


def load(text: str, location: str, digest: str, *, retype: bool) -> LoadedComponent:
    """Makes a component of a specification, kfp 1's or kfp 2's.

    kfp 2 refuses a condition with several elements inside a `concat`, and one whose `else` is a placeholder, which
    kfp 1 takes: they are written as one element, and as a list.

    Args:
        text: the specification.
        location: where it is from, for messages.
        digest: its digest.
        retype: give inputs that are artifacts by type, but used by value, the type String, and those that are values by
            type, but used as files, the type Artifact, which has no default: kfp 2 compiles no pipeline with such a
            component. That changes the interface, so it is done only when asked for, and logged.

    Raises:
        PipeyardError: kfp can't load it, or an input is used by value and as a file.
    """
    spec: dict[str, Any] | None = None
    documents: list[Any] = []
    retyped: tuple[Retyped, ...] = ()
    rewritten: tuple[str, ...] = ()
    try:
        yamls.check(text)  # first, as it checks bounds
        _refuse_keys_that_stand_twice(text)
        documents = yamls.load_all(text)
        spec = _kfp1_spec(documents)
        if spec:
            for problem in misread.defaults(text):
                _log.warning("%s: %s", location, problem)
            if retype:
                retyped = _retype(spec)
            else:
                _warn_of_uses(spec, location)
            rewritten = _rewrite(spec)
            for now in dict.fromkeys(each.now for each in retyped):
                was = {each.input: each.was for each in retyped if each.now == now}
                _log.warning("%s: now %s: %s.", location, now, _listed(was))
        changed = retyped or rewritten
        loaded = kfp_components.load_component_from_text(yaml.safe_dump(spec, sort_keys=False) if changed else text)
    except PipeyardError as error:
        raise PipeyardError(f"{location}: {error}") from error
    except yaml.YAMLError as error:
        raise PipeyardError(f"{location} isn't a component that kfp can load: {error}") from error
    except Exception as error:  # kfp raises many kinds
        mistake = spec_mistakes.of(spec or (documents[0] if documents else None)) if _is_kfp1(documents) else None
        if mistake:
            raise PipeyardError(f"{location}: {mistake}") from error
        newer = _newer_kfp(documents)
        raise PipeyardError(f"{location} isn't a component that kfp can load{newer}: {error}") from error
    made = LoadedComponent(loaded, location, digest, retyped, rewritten, spec, text)
    session.note(made)
    return made


def _refuse_keys_that_stand_twice(text: str) -> None:
    """Refuses, in words of its own, what `yamls.load_all` refuses: kfp would take the last without a word."""
    for root in yaml.compose_all(text, Loader=yaml.SafeLoader):
        try:
            yamls.refuse_keys_that_stand_twice(root)
        except yaml.MarkedYAMLError as error:
            raise PipeyardError(str(error.problem)) from error


def _newer_kfp(documents: list[Any]) -> str:
    """Says that a newer kfp than this one wrote a specification, if one did."""
    sdk = documents[0].get("sdkVersion") if documents and isinstance(documents[0], dict) else None
    found = re.match(r"kfp-(\d+)\.(\d+)", sdk) if isinstance(sdk, str) else None
    if not found or (int(found[1]), int(found[2])) <= tuple(map(int, kfp.__version__.split(".")[:2])):
        return ""
    return f" (kfp {kfp.__version__} here, {sdk} wrote it: install that one or a newer)"


def _is_kfp1(documents: list[Any]) -> bool:
    spec = documents[0] if documents else None
    return len(documents) < 2 and not (isinstance(spec, dict) and {"pipelineInfo", "deploymentSpec"} & spec.keys())


def _kfp1_spec(documents: list[Any]) -> dict[str, Any] | None:
    """Returns kfp 1's kind of specification of a container, or None if it is another (kfp 2's has two documents).

    What an alias repeats is a copy of its own, so that it can be changed in one place.
    """
    spec = documents[0] if len(documents) == 1 else None
    implementation = spec.get("implementation") if isinstance(spec, dict) else None
    container = implementation.get("container") if isinstance(implementation, dict) else None
    return yamls.unshared(spec) if isinstance(container, dict) else None


def _command_line(spec: dict[str, Any]) -> list[Any]:
    container = spec["implementation"]["container"]
    return [container.get("command"), container.get("args"), container.get("env")]


def _uses(node: Any, placeholder: str) -> set[str]:
    """Returns the inputs that are used with a placeholder (`inputValue`, `inputPath`) anywhere in a command line."""
    if isinstance(node, dict):
        here = {node[placeholder]} if isinstance(node.get(placeholder), str) else set()
        return here.union(*(_uses(value, placeholder) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_uses(value, placeholder) for value in node))
    return set()


@dataclass(frozen=True)
class _Misused:
    """Inputs that kfp 2 compiles no pipeline with, by name, with their declared types.

    Attributes:
        by_value: used by value, and artifacts to kfp 2.
        as_file: used as files, and values to kfp 2.
        both: used in both ways.
    """

    by_value: dict[str, Any]
    as_file: dict[str, Any]
    both: dict[str, Any]


def _misused(spec: dict[str, Any]) -> _Misused:
    command_line = _command_line(spec)
    by_value = _uses(command_line, "inputValue")
    as_file = _uses(command_line, "inputPath") | _uses(command_line, "inputUri")
    declared = {each["name"]: each.get("type") for each in spec.get("inputs") or []}
    return _Misused(
        {each: type_ for each, type_ in declared.items() if each in by_value - as_file and not _is_value(type_)},
        {each: type_ for each, type_ in declared.items() if each in as_file - by_value and _is_value(type_)},
        {each: type_ for each, type_ in declared.items() if each in as_file & by_value},
    )


def _warn_of_uses(spec: dict[str, Any], location: str) -> None:
    found = _misused(spec)
    for inputs, use in [
        (found.by_value, "by value, and no type of a value. Load it with retype=True to use String."),
        (
            found.as_file,
            "as a file, and no type of an artifact. Load it with retype=True to use Artifact, or write inputValue.",
        ),
        (found.both, "by value and as a file. Give the component two inputs."),
    ]:
        if inputs:
            _log.warning(
                "%s: kfp 2 will compile no pipeline with this component: %s used %s", location, _listed(inputs), use
            )


def _is_value(type_: Any) -> bool:
    # As kfp's loader has it: of a type in JSON (`GCSPath: {...}`) it looks at nothing.
    return isinstance(type_, str) and type_utils.is_parameter_type(
        type_utils.get_canonical_name_for_outer_generic(type_)
    )


def _retype(spec: dict[str, Any]) -> tuple[Retyped, ...]:
    found = _misused(spec)
    if found.both:
        raise PipeyardError(
            f"the inputs {', '.join(map(repr, sorted(found.both)))} are used by value and as files, which no type of "
            "kfp 2 allows. Give the component two inputs."
        )
    retyped = []
    for inputs, now in [(found.by_value, "String"), (found.as_file, "Artifact")]:
        for each in spec.get("inputs") or []:
            if each["name"] in inputs:
                retyped.append(Retyped(each["name"], each.get("type"), now))
                each["type"] = now
                if now == "Artifact" and each.pop("default", None) is not None:
                    each.pop("optional", None)  # kfp 2 drops an artifact's default without a word: one must be given
    return tuple(retyped)


def _rewrite(spec: dict[str, Any]) -> tuple[str, ...]:
    container = spec["implementation"]["container"]
    changed = []
    for part in ["command", "args"]:
        if part in container:
            written = _one_element_conditions(container[part])
            if written != container[part]:
                container[part] = written
                changed.append(f"{part}: a condition inside a concat has one element, one outside of it has lists")
    return tuple(changed)


def _one_element_conditions(node: Any, inside_concat: bool = False) -> Any:
    if isinstance(node, list):
        return [_one_element_conditions(each, inside_concat) for each in node]
    if not isinstance(node, dict):
        return node
    if "concat" in node:
        return {"concat": _one_element_conditions(node["concat"], True)}
    if "if" not in node:
        return node
    condition = {
        key: _one_element_conditions(value, inside_concat) if key in {"then", "else"} else value
        for key, value in node["if"].items()
    }
    alone = not inside_concat and isinstance(condition.get("else"), dict)
    for key in ["then", "else"]:
        if inside_concat and isinstance(condition.get(key), list):
            condition[key] = _as_one(condition[key])
        elif alone and not isinstance(condition[key], list):
            condition[key] = [condition[key]]
    return {"if": condition}


def _as_one(elements: list[Any]) -> Any:
    if all(isinstance(each, str) and "{{$" not in each for each in elements):
        return "".join(elements)
    return elements[0] if len(elements) == 1 else {"concat": elements}


def _listed(types: dict[str, Any]) -> str:
    return ", ".join(f"{name!r} ({'untyped' if type_ is None else type_})" for name, type_ in types.items())
