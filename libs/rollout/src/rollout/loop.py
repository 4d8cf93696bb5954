"""Follows a candidate until it is decided, where nothing else does: a cluster, a cloud's endpoint.

The whole of it can be killed at any point and begun anew, by another process: what is desired is read from the target,
and so is `Progress`, which says since when which share of the traffic was in force. By these the windows of the past
are observed again, and the decision goes on with the same evidence. A window that a shift falls into is never looked
at.

An operator decides by the same state: what `desired.promote` or `desired.roll_back` made of it is found at the next
look, by the loop that runs then, or by the next one.
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rollout import decision, desired
from rollout.decision import Decision, Evidence
from rollout.desired import Desired
from rollout.errors import Overtaken, RolloutError
from rollout.log import Look
from rollout.policy import CANARY
from rollout.target import Target


@dataclass(frozen=True)
class Edges:
    """What the loop touches of the world.

    Attributes:
        now: seconds since the epoch.
        sleep: waits so many seconds.
        told: is given each look, for people and logs.
    """

    now: Callable[[], float]
    sleep: Callable[[float], None]
    told: Callable[[Look], None] = lambda look: None


@dataclass(frozen=True)
class Rhythm:
    """When it is looked.

    Attributes:
        every: seconds of a window.
        lag: seconds after a window's end until all of it can be observed.
    """

    every: float
    lag: float = 0.0


@dataclass(frozen=True)
class Step:
    """A share of the traffic that was in force; times are seconds since the epoch.

    Attributes:
        until: the end of its last window; None: it may still be in force.
    """

    weight: int
    since: float
    until: float | None = None


@dataclass(frozen=True)
class Progress:
    """How far a rollout is. It is known again by its candidate and when that was staged."""

    version: int
    staged_at: float
    steps: tuple[Step, ...] = ()

    def to_text(self) -> str:
        """Returns what a target keeps."""
        steps = [[step.weight, step.since, step.until] for step in self.steps]
        return json.dumps({"version": self.version, "staged_at": self.staged_at, "steps": steps})

    @classmethod
    def of(cls, state: Desired, text: str) -> "Progress":
        """Returns the progress of the candidate that a state has; one that begins where the text is of another one."""
        begun = cls(_candidate(state), state.staged_at)
        if not text:
            return begun
        try:
            value = json.loads(text)
            steps = tuple(
                Step(int(weight), float(since), None if until is None else float(until))
                for weight, since, until in value["steps"]
            )
            found = cls(int(value["version"]), float(value["staged_at"]), steps)
        except (KeyError, TypeError, ValueError):
            return begun  # somebody edited it; the steps begin anew, and nothing that was decided is lost
        return found if (found.version, found.staged_at) == (begun.version, begun.staged_at) else begun

    def closed(self, until: float) -> "Progress":
        """Returns the progress after the last window of the last step."""
        last = dataclasses.replace(self.steps[-1], until=until)
        return dataclasses.replace(self, steps=(*self.steps[:-1], last))

    def opened(self, weight: int, since: float) -> "Progress":
        """Returns the progress with another step in force."""
        return dataclasses.replace(self, steps=(*self.steps, Step(weight, since)))


def follow(target: Target, version: int, edges: Edges, rhythm: Rhythm) -> Desired:
    """Looks at a candidate, shifts, promotes or rolls back by what is decided; returns the state when it is decided.

    Where the version isn't the candidate of a canary (it is stable, was decided on, or was superseded meanwhile), the
    state is returned as it is. What somebody else decided on it is in force then, also where they were killed before.

    Raises:
        RolloutError: nothing was staged.
        Exception: what the target raises. It may be called again after that.
    """
    while (state := _read(target)).candidate == version and state.strategy == CANARY:
        with contextlib.suppress(Overtaken):  # the state says who was quicker
            _step(target, state, edges, rhythm)
    with contextlib.suppress(Overtaken):
        _settle(target, state, version)
    return state


def _settle(target: Target, state: Desired, version: int) -> None:
    """Does again what was decided on a version, if nothing was staged since: that may be repeated."""
    last = state.decided
    if last is None or last.version != version or state.candidate is not None or last.at < state.staged_at:
        return
    if last.action == desired.PROMOTED and state.stable == version:
        target.promote(version, last.reasons)
    elif last.action == desired.ROLLED_BACK:
        target.roll_back(version, last.reasons)


def _step(target: Target, state: Desired, edges: Edges, rhythm: Rhythm) -> None:
    """Looks at the candidate with the share of the traffic that it has, until that changes."""
    version = _candidate(state)
    progress = Progress.of(state, target.remembered())
    evidence = Evidence(state.policy)
    for step in progress.steps[:-1]:
        _add(evidence, target, state, step, rhythm)
    last = progress.steps[-1] if progress.steps else None
    if last and last.until is not None:
        _add(evidence, target, state, last, rhythm)
        if last.weight == state.weight:  # killed between what was decided and its deed: it is decided again
            decided = decision.judge(evidence, state.staged_at, last.until, state.weight)
            if decided.action != decision.HOLD:
                _apply(target, version, decided, edges, progress)
                return
    if not last or last.weight != state.weight or last.until is not None:
        if last and last.until is None:  # somebody else moved the shares: nobody knows when
            progress = dataclasses.replace(progress, steps=progress.steps[:-1])
        target.shift(version, state.weight)
        progress = progress.opened(state.weight, edges.now())
        target.remember(progress.to_text())
        last = progress.steps[-1]
    _watch(target, state, edges, rhythm, evidence, progress)


def _watch(
    target: Target, state: Desired, edges: Edges, rhythm: Rhythm, evidence: Evidence, progress: Progress
) -> None:
    step = progress.steps[-1]
    for start, end in _windows(step, rhythm):
        wait = end + rhythm.lag - edges.now()
        if wait > 0:
            edges.sleep(wait)
            if not _is_current(target, state):
                return
        decided = _look(target, state, evidence, edges, start, end, step.weight)
        if decided.action != decision.HOLD:
            if _is_current(target, state):
                progress = progress.closed(end)
                target.remember(progress.to_text())
                _apply(target, _candidate(state), decided, edges, progress)
            return


def _is_current(target: Target, state: Desired) -> bool:
    """False if somebody else decided, staged another version, or moved the shares."""
    current = _read(target)
    return (current.candidate, current.weight, current.staged_at) == (state.candidate, state.weight, state.staged_at)


def _look(
    target: Target, state: Desired, evidence: Evidence, edges: Edges, start: float, end: float, weight: int
) -> Decision:
    pair = target.observe(state, start, end)
    stable, candidate = (dataclasses.replace(each, weight=weight) for each in pair)
    evidence.add(stable, candidate)
    decided = decision.judge(evidence, state.staged_at, end, weight)
    edges.told(Look(end, weight, stable, candidate, decided))
    return decided


def _apply(target: Target, version: int, decided: Decision, edges: Edges, progress: Progress) -> None:
    if decided.action == decision.ADVANCE:
        target.shift(version, decided.weight)
        target.remember(progress.opened(decided.weight, edges.now()).to_text())
    elif decided.action == decision.PROMOTE:
        target.promote(version, decided.reasons)
    else:
        target.roll_back(version, decided.reasons)


def _add(evidence: Evidence, target: Target, state: Desired, step: Step, rhythm: Rhythm) -> None:
    """Adds what was seen in a step that is over."""
    for start, end in _windows(step, rhythm):
        if step.until is None or end > step.until:
            return
        stable, candidate = target.observe(state, start, end)
        evidence.add(
            dataclasses.replace(stable, weight=step.weight), dataclasses.replace(candidate, weight=step.weight)
        )


def _windows(step: Step, rhythm: Rhythm) -> Iterator[tuple[float, float]]:
    number = 0
    while True:
        yield step.since + number * rhythm.every, step.since + (number + 1) * rhythm.every
        number += 1


def _candidate(state: Desired) -> int:
    if state.candidate is None:
        raise RolloutError("There is no candidate to follow.")
    return state.candidate


def _read(target: Target) -> Desired:
    state = target.read()
    if state is None:
        raise RolloutError("There is nothing to follow: no version was ever staged. Deploy one first.")
    return state
