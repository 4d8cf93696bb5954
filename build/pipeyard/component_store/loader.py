"""Makes kfp components of specifications, kfp 1's among them that kfp 2 would refuse."""

import logging
from typing import Any

import yaml
from kfp import components as kfp_components
from kfp.dsl.types import type_utils

from pipeyard.component_store import session
from pipeyard.component_store.components import LoadedComponent, Retyped
from pipeyard.errors import PipeyardError
from pipeyard.system import yamls

_log = logging.getLogger(__name__)


def load(text: str, location: str, digest: str, *, retype: bool) -> LoadedComponent:
    """Makes a component of a specification, kfp 1's or kfp 2's.

    kfp 2 refuses a condition with several elements inside a `concat`, which kfp 1 takes: it is written as one element.

    Args:
        text: the specification.
        location: where it is from, for messages.
        digest: its digest.
        retype: give inputs that are artifacts by type, but used by value, the type String: kfp 2 compiles no pipeline
            with such a component. That changes the interface, so it is done only when asked for, and logged.

    Raises:
        PipeyardError: kfp can't load it, or an input is used by value and as a file.
    """
    try:
        _refuse_what_kfp_is_unclear_of(text)
        spec = _kfp1_spec(text)
        retyped: tuple[Retyped, ...] = ()
        rewritten: tuple[str, ...] = ()
        if spec:
            by_value = _artifacts_by_value(spec)
            if retype:
                retyped = _retype(spec, by_value)
            rewritten = _rewrite(spec)
            if by_value and not retype:
                _log.warning(
                    "%s: kfp 2 will compile no pipeline with this component: %s used by value, and no type of a value. "
                    "Load it with retype=True to use String.",
                    location,
                    _listed(by_value),
                )
            if retyped:
                _log.warning("%s: now String: %s.", location, _listed({each.input: each.was for each in retyped}))
        changed = retyped or rewritten
        loaded = kfp_components.load_component_from_text(yaml.safe_dump(spec, sort_keys=False) if changed else text)
    except PipeyardError as error:
        raise PipeyardError(f"{location}: {error}") from error
    except Exception as error:  # kfp raises many kinds, YAML's among them
        raise PipeyardError(f"{location} isn't a component that kfp can load: {error}") from error
    made = LoadedComponent(loaded, location, digest, retyped, rewritten, spec)
    session.note(made)
    return made


def _refuse_what_kfp_is_unclear_of(text: str) -> None:
    """Refuses what kfp takes wrongly, or refuses in words that don't say what to write.

    Raises:
        PipeyardError: a key stands twice, it is no mapping, a graph, or a name isn't text.
    """
    documents = yamls.load_all(text)  # first, as it checks bounds
    for root in yaml.compose_all(text, Loader=yaml.SafeLoader):
        _refuse_keys_that_stand_twice(root)
    if not documents or not isinstance(documents[0], dict):
        raise PipeyardError("it isn't a component: a mapping with `name` and `implementation` is expected at the top.")
    spec = documents[0]
    if isinstance(spec.get("implementation"), dict) and "graph" in spec["implementation"]:
        raise PipeyardError("graph components don't exist in kfp 2. Write its tasks as a function with @dsl.pipeline.")
    for side in ("inputs", "outputs"):
        for each in spec.get(side) or []:
            name = each.get("name") if isinstance(each, dict) else None
            if name is not None and not isinstance(name, str):
                raise PipeyardError(
                    f"the name of one of its {side} is {name!r}, as YAML reads what isn't in quotes. "
                    "Put the name in quotes there, and where it is used: 'off', '1'."
                )


def _refuse_keys_that_stand_twice(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise PipeyardError(
                        f"the key {key.value!r} stands twice, again in line {line}. Remove one of them."
                    )
                seen.add(key.value)
            _refuse_keys_that_stand_twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_keys_that_stand_twice(item)


def _kfp1_spec(text: str) -> dict[str, Any] | None:
    """Returns kfp 1's kind of specification of a container, or None if it is another (kfp 2's has two documents)."""
    documents = yamls.load_all(text)
    spec = documents[0] if len(documents) == 1 else None
    container = spec.get("implementation", {}).get("container") if isinstance(spec, dict) else None
    return spec if isinstance(container, dict) else None


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


def _artifacts_by_value(spec: dict[str, Any]) -> dict[str, Any]:
    """Returns the declared types of the inputs that are used by value, though kfp 2 takes them for artifacts."""
    by_value = _uses(_command_line(spec), "inputValue")
    declared = {each["name"]: each.get("type") for each in spec.get("inputs") or []}
    return {name: type_ for name, type_ in declared.items() if name in by_value and not _is_value(type_)}


def _is_value(type_: Any) -> bool:
    # As kfp's loader has it: of a type in JSON (`GCSPath: {...}`) it looks at nothing.
    return isinstance(type_, str) and type_utils.is_parameter_type(
        type_utils.get_canonical_name_for_outer_generic(type_)
    )


def _retype(spec: dict[str, Any], by_value: dict[str, Any]) -> tuple[Retyped, ...]:
    both = by_value.keys() & _uses(_command_line(spec), "inputPath")
    if both:
        raise PipeyardError(
            f"the inputs {', '.join(map(repr, sorted(both)))} are used by value and as files, which no type of kfp 2 "
            "allows. Give the component two inputs."
        )
    for each in spec.get("inputs") or []:
        if each["name"] in by_value:
            each["type"] = "String"
    return tuple(Retyped(name, type_, "String") for name, type_ in by_value.items())


def _rewrite(spec: dict[str, Any]) -> tuple[str, ...]:
    container = spec["implementation"]["container"]
    changed = []
    for part in ["command", "args"]:
        if part in container:
            written = _one_element_conditions(container[part])
            if written != container[part]:
                container[part] = written
                changed.append(f"{part}: a condition inside a concat has one element instead of several")
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
    for key in ["then", "else"]:
        if inside_concat and isinstance(condition.get(key), list):
            condition[key] = _as_one(condition[key])
    return {"if": condition}


def _as_one(elements: list[Any]) -> Any:
    if all(isinstance(each, str) and "{{$" not in each for each in elements):
        return "".join(elements)
    return elements[0] if len(elements) == 1 else {"concat": elements}


def _listed(types: dict[str, Any]) -> str:
    return ", ".join(f"{name!r} ({'untyped' if type_ is None else type_})" for name, type_ in types.items())
