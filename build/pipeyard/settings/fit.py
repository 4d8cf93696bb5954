"""Whether an environment's parameters and retries are what a compiled pipeline takes, before anything is contacted."""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.ir import Pipeline, derivation, values
from pipeyard.ir.protobuf import pb
from pipeyard.settings import secret_references, secrets
from pipeyard.settings.model import Environment, EventTrigger

_WORDS = {
    pb.ParameterType.NUMBER_INTEGER: "a whole number, such as 3",
    pb.ParameterType.NUMBER_DOUBLE: "a number, such as 0.5",
    pb.ParameterType.BOOLEAN: "true or false",
    pb.ParameterType.STRING: "text; put it in quotes",
    pb.ParameterType.LIST: "a list, such as [a, b]",
    pb.ParameterType.STRUCT: "a mapping, such as {AUC: 0.7}",
}
GIVEN = "--param"


def check(
    environment: Environment,
    pipeline: str,
    inputs: pb.ComponentInputsSpec,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the parameters that are set for a pipeline, with their declared types. Defaults of its own aren't in it.

    Args:
        pipeline: name of its folder.
        inputs: what the compiled pipeline declares, `ir.parse(text).spec.root.input_definitions`.
        given: over those of the environment, as from the command line or a trigger.

    Raises:
        PipeyardError: names every parameter that is missing, unknown or of the wrong type, each with its line.
    """
    declared = inputs.parameters
    given = dict(given or {})
    parameters = environment.parameters_of(pipeline, declared) | given
    problems = list(_missing(environment, pipeline, declared, parameters))
    typed: dict[str, Any] = {}

    def place(name: str) -> str:
        return f"{GIVEN} {name}" if name in given else where_of(environment, pipeline, name)

    secret = secrets.problems(
        {**_defaults(declared), **parameters}, lambda name: f"{place(name)}: the parameter {name!r}"
    )
    problems += secret.values()
    problems += _references(environment, {**_defaults(declared), **parameters}, place)
    for name, value in parameters.items():
        where = place(name)
        if name in secret:
            continue
        if name not in declared:
            problems.append(f"{where}: the pipeline has no parameter {name!r}. {near_misses(name, declared)}")
            continue
        kind = declared[name].parameter_type
        if value is None and declared[name].is_optional:
            continue  # as if it weren't set
        try:
            if kind == pb.ParameterType.STRING and not isinstance(value, str) and name not in given:
                raise PipeyardError("1.10 would become 1.1")
            typed[name] = values.coerce(value, kind, name)
        except PipeyardError:
            wanted = _WORDS.get(kind, "what the pipeline takes")
            problems.append(f"{where}: the parameter {name!r} is {_kind(value)}. Write {wanted}.")
    problems += _unstartable(environment, pipeline, declared)
    if problems:
        raise PipeyardError(
            f"Parameters of {pipeline} in the environment {environment.name!r} don't fit the pipeline:\n"
            + "\n".join(problems)
        )
    return typed


def retries(environment: Environment, pipeline: str, text: str) -> dict[str, int]:
    """Returns how often the steps of a pipeline are retried, as `derivation.derive` takes it.

    Args:
        pipeline: name of its folder.
        text: the compiled pipeline.

    Raises:
        PipeyardError: names every key that names no step, each with its line.
    """
    if not (environment.retries or environment.of(pipeline).retries):
        return {}
    steps = derivation.steps(text)
    meant = environment.retries_of(pipeline, lambda key: any(step.is_named(key) for step in steps))
    wrong = [
        f"{where_retries(environment, pipeline, key)}: {problem}" for key, problem in derivation.problems(steps, meant)
    ]
    if wrong:
        raise PipeyardError(
            f"Retries of {pipeline} in the environment {environment.name!r} don't fit the pipeline:\n"
            + "\n".join(wrong)
        )
    return meant


def unused(environment: Environment, compiled: Mapping[str, Pipeline]) -> list[str]:
    """Returns what is wrong with parameters and retries for every pipeline that no pipeline has.

    Args:
        compiled: by name, all that the environment is for.
    """
    known = {name for each in compiled.values() for name in each.spec.root.input_definitions.parameters}
    told = [
        f"{environment.where('parameters', name)}: no pipeline has a parameter {name!r}. {near_misses(name, known)}"
        for name in environment.parameters
        if name not in known
    ]
    keys = [key for key in environment.retries if key != derivation.ALL]
    steps = [step for each in compiled.values() for step in derivation.steps(each.text)] if keys else []
    names = {step.path.rpartition("/")[2] for step in steps if step.kind == "step"}
    for key in keys:
        if not any(step.is_named(key) for step in steps):
            close = near_misses(key.rpartition("/")[2], names)
            told.append(f"{environment.where('retries', key)}: no pipeline has a step {key!r}. {close}")
    return told


def where_retries(environment: Environment, pipeline: str, key: str) -> str:
    """Returns `settings.yaml:LINE` of the retries of a step that are in force for a pipeline."""
    own = key in environment.of(pipeline).retries
    return environment.where(*(("pipelines", pipeline) if own else ()), "retries", key)


def where_of(environment: Environment, pipeline: str, name: str) -> str:
    """Returns `settings.yaml:LINE` of a parameter that is in force for a pipeline, or of where it would be set."""
    if name in environment.of(pipeline).parameters or name not in environment.parameters:
        return environment.where("pipelines", pipeline, "parameters", name)
    return environment.where("parameters", name)


def _defaults(declared: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: values.from_proto(each.default_value) for name, each in declared.items() if each.HasField("default_value")
    }


def _references(environment: Environment, parameters: Mapping[str, Any], place: Callable[[str], str]) -> Iterator[str]:
    """Yields references to secrets that can't be resolved where the environment's steps run."""
    if not environment.on_server:
        yield from secret_references.problems(parameters, lambda name: f"{place(name)}: the parameter {name!r}")
        return
    remedy = {
        "kfp": "Mount a Kubernetes Secret in the pipeline (kubernetes.use_secret_as_env of kfp-kubernetes)",
        "vertex": "Keep it in Secret Manager",
    }.get(environment.target, "Keep it where the step runs")
    for name, value in parameters.items():
        for secret in secret_references.names(value):
            yield (
                f"{place(name)}: the parameter {name!r} refers to ${{secret:{secret}}}, which is resolved on this "
                f"machine alone, not by target {environment.target}. {remedy}, and let the step read it there."
            )


def _unstartable(environment: Environment, pipeline: str, declared: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is wrong with the parameters that triggers set."""
    for index, trigger in enumerate(environment.triggers_of(pipeline)):
        if not isinstance(trigger, EventTrigger):
            continue
        where = environment.where("pipelines", pipeline, "triggers", index, "parameter")
        if trigger.parameter not in declared:
            hint = near_misses(trigger.parameter, declared)
            yield f"{where}: the trigger {trigger.name!r} sets {trigger.parameter!r}, which the pipeline hasn't. {hint}"
        elif declared[trigger.parameter].parameter_type != pb.ParameterType.STRING:
            texts = [name for name, each in declared.items() if each.parameter_type == pb.ParameterType.STRING]
            yield (
                f"{where}: the trigger {trigger.name!r} sets {trigger.parameter!r} to a URI, and that isn't text. "
                f"Name a parameter that is: {', '.join(sorted(texts)) or 'the pipeline has none'}."
            )


def _missing(
    environment: Environment, pipeline: str, declared: Mapping[str, Any], parameters: Mapping[str, Any]
) -> Iterator[str]:
    for name, definition in declared.items():
        if name in parameters or definition.is_optional or definition.HasField("default_value"):
            continue
        # A typo among the parameters for every pipeline is none that this pipeline has: so nobody would tell.
        close = difflib.get_close_matches(name, set(environment.parameters) - set(declared), n=1)
        hint = f" Is {close[0]!r} in {environment.where('parameters', close[0])} meant for it?" if close else ""
        yield (
            f"{where_of(environment, pipeline, name)}: the parameter {name!r} has no value, and no default. "
            f"Set it under environments.{environment.name}.pipelines.{pipeline}.parameters.{hint}"
        )


def _kind(value: Any) -> str:
    """Returns what a value is; the value itself where it is short and no text, which may be anything."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return f"the {'truth value' if isinstance(value, bool) else 'number'} {json.dumps(value)}"
    kinds: dict[type, str] = {str: "text", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), "unknown")
