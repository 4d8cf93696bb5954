"""Triggers on another run's completion: there is what they name, and runs don't start each other for ever."""

from collections.abc import Collection, Iterator, Mapping

from pipeyard.errors import near_misses
from pipeyard.settings.model import CompletionTrigger, Environment
from pipeyard.settings.yaml_lines import Key

EnvironmentPipeline = tuple[str, str]


def problems(
    environments: Mapping[str, Environment], names: Collection[str], pipelines: Collection[str]
) -> Iterator[tuple[str, Key, str, str]]:
    """Yields environment, key in it, what is wrong, and the fix.

    Args:
        environments: those that fit.
        names: of all environments that the file has.
        pipelines: that the project has; none: it isn't known.
    """
    waits: dict[EnvironmentPipeline, dict[EnvironmentPipeline, Key]] = {}
    for environment, pipeline, index, trigger in _all(environments):
        key: Key = ("pipelines", pipeline, "triggers", index)
        if trigger.environment and trigger.environment not in names:
            fix = near_misses(trigger.environment, names)
            yield environment, (*key, "environment"), f"there is no environment {trigger.environment!r}", fix
        if pipelines and trigger.pipeline not in pipelines:
            fix = near_misses(trigger.pipeline, pipelines)
            yield environment, (*key, "pipeline"), f"there is no pipeline {trigger.pipeline!r}", fix
        for_ = (trigger.environment or environment, trigger.pipeline)
        waits.setdefault((environment, pipeline), {})[for_] = key
    for place, others in waits.items():
        for other, key in others.items():
            way = _way(waits, other, place, frozenset())
            if way:
                text = " starts ".join(f"{name}/{pipeline}" for name, pipeline in [*reversed(way), place])
                yield place[0], key, f"runs would start each other for ever: {text}", "Take one of these triggers away."


def _all(environments: Mapping[str, Environment]) -> Iterator[tuple[str, str, int, CompletionTrigger]]:
    for name, environment in environments.items():
        for pipeline, each in environment.pipelines.items():
            for index, trigger in enumerate(each.triggers):
                if isinstance(trigger, CompletionTrigger):
                    yield name, pipeline, index, trigger


def _way(
    waits: Mapping[EnvironmentPipeline, Mapping[EnvironmentPipeline, Key]],
    start: EnvironmentPipeline,
    end: EnvironmentPipeline,
    seen: frozenset[EnvironmentPipeline],
) -> list[EnvironmentPipeline]:
    """Returns places from `start` to `end`, each of which waits for the next; none: there is no such way."""
    if start == end:
        return [start]
    for other in waits.get(start, {}):
        if other not in seen:
            way = _way(waits, other, end, seen | {start})
            if way:
                return [start, *way]
    return []
