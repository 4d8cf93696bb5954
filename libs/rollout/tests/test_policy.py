"""Policies: what they are without a word, and what can't be one."""

import pytest

from rollout.errors import RolloutError
from rollout.policy import Policy, check_strategy


def test_a_policy_is_read_as_it_was_written() -> None:
    policy = Policy(steps=(5, 100), min_requests=10, latency_ratio=None, drift_limit=None)
    assert Policy.from_json(policy.to_json()) == policy
    assert Policy.from_json({}) == Policy()
    # As protobuf's Value gives whole numbers back.
    assert Policy.from_json({"steps": [10.0, 100.0], "min_requests": 50.0}) == Policy(steps=(10, 100), min_requests=50)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"stpes": [10, 100]}, "A rollout policy has no 'stpes'. Did you mean 'steps'? There are: 'alpha', "),
        ({"steps": 10}, r"steps are 10; give a list such as [10, 20, 50, 100]."),
        ({"steps": [50, 10, 100]}, r"steps are [50, 10, 100]; give whole percentages that rise and end with 100"),
        ({"steps": [10, 50]}, "that rise and end with 100"),
        ({"steps": []}, "that rise and end with 100"),
        ({"steps": [100]}, "at 100 alone there is nothing to compare with"),
        ({"steps": [0, 100]}, "that rise and end with 100"),
        ({"steps": [10, "50", 100]}, "that rise and end with 100"),
        ({"steps": [True, 100]}, "that rise and end with 100"),
        ({"min_requests": 0}, "min_requests is 0; give a whole number at least 1."),
        ({"min_requests": 2.5}, "min_requests is 2.5; give a whole number at least 1."),
        ({"min_requests": "many"}, "min_requests is 'many'; give a whole number at least 1."),
        ({"error_margin": 0}, "error_margin is 0; give a number above 0 and at most 1."),
        ({"error_margin": None}, "error_margin is None; give a number above 0 and at most 1."),
        ({"latency_ratio": 1}, "latency_ratio is 1; give a number above 1."),
        ({"drift_limit": 1.5}, "drift_limit is 1.5; give a number above 0 and at most 1."),
        ({"metric_margin": -0.1}, "metric_margin is -0.1; give a number at least 0."),
        ({"alpha": float("nan")}, "alpha is nan; give a number above 0 and at most 0.5."),
        ({"deadline_seconds": False}, "deadline_seconds is False; give a number above 0."),
        ([10, 100], "A rollout policy is a JSON object; [10, 100] isn't one."),
    ],
)
def test_what_is_no_policy(value: object, message: str) -> None:
    with pytest.raises(RolloutError) as raised:
        Policy.from_json(value)
    assert message in str(raised.value)


def test_steps_follow_each_other() -> None:
    policy = Policy()
    assert [policy.next_step(weight) for weight in (10, 15, 20, 50, 100)] == [20, 20, 50, 100, 100]
    assert [policy.first_weight(strategy) for strategy in ("canary", "shadow", "direct")] == [10, 0, 0]


def test_a_strategy_that_there_is_not() -> None:
    with pytest.raises(RolloutError, match=r"no strategy 'canari'. Did you mean 'canary'\?"):
        check_strategy("canari")
