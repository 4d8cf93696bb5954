"""Every value in force in an environment, and where it came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from pipeyard.settings.model import Environment
from pipeyard.settings.problems import dotted
from pipeyard.settings.yaml_lines import Key

if TYPE_CHECKING:
    from pipeyard.ir.protobuf import pb

BUILT_IN = "built in"
PIPELINE = "pipeline.py"


@dataclass(frozen=True)
class SettingValue:
    """A value in force.

    Attributes:
        key: as one writes it, below the environment.
        value: what JSON has; lengths of time are in seconds.
        where: `settings.yaml:LINE`; '': it stands in no line of it.
        layer: what set it: `built in`, `pipeline.py` (a default of the pipeline's own), `defaults`, the environment's
            name; the latter two with `, pipeline NAME` where it is set for one pipeline.
    """

    key: str
    value: Any
    where: str
    layer: str

    @property
    def source(self) -> str:
        """Where it came from, as one sees it."""
        return f"{self.where} ({self.layer})" if self.where else self.layer

    @property
    def is_empty(self) -> bool:
        """Whether nobody set it, and it is nothing: '', null, no items."""
        return self.layer == BUILT_IN and self.value in ("", None, [], {})


def provenance(
    environment: Environment, pipeline: str = "", inputs: "pb.ComponentInputsSpec | None" = None
) -> list[SettingValue]:
    """Returns each value in force, and where it came from.

    Args:
        pipeline: only what is in force for it, `parameters` being those that its runs get.
        inputs: of the compiled pipeline, for its own defaults, too.
    """
    if not pipeline:
        return list(_values(environment, environment, ()))
    common = [each for each in _fields(environment, environment, ()) if each.key not in ("experiment", "deadline")]
    own = environment.of(pipeline)
    key: Key = ("pipelines", pipeline)
    experiment = (*key, "experiment") if own.experiment else ("experiment",)
    deadline = ("deadline",) if own.deadline is None else (*key, "deadline")
    found = [
        *common,
        _named("experiment", environment, environment.experiment_of(pipeline), experiment),
        _named("deadline", environment, environment.deadline_of(pipeline), deadline),
    ]
    for name, count in environment.retries_of(pipeline, lambda _: True).items():
        found.append(_named(f"retries.{name}", environment, count, retries_key(environment, pipeline, name)))
    found += _parameters(environment, pipeline, inputs)
    if own.schedule:
        found += _under("schedule", _values(environment, own.schedule, (*key, "schedule")), (*key, "schedule"))
    for index, each in enumerate(own.triggers):
        place = (*key, "triggers", index)
        found += _under(f"triggers[{index}]", _values(environment, each, place), place)
    return found


def retries_key(environment: Environment, pipeline: str, name: str) -> Key:
    """Returns the key under which the count of a step that is in force for a pipeline is set."""
    own = name in environment.of(pipeline).retries
    key: Key = (*(("pipelines", pipeline) if own else ()), "retries")
    return (*key, name) if environment.origin(*key, name) else key


def _parameters(
    environment: Environment, pipeline: str, inputs: "pb.ComponentInputsSpec | None"
) -> Iterator[SettingValue]:
    own = environment.of(pipeline).parameters
    declared = set(inputs.parameters) if inputs is not None else set(environment.parameters)
    in_force = environment.parameters_of(pipeline, declared)
    for name, value in in_force.items():
        place = ("pipelines", pipeline, "parameters", name) if name in own else ("parameters", name)
        yield _named(f"parameters.{name}", environment, value, place)
    if inputs is None:
        return
    from pipeyard.ir import values

    for name, definition in sorted(inputs.parameters.items()):
        if name not in in_force and definition.HasField("default_value"):
            yield SettingValue(f"parameters.{name}", values.from_proto(definition.default_value), "", PIPELINE)


def _values(environment: Environment, part: BaseModel, key: Key) -> Iterator[SettingValue]:
    """Yields all values of a part, at any depth; the value of a parameter is one."""
    yield from _fields(environment, part, key)
    for name, each in getattr(part, "parameters", {}).items():
        yield _value(environment, each, (*key, "parameters", name))
    for name, each in getattr(part, "retries", {}).items():
        place = (*key, "retries", name)
        # A number for all steps stands in the place of the mapping.
        yield _named(dotted(place), environment, each, place if environment.origin(*place) else place[:-1])
    for name, each in getattr(part, "pipelines", {}).items():
        yield from _values(environment, each, (*key, "pipelines", name))
    for index, each in enumerate(getattr(part, "triggers", [])):
        yield from _values(environment, each, (*key, "triggers", index))


def _fields(environment: Environment, part: BaseModel, key: Key) -> Iterator[SettingValue]:
    """Yields the values of a part's fields, but for those that are named by the file."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if name in ("parameters", "pipelines", "retries", "triggers") or (not key and name == "name"):
            continue
        if isinstance(value, BaseModel):
            yield from _fields(environment, value, (*key, name))
        else:
            yield _value(environment, value, (*key, name))


def _value(environment: Environment, value: Any, key: Key) -> SettingValue:
    return _named(dotted(key), environment, value, key)


def _named(name: str, environment: Environment, value: Any, key: Key) -> SettingValue:
    origin = environment.origin(*key)
    if origin is None:
        return SettingValue(name, value, "", BUILT_IN)
    layer = "defaults" if origin.key[0] == "defaults" else environment.name
    if key[0] == "pipelines":
        layer += f", pipeline {key[1]}"
    return SettingValue(name, value, str(origin), layer)


def _under(name: str, found: Iterator[SettingValue], key: Key) -> Iterator[SettingValue]:
    prefix = dotted(key)
    for each in found:
        yield SettingValue(name + each.key.removeprefix(prefix), each.value, each.where, each.layer)
