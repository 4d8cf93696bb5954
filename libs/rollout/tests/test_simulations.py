"""The decision holds what it promises: how often it is wrong, and how soon it finds what is."""

from collections import Counter

import pytest
import simulation
from simulation import Version

from rollout.decision import PROMOTE, ROLL_BACK
from rollout.policy import Policy


def test_false_alarms_stay_below_alpha_though_it_looks_each_second() -> None:
    actions: Counter[str] = Counter()
    for seed in range(1000):
        same = Version(error_rate=(0.0, 0.002, 0.01)[seed % 3], spread=(0.15, 0.4)[seed % 2])
        decision, _ = simulation.run(seed, same, same, Policy())
        bad = decision.action == ROLL_BACK and "inconclusive" not in decision.reasons[0]
        actions["false alarm" if bad else decision.action] += 1
    assert actions["false alarm"] < 50, actions
    assert actions[PROMOTE] == 1000 - actions["false alarm"], actions


def test_latencies_that_depend_on_each_other_within_a_second_are_no_false_alarm() -> None:
    busy = Version(shocks=(0.7, 1.0, 1.5, 3.0))
    bad = 0
    for seed in range(100):
        decision, _ = simulation.run(seed, busy, busy, Policy(deadline_seconds=40))
        bad += decision.action == ROLL_BACK and decision.reasons[0].startswith("latency")
    assert bad < 5


@pytest.mark.parametrize("base", [0.0, 0.005, 0.01])
def test_two_points_more_errors_are_found_within_2000_requests(base: float) -> None:
    found = 0
    for seed in range(100):
        decision, requests = simulation.run(seed, Version(base), Version(base + 0.02), Policy())
        found += decision.action == ROLL_BACK and "errors" in decision.reasons[0] and requests <= 2000
    assert found >= 95


@pytest.mark.parametrize("spread", [0.2, 0.4])
def test_a_version_that_is_30_percent_slower_is_found(spread: float) -> None:
    found = 0
    for seed in range(50):
        stable, candidate = Version(spread=spread), Version(spread=spread, slower=1.3)
        decision, requests = simulation.run(seed, stable, candidate, Policy())
        found += decision.action == ROLL_BACK and "latency" in decision.reasons[0] and requests <= 3000
    assert found >= 48


@pytest.mark.parametrize(
    "scores",
    [(0.05, 0.15, 0.4, 0.4), (0.0, 0.0, 1.0, 0.0), (0.1, 0.15, 0.25, 0.5)],
    ids=["uniform", "constant", "turned round"],
)
def test_garbage_predictions_are_found(scores: tuple[float, ...]) -> None:
    for seed in range(20):
        decision, requests = simulation.run(seed, Version(), Version(scores=scores), Policy())
        assert (decision.action, "scores" in decision.reasons[0]) == (ROLL_BACK, True)
        assert requests <= 2000


def test_a_version_that_is_a_little_slower_or_scores_a_little_otherwise_is_promoted() -> None:
    other = Version(slower=1.05, scores=(0.45, 0.27, 0.17, 0.11))
    actions = Counter(simulation.run(seed, Version(), other, Policy())[0].action for seed in range(50))
    assert actions[PROMOTE] >= 48, actions


def test_a_shadow_is_promoted_or_rolled_back_without_steps() -> None:
    policy = Policy()
    assert simulation.run(1, Version(), Version(), policy, weight=0)[0].action == PROMOTE
    decision, requests = simulation.run(1, Version(), Version(error_rate=0.05), policy, weight=0, rate=20)
    assert (decision.action, decision.weight, requests <= 600) == (ROLL_BACK, 0, True)
