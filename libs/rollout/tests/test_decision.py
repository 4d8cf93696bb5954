"""What is decided of given windows."""

import math
from dataclasses import replace

import pytest

from rollout import decision
from rollout.decision import ADVANCE, HOLD, PROMOTE, ROLL_BACK, decide
from rollout.labels import Comparison
from rollout.observations import Window
from rollout.policy import Policy

Pair = tuple[Window, Window]
POLICY = Policy(min_requests=100)


def pair(requests: int = 50, errors: int = 0, weight: int = 10, **changes: object) -> Pair:
    """A second in which the stable version had nine times the candidate's requests, without an error."""
    stable = Window(0, 1, 3, requests=9 * requests, weight=weight)
    return stable, replace(Window(0, 1, 4, requests=requests, errors=errors, weight=weight), **changes)


def test_a_step_is_held_until_enough_was_answered_in_it() -> None:
    held = decide([pair()], POLICY, 0, 1, 10)
    assert (held.action, held.weight) == (HOLD, 10)
    assert "50 of 100 requests answered in this step" in held.reasons
    advanced = decide([pair(), pair()], POLICY, 0, 2, 10)
    assert (advanced.action, advanced.weight) == (ADVANCE, 20)
    again = decide([pair(), pair(), pair(weight=20)], POLICY, 0, 3, 20)
    assert (again.action, again.weight) == (HOLD, 20)


def test_the_last_step_is_left_when_the_rise_of_errors_is_shown_to_be_small() -> None:
    few = [pair(weight=10)] * 2 + [pair(weight=20)] * 2 + [pair(weight=50)] * 2
    held = decide(few, POLICY, 0, 6, 50)
    assert held.action == HOLD
    assert held.reasons[0].startswith("errors: 0.00% of 300 requests of the candidate")
    promoted = decide([*few, *[pair(weight=50)] * 10], POLICY, 0, 16, 50)
    assert (promoted.action, promoted.weight) == (PROMOTE, 100)
    assert promoted.evidence["checks"]["errors"]["rise_at_most"] < POLICY.error_margin


def test_a_window_in_which_a_version_was_down_is_no_evidence() -> None:
    down = [pair(errors=50, alive=False), (replace(pair()[0], alive=False, errors=450), pair()[1])]
    held = decide(down * 20, POLICY, 0, 40, 10)
    assert (held.action, held.evidence["requests"]["candidate"]) == (HOLD, 0)
    assert "in 40 of 40 windows a version was down" in held.reasons[-1]
    assert decide([*down, pair(), pair()], POLICY, 0, 4, 10).action == ADVANCE


def test_what_is_not_decided_by_the_deadline_is_rolled_back() -> None:
    late = decide([pair()], POLICY, 1000, 1000 + POLICY.deadline_seconds, 10)
    assert (late.action, late.weight) == (ROLL_BACK, 0)
    assert late.reasons[:2] == [
        "inconclusive: rolled back, as it isn't decided after 3600 s",
        "50 of 100 requests answered in this step",
    ]


def test_what_can_be_promoted_at_the_deadline_is() -> None:
    good = [pair(weight=50)] * 40
    assert decide(good, POLICY, 0, 10_000, 50).action == PROMOTE


def test_errors_roll_back_at_once_and_say_why() -> None:
    decided = decide([pair(), pair(errors=10)], POLICY, 0, 2, 10)
    assert (decided.action, decided.weight) == (ROLL_BACK, 0)
    assert decided.reasons[0].startswith("errors: 10.00% of 100 requests of the candidate, 0.00% of 900 of the stable")
    assert decided.evidence["checks"]["errors"]["state"] == "bad"


def test_a_stable_version_that_fails_more_does_not_stop_its_successor() -> None:
    stable = replace(pair()[0], errors=200)
    assert decide([(stable, pair(weight=50)[1])] * 10, POLICY, 0, 9, 50).action == PROMOTE


