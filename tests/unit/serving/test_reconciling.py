"""What is to be done, from what is wanted and what is seen."""

import itertools

import pytest

from pipeyard.serving.reconciling import (
    ModelRoute,
    SeenServing,
    SeenVersion,
    SetRoutes,
    StartRouter,
    StartVersion,
    StopVersion,
    WantedModel,
    actions,
    route,
)
from pipeyard.serving.serving_folder import ServedVersion

READY = SeenVersion(alive=True, ready=True)
IDLE = SeenVersion(alive=True, ready=True, idle=True)
STARTING = SeenVersion(alive=True)
ENDED = SeenVersion(alive=False)
DIRECT = WantedModel("taxi", 3)
CANARY = WantedModel("taxi", 3, 4, 10)
SHADOW = WantedModel("taxi", 3, 4, 0, mirrored=True)
ON_THREE = ModelRoute(((3, 100),), (3,), None, (3,))
SPLIT = ModelRoute(((4, 10), (3, 90)), (4, 3), None, (4, 3))


def _v(number: int) -> ServedVersion:
    return ServedVersion("taxi", number)


def _seen(versions: dict[int, SeenVersion], routes: ModelRoute | None = None, **more) -> SeenServing:
    given = {"in_force": True, "router_alive": True, **more}
    return SeenServing(
        {_v(number): each for number, each in versions.items()}, routes={"taxi": routes} if routes else {}, **given
    )


def test_from_nothing_all_is_started_and_routed():
    found = actions([DIRECT], SeenServing())
    assert found == [StartRouter(), StartVersion(_v(3)), SetRoutes({"taxi": ON_THREE})]


def test_what_is_as_wanted_is_left_alone():
    assert actions([DIRECT], _seen({3: READY}, ON_THREE)) == []
    assert actions([CANARY], _seen({3: READY, 4: READY}, SPLIT)) == []


def test_what_ends_again_and_again_is_waited_with():
    seen = SeenServing(waiting=[_v(3)], router_waiting=True, routes={"taxi": ON_THREE})
    assert actions([DIRECT], seen) == []


def test_a_candidate_gets_nothing_before_it_is_ready():
    found = actions([CANARY], _seen({3: READY, 4: STARTING}, ON_THREE))
    (change,) = found
    assert change.routes["taxi"].shares == ((3, 100),)
    found = actions([CANARY], _seen({3: READY, 4: READY}, change.routes["taxi"]))
    assert found == [SetRoutes({"taxi": SPLIT})]


@pytest.mark.parametrize("down", [STARTING, ENDED])
def test_the_living_version_takes_all_meanwhile(down):
    assert route(CANARY, _seen({3: READY, 4: down}, SPLIT)).shares == ((3, 100),)
    assert route(CANARY, _seen({3: down, 4: READY}, SPLIT)).shares == ((4, 100),)


def test_where_none_is_ready_what_was_before_stays():
    """A router that has just come back says that none is healthy yet: no file changes for that."""
    assert route(CANARY, _seen({3: STARTING, 4: STARTING}, SPLIT)) == SPLIT


def test_a_new_version_takes_over_when_it_is_ready_and_the_old_one_goes_last():
    wanted = WantedModel("taxi", 4)
    found = actions([wanted], _seen({3: READY}, ON_THREE))
    assert StartVersion(_v(4)) in found
    assert not any(isinstance(each, StopVersion) for each in found)
    kept = route(wanted, _seen({3: READY, 4: STARTING}, ON_THREE))
    assert kept.shares == ((3, 100),)
    changed = route(wanted, _seen({3: READY, 4: READY}, kept))
    assert (changed.shares, changed.versions) == (((4, 100),), {4})
    # Routed away from, but the router hasn't taken that yet; then it has, with a request under way; then without.
    assert actions([wanted], _seen({3: IDLE, 4: READY}, changed, in_force=False)) == []
    assert actions([wanted], _seen({3: READY, 4: READY}, changed)) == []
    assert actions([wanted], _seen({3: IDLE, 4: READY}, changed)) == [StopVersion(_v(3))]


