"""Which triggers of an environment an event is for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.runs.stored_runs import same_pipeline
from pipeyard.settings import Environment
from pipeyard.system.conditional_store import VersionedObject
from pipeyard.triggers import state
from pipeyard.triggers.domain import Event, EventKind, Policy
from pipeyard.triggers.trigger_kinds import KINDS, Sensor

# A schedule's start is decided on as any other; this is what it is called among triggers.
SCHEDULE = "schedule"
FOLDER = "triggers"


@dataclass(frozen=True)
class Route:
    """A trigger of a pipeline. `trigger` is None for the pipeline's schedule."""

    pipeline: str
    name: str
    kind: EventKind
    trigger: Any
    policy: Policy

    @property
    def sensor(self) -> Sensor | None:
        """What looks for events; None: they are delivered."""
        kind = KINDS[self.trigger.kind] if self.trigger else None
        return kind if isinstance(kind, Sensor) else None

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.name}"


def all_of(environment: Environment) -> list[Route]:
    """Returns all triggers of an environment, schedules included."""
    return list(_all_of(environment))


def wanting(environment: Environment, event: Event) -> list[Route]:
    """Returns the triggers that an event is for; that time passed is for all."""
    return [route for route in all_of(environment) if _wants(environment, route, event)]


def named(environment: Environment, name: str, kinds: tuple[EventKind, ...] = tuple(EventKind)) -> list[Route]:
    """Returns the triggers of some kinds that are called so: `PIPELINE/TRIGGER`, or `PIPELINE` for all of its; '': all.

    Raises:
        PipeyardError: there are none.
    """
    known = [route for route in all_of(environment) if route.kind in kinds]
    found = [route for route in known if name in ("", str(route), route.pipeline)]
    if not found:
        what = f"trigger {name!r}" if name else "trigger"
        kind = f" of kind {' or '.join(kinds)}" if len(kinds) < len(EventKind) else ""
        where = environment.where("pipelines")
        hint = near_misses(name, map(str, known)) if known else f"Add one under a pipeline's `triggers:` ({where})."
        raise PipeyardError(f"The environment {environment.name!r} has no {what}{kind}. {hint}")
    return found


def store(environment: Environment, route: Route, place: str = "") -> VersionedObject:
    """Returns where a trigger's state is kept: beside local runs, or in the environment's bucket.

    Args:
        place: instead of these: a folder, or gs://BUCKET/PREFIX.
    """
    hidden = f"{environment.pipeline_root.rstrip('/')}/.{FOLDER}"
    place = place or (f"{environment.bucket.rstrip('/')}/{FOLDER}" if environment.on_server else hidden)
    return state.store_at(place, f"{environment.name}/{route.pipeline}/{route.name}.json")


def _all_of(environment: Environment) -> Iterator[Route]:
    for pipeline in environment.pipelines:
        schedule = environment.schedule_of(pipeline)
        if schedule is not None:
            policy = Policy(name=SCHEDULE, scope=f"{environment.name}/{pipeline}")
            yield Route(pipeline, SCHEDULE, EventKind.SCHEDULE, None, policy)
        for trigger in environment.triggers_of(pipeline):
            policy = _policy(f"{environment.name}/{pipeline}", trigger)
            yield Route(pipeline, trigger.name, KINDS[trigger.kind].kind, trigger, policy)


def _policy(scope: str, trigger: Any) -> Policy:
    return Policy(
        name=trigger.name,
        scope=scope,
        cool_down=timedelta(seconds=trigger.cool_down),
        daily_cap=trigger.daily_cap or 0,
        **KINDS[trigger.kind].policy(trigger),
    )


def _wants(environment: Environment, route: Route, event: Event) -> bool:
    if event.kind == EventKind.TICK:
        return True
    if route.trigger is not None:
        return KINDS[route.trigger.kind].wants(route.trigger, environment, event)
    return event.kind == EventKind.SCHEDULE and same_pipeline(route.pipeline, event.attributes.get("pipeline", ""))