def test_a_candidate_that_looks_bad_does_not_get_more_traffic_before_it_is_shown() -> None:
    held = decide([pair(errors=1), pair(errors=1)], POLICY, 0, 2, 10)
    assert held.action == HOLD
    assert "the rise is at most" in held.reasons[0]


def test_a_stable_version_without_requests_is_nothing_to_compare_with() -> None:
    alone = replace(pair()[0], requests=0)
    held = decide([(alone, pair()[1])] * 3, POLICY, 0, 3, 10)
    assert held.action == HOLD
    assert "there is nothing to compare with" in held.reasons[0]


@pytest.mark.parametrize(
    ("low", "high", "action"), [(-0.2, -0.1, ROLL_BACK), (-0.2, 0.1, HOLD), (-0.004, 0.1, PROMOTE)]
)
def test_labels_count_where_they_are_known(low: float, high: float, action: str) -> None:
    middle = (low + high) / 2
    comparison = Comparison(0.8, 0.8 + middle, low, high, 400)
    assert decide([pair(weight=50)] * 40, POLICY, 0, 40, 50, [comparison]).action == action


def test_an_earlier_look_at_labels_is_not_forgotten() -> None:
    looks = [Comparison(0.8, 0.6, -0.3, -0.1, 200), Comparison(0.8, 0.8, -0.1, 0.1, 400, look=2)]
    decided = decide([pair(weight=50)] * 40, POLICY, 0, 40, 50, looks)
    assert (decided.action, decided.evidence["checks"]["labels"]["look"]) == (ROLL_BACK, 1)


def test_it_is_waited_for_labels_where_the_policy_wants_some() -> None:
    policy, good = replace(POLICY, min_labels=400), [pair(weight=50)] * 40
    waits = decide(good, policy, 0, 40, 50)
    assert (waits.action, waits.reasons) == (
        HOLD,
        ["labels: none have been compared, 400 of each version are needed"],
    )
    few, enough = (Comparison(0.8, 0.9, 0.05, 0.15, requests) for requests in (399, 400))
    assert (
        "399 labels of each version are compared, 400 are needed" in decide(good, policy, 0, 40, 50, [few]).reasons[0]
    )
    assert decide(good, policy, 0, 40, 50, [enough]).action == PROMOTE
    assert decide([pair()] * 40, policy, 0, 40, 10).action == ADVANCE  # more traffic brings more labels
    worse = Comparison(0.8, 0.6, -0.3, -0.1, 300)
    assert decide(good, policy, 0, 40, 50, [worse]).action == ROLL_BACK


def test_what_is_switched_off_is_not_looked_at() -> None:
    slow = {0.001: 0, 0.002: 0, 0.1: 50, math.inf: 50}
    quick = {0.001: 450, 0.002: 450, 0.1: 450, math.inf: 450}
    scores = {"a": {0.5: 0, math.inf: 50}}, {"a": {0.5: 450, math.inf: 450}}
    stable, candidate = pair(weight=50)
    pairs = [
        (replace(stable, latency=quick, scores=scores[1]), replace(candidate, latency=slow, scores=scores[0]))
    ] * 40
    off = replace(POLICY, latency_ratio=None, drift_limit=None)
    assert decide(pairs, off, 0, 40, 50).action == PROMOTE
    on = decide(pairs, POLICY, 0, 40, 50)
    assert [on.action, *(reason.partition(":")[0] for reason in on.reasons)] == [ROLL_BACK, "latency", "scores"]


def test_evidence_that_is_added_up_says_the_same_as_all_of_it_at_once() -> None:
    history = [pair(errors=number % 2) for number in range(30)]
    evidence = decision.Evidence(POLICY)
    for number, windows in enumerate(history, 1):
        evidence.add(*windows)
        assert decision.judge(evidence, 0, number, 10) == decide(history[:number], POLICY, 0, number, 10)