def test_nothing_is_ended_while_the_router_is_down():
    found = actions([DIRECT], _seen({3: READY, 4: IDLE}, ON_THREE, router_alive=False))
    assert found == [StartRouter()]


def test_a_shadow_gets_copies_and_answers_nobody():
    shadow = route(SHADOW, _seen({3: READY, 4: READY}))
    assert (shadow.shares, shadow.mirror, shadow.answering) == (((3, 100),), 4, (3,))
    assert route(SHADOW, _seen({3: READY, 4: STARTING})).mirror is None
    assert route(SHADOW, _seen({3: ENDED, 4: READY}, shadow)).shares == ((3, 100),)


def test_a_model_that_is_gone_is_routed_to_no_more_and_then_ended():
    assert actions([], _seen({3: IDLE}, ON_THREE)) == [SetRoutes({})]
    assert actions([], _seen({3: IDLE})) == [StopVersion(_v(3))]


def test_a_second_canary_finds_nothing_of_the_first():
    """kserve#2130: after a canary that was rolled back, the next one's traffic leaked to it."""
    after = route(DIRECT, _seen({3: READY, 4: READY}, SPLIT))
    assert after == ON_THREE
    second = WantedModel("taxi", 3, 5, 20)
    found = route(second, _seen({3: READY, 4: READY, 5: READY}, after))
    assert (found.shares, found.versions) == (((5, 20), (3, 80)), {3, 5})


def test_where_the_stable_version_can_t_be_started_the_one_before_serves():
    wanted = WantedModel("taxi", 4, previous=3)
    asked_for = ModelRoute(((4, 100),), (4,), None, (4,))
    failing = {"waiting": [_v(4)]}
    # Nothing of it runs while the stable one may still come.
    assert StartVersion(_v(3)) not in actions([wanted], _seen({4: STARTING}, asked_for))
    assert actions([wanted], _seen({}, asked_for, **failing)) == [StartVersion(_v(3))]
    (change,) = actions([wanted], _seen({3: READY}, asked_for, **failing))
    back = change.routes["taxi"]
    assert (back.shares, back.answering) == (((3, 100),), (3,))
    # The stable one is tried on, and takes over when it is ready; until then the other one is kept alive.
    assert actions([wanted], _seen({3: IDLE, 4: STARTING}, back)) == []
    assert StartVersion(_v(3)) in actions([wanted], _seen({4: STARTING}, back))
    assert route(wanted, _seen({3: READY, 4: READY}, back)) == asked_for
    assert actions([wanted], _seen({3: IDLE, 4: READY}, asked_for)) == [StopVersion(_v(3))]


def test_a_version_that_ends_as_it_is_promoted_is_stood_in_for_by_the_one_before():
    wanted = WantedModel("taxi", 4, previous=3)
    promoted = ModelRoute(((4, 100),), (4,), None, (4,))
    start, change = actions([wanted], _seen({3: IDLE, 4: ENDED}, promoted))
    assert start == StartVersion(_v(4))
    back = change.routes["taxi"]
    assert (back.shares, back.answering) == (((3, 100),), (3,))
    assert actions([wanted], _seen({3: IDLE, 4: STARTING}, back)) == []
    assert route(wanted, _seen({3: IDLE, 4: READY}, back)) == promoted


@pytest.mark.parametrize(
    ("wanted", "before", "states"),
    [
        (wanted, before, states)
        for wanted in (DIRECT, CANARY, SHADOW, WantedModel("taxi", 4), WantedModel("taxi", 3, 4, 100))
        for before in (None, ON_THREE, SPLIT)
        for states in itertools.product((READY, STARTING, ENDED), repeat=2)
    ],
)
def test_shares_are_whole_and_of_what_answers_wherever_something_does(wanted, before, states):
    seen = _seen(dict(zip((3, 4), states, strict=True)), before)
    found = route(wanted, seen)
    assert sum(share for _, share in found.shares) == 100
    assert all(share > 0 for _, share in found.shares)
    may = [number for number in wanted.answering if seen.ready("taxi", number)]
    if may:
        assert {number for number, _ in found.shares} <= set(may)
