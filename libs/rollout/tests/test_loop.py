"""The loop that follows a candidate: how it ends, and that it ends so wherever it was killed."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import pytest

from rollout import desired, loop
from rollout.desired import Desired
from rollout.errors import RolloutError
from rollout.log import Look
from rollout.observations import Window
from rollout.policy import Policy

POLICY = Policy(min_requests=100, error_margin=0.05)
RHYTHM = loop.Rhythm(every=10.0, lag=2.0)
BOUNDS = [0.001 * 1.1**number for number in range(60)]


class Killed(BaseException):
    """The process ends here."""


class Place:
    """A target in memory, with a clock: 40 requests a second, of which some of the candidate's fail.

    Attributes:
        shares: (since when, percentage) as they came into force, a second after they were asked for.
        looked: (start, end, percentage) of each window that was asked for.
    """

    def __init__(self, failing: float = 0.0) -> None:
        self.failing = failing
        self.clock = 1000.0
        self.state: Desired | None = None
        self.text = ""
        self.shares: list[tuple[float, int]] = []
        self.looked: set[tuple[float, float]] = set()
        self.calls = 0
        self.kill_at = math.inf

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self._call()
        self.clock += seconds

    def read(self) -> Desired | None:
        return self.state

    def remembered(self) -> str:
        return self.text

    def remember(self, text: str) -> None:
        self._call()
        assert len(text) < 500
        self.text = text
        self._call()

    def _change(self, change: Callable[[Desired | None], Desired]) -> None:
        self._call()
        self.state = change(self.state)
        self._call()  # what is desired is written, and not in force
        self.clock += 1
        if not self.shares or self.shares[-1][1] != self.state.weight:
            self.shares.append((self.clock, self.state.weight))
        self._call()

    def stage(self, version: int) -> None:
        self._change(
            lambda current: desired.stage(
                current, version, strategy="canary", policy=POLICY, registry_uri="", now=self.clock, run_id="run"
            )
        )

    def shift(self, version: int, weight: int) -> None:
        self._change(lambda current: desired.shift(current, version, weight))

    def promote(self, version: int, reasons: Sequence[str]) -> None:
        self._change(lambda current: desired.promote(current, version, reasons, self.clock))

    def roll_back(self, version: int, reasons: Sequence[str]) -> None:
        self._change(lambda current: desired.roll_back(current, version, reasons, self.clock))

    def observe(self, state: Desired, start: float, end: float) -> tuple[Window, Window]:
        self._call()
        assert end + RHYTHM.lag <= self.clock, "a window that isn't over"
        in_force = {share for since, share in self.shares if since <= start}
        later = [share for since, share in self.shares if start < since < end]
        assert in_force and not later, "a window that a shift falls into"
        self.looked.add((start, end))
        share = [share for since, share in self.shares if since <= start][-1]
        requests = round(40 * (end - start))
        mine = requests * share // 100
        return _window(start, end, state.stable, requests - mine, 0.0), _window(start, end, 4, mine, self.failing)


def _window(start: float, end: float, version: int, requests: int, failing: float) -> Window:
    latency = {bound: requests if bound > 0.01 else requests // 2 for bound in BOUNDS} | {math.inf: requests}
    return Window(start, end, version, requests=requests, errors=round(requests * failing), latency=latency)


def staged(failing: float = 0.0) -> Place:
    place = Place(failing)
    place.stage(3)
    place.stage(4)
    return place


def follow(place: Place, looks: list[Look] | None = None) -> Desired:
    edges = loop.Edges(place.now, place.sleep, looks.append if looks is not None else lambda look: None)
    return loop.follow(place, 4, edges, RHYTHM)


@pytest.mark.parametrize(("failing", "ends"), [(0.0, (4, "promoted")), (0.3, (3, "rolled_back"))])
def test_a_candidate_is_followed_until_it_is_decided(failing: float, ends: tuple[int, str]) -> None:
    place, looks = staged(failing), []
    state = follow(place, looks)
    assert state.decided is not None
    assert (state.stable, state.decided.action, state.candidate) == (*ends, None)
    assert looks[-1].decision.action == {"promoted": "promote", "rolled_back": "roll_back"}[ends[1]]
    weights = [look.weight for look in looks]
    assert (weights == sorted(weights) and set(weights) == {10, 20, 50}) == (failing == 0)
    assert all(look.candidate.weight == look.stable.weight == look.weight for look in looks)


@pytest.mark.parametrize("failing", [0.0, 0.3])
def test_killed_at_any_call_it_ends_the_same(failing: float) -> None:
    whole = staged(failing)
    before = whole.calls
    ends = follow(whole)
    for kill_at in range(before + 1, whole.calls + 1):
        place = staged(failing)
        place.kill_at = kill_at
        with pytest.raises(Killed):
            follow(place)
        place.stage(4)  # as the retried step does: what was half done is completed
        state = follow(place)
        assert (state.stable, state.candidate, state.weight) == (ends.stable, ends.candidate, ends.weight), kill_at
        assert state.decided is not None and ends.decided is not None
        assert state.decided.action == ends.decided.action, kill_at
        assert len(place.looked) <= len(whole.looked) + 1, kill_at  # no evidence is gathered anew


def test_what_a_step_saw_counts_after_a_kill_and_nothing_is_looked_at_twice_by_the_clock() -> None:
    whole = staged()
    follow(whole)
    place = staged()
    place.kill_at = whole.calls - 6
    with pytest.raises(Killed):
        follow(place)
    place.clock += 5 * RHYTHM.every  # it is begun anew late; meanwhile the version was asked on
    follow(place)
    assert place.looked >= {window for window in whole.looked if window[1] < place.shares[-1][0] - 100}
    assert place.clock < whole.clock + 6 * RHYTHM.every


def test_a_version_that_is_no_candidate_is_left_as_it_is() -> None:
    place = Place()
    with pytest.raises(RolloutError, match="no version was ever staged"):
        follow(place)
    place.stage(4)
    assert follow(place).stable == 4
    assert place.looked == set()


def test_somebody_else_decides_meanwhile() -> None:
    place = staged()

    def told(look: Look) -> None:
        assert place.state is not None
        if look.weight == 20:
            place.state = desired.roll_back(place.state, 4, ["by hand"], place.clock)

    state = loop.follow(place, 4, loop.Edges(place.now, place.sleep, told), RHYTHM)
    assert state.decided is not None
    assert (state.decided.action, state.decided.reasons) == ("rolled_back", ("by hand",))
    assert place.shares[-1][1] == 0  # in force, though who decided it was killed before


def test_whose_deed_comes_too_late_leaves_what_was_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    place = staged()
    late = place.promote

    def promote(version: int, reasons: Sequence[str]) -> None:
        assert place.state is not None
        place.state = desired.roll_back(place.state, 4, ["by hand"], place.clock)
        late(version, reasons)

    monkeypatch.setattr(place, "promote", promote)
    state = follow(place)
    assert state.decided is not None
    assert (state.stable, state.decided.reasons, place.shares[-1][1]) == (3, ("by hand",), 0)


def test_shares_that_somebody_else_moves_are_a_step_of_their_own() -> None:
    place = staged()

    def told(look: Look) -> None:
        if look.weight == 10:
            place.shift(4, 50)

    state = loop.follow(place, 4, loop.Edges(place.now, place.sleep, told), RHYTHM)
    assert state.stable == 4
    assert [share for _, share in place.shares] == [0, 10, 50, 0]


def test_without_evidence_the_deadline_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    place = staged()
    blind = [Window(0, 0, number, alive=False) for number in (3, 4)]
    monkeypatch.setattr(place, "observe", lambda state, start, end: tuple(blind))
    state = follow(place)
    assert state.decided is not None
    assert state.decided.reasons[0].startswith("inconclusive: rolled back, as it isn't decided after 3600 s")
    assert place.clock - 1000 == pytest.approx(3600, abs=20)


def test_progress_of_another_candidate_or_that_is_no_text_begins_anew() -> None:
    state = dataclasses.replace(Desired(3), candidate=4, staged_at=7.0)
    progress = loop.Progress.of(state, "").opened(10, 8.0).closed(9.5).opened(20, 10.0)
    assert loop.Progress.of(state, progress.to_text()) == progress
    again = dataclasses.replace(state, staged_at=8.0)
    for text, of in ((progress.to_text(), again), ("{", state), ("[]", state), ('{"steps": [[1]]}', state)):
        assert loop.Progress.of(of, text) == loop.Progress(4, of.staged_at)
