"""Tells an environment's triggers what happened: each that wants an event decides on it, and what is due is started."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeyard.errors import PipeyardError
from pipeyard.triggers import firing, routing, state
from pipeyard.triggers.decision import asked, decide
from pipeyard.triggers.domain import Event, EventKind
from pipeyard.triggers.routing import Route
from pipeyard.triggers.starting import RunStarter

if TYPE_CHECKING:
    from pipeyard.settings import Environment


@dataclass(frozen=True)
class Told:
    """What one trigger made of an event.

    Attributes:
        code: of the decision; `within` where nothing happened, `failed` where it couldn't be looked or decided.
        started: keys to ids of runs.
        problems: keys, or '', to why something couldn't be done.
        again: the sender must deliver the event again.
    """

    trigger: str
    code: str
    reason: str
    key: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    started: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    again: bool = False
    measured: tuple[str, ...] = ()


@dataclass(frozen=True)
class Triggers:
    """The triggers of an environment.

    Attributes:
        environment_of: gives an environment by name: runs of another may be waited for.
        launch: starts runs.
        place: of states; '': see `routing.store`.
        dry: decide, but keep and start nothing.
    """

    environment: "Environment"
    environment_of: Callable[[str], "Environment"]
    launch: RunStarter
    place: str = ""
    dry: bool = False
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def tell(self, event: Event) -> list[Told]:
        """Tells every trigger that wants it. That time passed also makes those look that nobody tells."""
        routes = routing.wanting(self.environment, event)
        if event.kind == EventKind.TICK:
            return self.look(routes)
        return _each(routes, lambda route: self._decide(route, event))

    def look(self, routes: Iterable[Route]) -> list[Told]:
        """Makes triggers look whether something happened, and start what they hold."""
        return _each(routes, self._look)

    def _look(self, route: Route) -> Told:
        now = self.clock()
        tick = Event(kind=EventKind.TICK, time=now)
        sensor = route.sensor
        if sensor is None:
            return self._decide(route, tick)
        found = sensor.look(route.trigger, self.environment, route.pipeline, self.environment_of, now)
        measured = tuple(map(str, found.measured))
        if found.event:
            return self._decide(route, found.event, measured)
        told = self._decide(route, tick, measured)  # for what is held
        return told if told.started or told.problems else Told(str(route), "within", found.reason, measured=measured)

    def _decide(self, route: Route, event: Event, measured: tuple[str, ...] = ()) -> Told:
        store = routing.store(self.environment, route, self.place)
        if self.dry:
            decision = decide(state.recall(store, asked(event)), event, route.policy, self.clock())
            outcome = firing.EventOutcome(decision, again=decision.again)
        else:
            outcome = firing.handle(
                store,
                event,
                route.policy,
                lambda parameters, key: self.launch(self.environment, route.pipeline, parameters, key),
                self.clock,
            )
        decision = outcome.decision
        return Told(
            str(route),
            decision.code,
            decision.reason,
            decision.key,
            decision.parameters,
            outcome.started,
            outcome.problems,
            outcome.again,
            measured,
        )


def _each(routes: Iterable[Route], ask: Callable[[Route], Told]) -> list[Told]:
    """Asks each trigger. If one fails, the event must be delivered again, which is idempotent for the others."""
    told = []
    for route in routes:
        try:
            told.append(ask(route))
        except PipeyardError as error:
            told.append(Told(str(route), "failed", str(error), problems={"": str(error)}, again=True))
    return told
