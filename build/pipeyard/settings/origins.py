"""Every value in force in an environment, and where it came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from pipeyard.settings.model import Environment
from pipeyard.settings.problems import dotted
from pipeyard.settings.reading import Key


@dataclass(frozen=True)
class Value:
    """A value in force.

    Attributes:
        key: as one writes it, below the environment.
        where: `settings.yaml:LINE`; '': it stands nowhere.
        layer: what set it: `built in`, `defaults`, the environment's name, each with `, pipeline NAME` where it is
            set for one pipeline.
    """

    key: str
    value: Any
    where: str
    layer: str


def provenance(environment: Environment) -> list[Value]:
    """Returns each value in force, and where it came from. Values are what JSON has."""
    return list(_values(environment, environment, ()))


def _values(environment: Environment, part: BaseModel, key: Key) -> Iterator[Value]:
    for name in type(part).model_fields:
        value = getattr(part, name)
        inner = (*key, name)
        if inner == ("name",):
            continue
        if isinstance(value, BaseModel):
            yield from _values(environment, value, inner)
        elif inner == ("pipelines",):
            for pipeline, each in value.items():
                yield from _values(environment, each, (*inner, pipeline))
        elif inner[-1] == "parameters" and len(inner) in (1, 3):
            for parameter, each in value.items():
                yield _value(environment, each, (*inner, parameter))
        elif inner[-1] == "triggers":
            for index, each in enumerate(value):
                yield from _values(environment, each, (*inner, index))
        else:
            yield _value(environment, value, inner)


def _value(environment: Environment, value: Any, key: Key) -> Value:
    origin = environment.origin(*key)
    if origin is None:
        return Value(dotted(key), value, "", "built in")
    layer = "defaults" if origin.key[0] == "defaults" else environment.name
    if "pipelines" in origin.key[1:3]:
        layer += f", pipeline {key[1]}"
    return Value(dotted(key), value, str(origin), layer)
