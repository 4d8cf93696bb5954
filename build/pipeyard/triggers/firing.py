"""From an event to a run: decides, records the start, starts the run, records that it was started.

A start is recorded before it is made, so a process that dies in between leaves a record which the next one completes;
and a run is named by the decision, so that starting it is idempotent. Nothing is lost, and nothing is started twice.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.system.conditional_store import VersionedObject
from pipeyard.triggers import state
from pipeyard.triggers.decision import asked, decide
from pipeyard.triggers.domain import Code, Decision, Event, Policy, RunStart, TriggerState

# Parameters and key to the id of the run of that key, which is started unless it is there. It takes less than HOLD.
Starter = Callable[[Mapping[str, Any], str], str]
# What is being started is left alone for so long. A Cloud Function's request ends within it.
HOLD = timedelta(minutes=10)
# Starts that were left over, and that one event takes on besides its own.
MOST_TAKEN = 10
# What can't be started in this time never is: an event that is delivered so late would start a run of its own.
GIVE_UP = timedelta(days=1)


@dataclass(frozen=True)
class EventOutcome:
    """What became of an event.

    Attributes:
        started: key to id of the runs that were started, those that were left to start included.
        problems: key to why a run wasn't started. It is tried again with the next event.
        again: the sender must deliver the event again.
    """

    decision: Decision
    started: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    again: bool = False


def handle(
    store: VersionedObject,
    event: Event,
    policy: Policy,
    start: Starter,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    wait: Callable[[float], None] = sleep,
) -> EventOutcome:
    """Decides on an event, and makes the starts that are due.

    Raises:
        PipeyardError: the state can't be read or written. Nothing is lost if the event is delivered again.
    """
    holder = uuid.uuid4().hex

    def change(known: TriggerState) -> tuple[TriggerState, tuple[Decision, list[RunStart], dict[str, str], bool]]:
        now = clock()
        decision = decide(known, event, policy, now)
        after, mine, given_up = _hold(decision.state, holder, now, decision.key)
        others = any(each.open and each.holder != holder for each in after.starts)
        return after, (decision, mine, given_up, others)

    decision, mine, given_up, others = state.update(store, change, wait, asked(event), policy.kept)
    started, problems = _start(store, mine, start, wait)
    # A repetition may be of what is being started: if that fails, nobody would tell it again.
    again = decision.again or bool(problems) or (others and decision.code == Code.DUPLICATE)
    return EventOutcome(decision, started, {**given_up, **problems}, again)


def _hold(
    known: TriggerState, holder: str, now: datetime, key: str
) -> tuple[TriggerState, list[RunStart], dict[str, str]]:
    """Takes the starts that no process holds; those that are too old are given up.

    Args:
        key: of the start that was decided on just now: it goes first. Of others no more are taken than `MOST_TAKEN`.
    """
    starts: list[RunStart] = []
    mine: list[RunStart] = []
    given_up: dict[str, str] = {}
    for each in known.starts:
        kept = each
        if each.open and (each.held_until is None or each.held_until <= now):
            if now - each.decided_at > GIVE_UP:
                kept = each.model_copy(update={"given_up": True})
                given_up[each.key] = f"given up after {each.tries} tries: {each.problem or 'whoever tried it died'}"
            elif each.key == key or len(mine) < MOST_TAKEN:
                kept = each.model_copy(update={"holder": holder, "held_until": now + HOLD, "tries": each.tries + 1})
                mine.append(kept)
        starts.append(kept)
    return known.model_copy(update={"starts": starts}), mine, given_up


def _start(
    store: VersionedObject,
    mine: Sequence[RunStart],
    start: Starter,
    wait: Callable[[float], None],
) -> tuple[dict[str, str], dict[str, str]]:
    started, problems = {}, {}
    for each in mine:
        try:
            started[each.key] = start(each.parameters, each.key)
        except PipeyardError as error:
            problems[each.key] = str(error)
    if mine:
        state.update(store, lambda known: (_settled(known, started, problems), None), wait)
    return started, problems


def _settled(known: TriggerState, started: Mapping[str, str], problems: Mapping[str, str]) -> TriggerState:
    def after(each: RunStart) -> RunStart:
        if each.key in started:
            return each.model_copy(update={"run": started[each.key], "held_until": None, "problem": ""})
        if each.key in problems and each.open:
            return each.model_copy(update={"held_until": None, "problem": problems[each.key]})
        return each

    return known.model_copy(update={"starts": [after(each) for each in known.starts]})
