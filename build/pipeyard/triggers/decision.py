"""Whether an event starts a run: a pure function of what is known, the event, the trigger's policy and the time.

The same events at the same times give the same decisions, so a log of them can be replayed. Nothing told twice counts
twice, neither the same message nor another one that tells of the same. What may not start now isn't lost: it waits, and
goes into the next run that may start.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pipeyard.settings import secret_references
from pipeyard.triggers.domain import (
    LOOKED_FOR,
    Asked,
    Code,
    Decision,
    Event,
    EventKind,
    LogEntry,
    Newest,
    Policy,
    RunStart,
    Seen,
    TriggerState,
    digest,
    run_key,
)

DAY = timedelta(days=1)
# More URIs than this wait for no run: its parameter would outgrow what a process takes as an argument.
MOST_HELD = 500
# More starts than this that didn't succeed yet: whoever starts runs is down, and further events can wait.
MOST_OPEN = 100
# What is kept of starts that are done, the newest: starts, and URIs of all of them.
_STARTS, _URIS = 50, 1000
_HISTORY = 200
_SEPARATOR = ","


def decide(state: TriggerState, event: Event, policy: Policy, now: datetime) -> Decision:
    """Returns what an event means, and what is known after it.

    Args:
        state: as the last decision left it.
        now: when it is decided; not before the last time.
    """
    known = _NextState(state, policy, now)
    if event.kind == EventKind.TICK:
        return known.fire(event, "time passed")
    earlier = known.earlier(event)
    if earlier:
        when = f"{earlier.at:%Y-%m-%d %H:%M:%S}"
        return known.end(event, Code.DUPLICATE, f"told before: it was decided on {when} UTC ({earlier.code})")
    if event.time < now - policy.remember:
        days = f"{policy.remember / DAY:g} days"
        reason = f"it happened more than {days} ago, so it can't be told from a repetition; start a run by hand"
        return known.end(event, Code.STALE, reason)
    event = event.model_copy(update={"time": min(event.time, now)})  # a clock that is ahead
    if event.kind == EventKind.REMOVAL:
        return known.remove(event)
    if _SEPARATOR in event.uri and policy.parameter:
        reason = "its name has a comma, which separates URIs in a run's parameter; name it otherwise"
        return known.end(event, Code.REFUSED, reason)
    if secret_references.names(event.uri) and policy.parameter:
        reason = "its name has ${secret:...}, which would be resolved in a run's parameter; name it otherwise"
        return known.end(event, Code.REFUSED, reason)
    newest = known.newest.get(digest(_place(event)))
    if newest and (event.time, event.generation) < (newest.time, newest.generation):
        reason = f"generation {newest.generation} of it, which is newer, was told before"
        return known.end(event, Code.SUPERSEDED, reason)
    if known.open >= MOST_OPEN:
        reason = f"{known.open} runs couldn't be started yet: see why with `pipeyard trigger show`, and mend that"
        return known.end(event, Code.FULL, reason, again=True)
    if len(known.held) + len(known.due) >= MOST_HELD and _place(event) not in {**known.held, **known.due}:
        reason = f"{MOST_HELD} URIs wait already: a longer cool-down than the data allows, or a quorum that is too high"
        return known.end(event, Code.FULL, reason, again=True)
    return known.take(event)


class _NextState:
    """A state that is being changed to the next one."""

    def __init__(self, state: TriggerState, policy: Policy, now: datetime) -> None:
        self._policy, self._now = policy, now
        since = now - policy.kept
        self.seen = {key: seen for key, seen in state.seen.items() if seen.at > since}
        self.held, self.due = dict(state.held), dict(state.due)
        wait = {digest(place) for place in (*self.held, *self.due)}
        self.newest = {key: newest for key, newest in state.newest.items() if newest.at > since or key in wait}
        self._starts = _lately(state.starts, now - max(DAY, policy.cool_down))
        self._last = state.last_start
        self._day, self._today = state.day, state.today
        self._sharded = state.sharded
        self._history = list(state.history)

    @property
    def open(self) -> int:
        return sum(start.open for start in self._starts)

    def earlier(self, event: Event) -> Seen | None:
        return next((self.seen[key] for key in _asked(event) if key in self.seen), None)

    def remove(self, event: Event) -> Decision:
        for waiting in (self.held, self.due):
            if event.uri in waiting and waiting[event.uri].generation == event.generation:
                del waiting[event.uri]
        return self.end(event, Code.REMOVED, "the object, or this version of it, is gone")

    def take(self, event: Event) -> Decision:
        place = _place(event)
        self.newest[digest(place)] = Newest(time=event.time, generation=event.generation, at=self._now)
        (self.due if place in self.due else self.held)[place] = event
        return self.fire(event, event.detail)

    def fire(self, event: Event, cause: str) -> Decision:
        """Starts a run if one is due and may start."""
        late = self._expire()
        self._gather()
        if not self.due:
            if event.kind == EventKind.TICK and not self.held:
                return self.end(event, Code.NOTHING, f"nothing waits{late}")
            window = f" within {self._policy.quorum_window}" if self._policy.quorum_window else ""
            return self.end(event, Code.WAITING, f"{len(self.held)} of {self._policy.quorum} files{window}{late}")
        waits = f"{len(self.due)} URI{'s wait' if len(self.due) > 1 else ' waits'}"
        if self._last and self._now < self._last + self._policy.cool_down:
            until = self._last + self._policy.cool_down
            return self.end(event, Code.COOLING, f"cools down until {until:%Y-%m-%d %H:%M:%S} UTC; {waits}{late}")
        today = self._today if self._day == self._now.date() else 0
        if self._policy.daily_cap and today >= self._policy.daily_cap:
            midnight = self._now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
            reason = f"{today} runs are all it may start on {self._now:%Y-%m-%d}; until {midnight:%H:%M} UTC {waits}"
            return self.end(event, Code.CAPPED, reason + late)
        names = f"{len(self.due)} new: {_few([_place(each) for each in _in_order(self.due)])}"
        return self._start(event, (f"{cause}; {names}" if cause else names) + late)

    def end(
        self,
        event: Event,
        code: Code,
        reason: str,
        again: bool = False,
        start: RunStart | None = None,
    ) -> Decision:
        """Returns the decision, with the state in which it is recorded."""
        if not again and code != Code.DUPLICATE and event.kind != EventKind.TICK:
            self.seen |= {key: Seen(at=self._now, code=code) for key in _keys(event)}
        key = start.key if start else ""
        entry = LogEntry(at=self._now, event=event, code=code, reason=reason, key=key)
        looked = event.kind == EventKind.TICK or (code == Code.DUPLICATE and event.kind in LOOKED_FOR)
        kept = [*self._history, *([] if looked and not start else [entry])]  # else hourly looks would be all there is
        state = TriggerState(
            seen=self.seen,
            newest=self.newest,
            sharded=self._sharded,
            held=self.held,
            due=self.due,
            starts=[*self._starts, *([start] if start else [])],
            last_start=self._last,
            day=self._day,
            today=self._today,
            history=kept[-_HISTORY:],
        )
        return Decision(
            start=start is not None,
            code=code,
            reason=reason,
            key=key,
            parameters=start.parameters if start else {},
            again=again,
            state=state,
        )

    def _start(self, event: Event, reason: str) -> Decision:
        waiting = _in_order(self.due)
        uris = [each.uri for each in waiting if each.uri]
        given = {self._policy.parameter: _SEPARATOR.join(uris)} if self._policy.parameter and uris else {}
        start = RunStart(
            key=run_key(self._policy, [each.subject for each in waiting]),
            parameters={**self._policy.parameters, **given},
            uris=uris,
            decided_at=self._now,
        )
        self.due = {}
        self._today = (self._today if self._day == self._now.date() else 0) + 1
        self._day, self._last = self._now.date(), self._now
        return self.end(event, Code.STARTED, reason, start=start)

    def _gather(self) -> None:
        """Moves what has its quorum from held to due: all of every window in which enough happened."""
        waiting = _in_order(self.held)
        window, end = self._policy.quorum_window, 0
        gathered = 0  # so many of the first are due already
        for begin, first in enumerate(waiting):
            while end < len(waiting) and (not window or waiting[end].time <= first.time + window):
                end += 1
            if end - begin >= self._policy.quorum:
                self.due |= {_place(each): each for each in waiting[max(begin, gathered) : end]}
                gathered = end
        self.held = {place: each for place, each in self.held.items() if place not in self.due}

    def _expire(self) -> str:
        """Drops what has waited for others for twice the window since it was delivered."""
        if not self._policy.quorum_window:
            return ""
        since = self._now - 2 * self._policy.quorum_window
        late = [place for place in self.held if self.newest[digest(place)].at < since]
        self.held = {place: each for place, each in self.held.items() if place not in late}
        return f"; too few came in time to join {_few(sorted(late))}" if late else ""


def asked(event: Event) -> Asked:
    """Returns what `decide` looks for in a state, to know whether an event was delivered before."""
    return Asked(seen=_asked(event), newest=[digest(_place(event))])


def _lately(starts: Sequence[RunStart], since: datetime) -> list[RunStart]:
    """Returns the starts that are kept: those that are open, and of the others the newest, within bounds."""
    kept: list[RunStart] = []
    uris = 0
    for number, start in enumerate(reversed(starts)):
        uris += len(start.uris)
        if start.open or (start.decided_at > since and number < _STARTS and (uris <= _URIS or not kept)):
            kept.append(start)
    return kept[::-1]


def _place(event: Event) -> str:
    """What of two events the later one takes the place of the earlier."""
    return event.uri or event.subject


def _asked(event: Event) -> list[str]:
    keys = _keys(event)
    if event.kind == EventKind.OBJECT:  # its deletion may be delivered before its creation
        keys += _keys(event.model_copy(update={"kind": EventKind.REMOVAL, "id": ""}))
    return keys


def _keys(event: Event) -> list[str]:
    told = {"id": event.id, str(event.kind == EventKind.REMOVAL): event.subject}
    return [digest(what, value) for what, value in told.items() if value]


def _in_order(waiting: Mapping[str, Event]) -> list[Event]:
    return sorted(waiting.values(), key=lambda each: (each.time, each.uri))


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
