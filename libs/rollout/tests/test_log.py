"""A log is decided again as it was, or tells what would be decided otherwise."""

import json

import pytest

from rollout import log
from rollout.decision import Evidence, judge
from rollout.errors import RolloutError
from rollout.labels import Comparison
from rollout.observations import Window
from rollout.policy import Policy

BEGIN = log.Begin("taxi", 3, 4, "canary", Policy(min_requests=100, error_margin=0.05), 100.0)


def written(seconds: int = 12) -> list[str]:
    """The lines of a rollout that goes up and is promoted."""
    evidence, weight, lines = Evidence(BEGIN.policy), 10, [log.begin_line(BEGIN)]
    comparisons = (Comparison(0.8, 0.81, -0.01, 0.03, 200),)
    for second in range(seconds):
        windows = [Window(second, second + 1, number, requests=60, weight=weight) for number in (3, 4)]
        evidence.add(*windows)
        decision = judge(evidence, BEGIN.staged_at, second + 1, weight, comparisons)
        lines.append(log.look_line(log.Look(second + 1, weight, *windows, decision, comparisons)))
        weight = decision.weight
    return lines


def test_a_log_is_decided_again_as_it_was() -> None:
    rollouts = log.read(written() + written(3), "decisions.jsonl")
    assert [(each.begin, len(each.looks)) for each in rollouts] == [(BEGIN, 12), (BEGIN, 3)]
    pairs = list(log.replay(rollouts[0]))
    assert [now for _, now in pairs] == [look.decision for look, _ in pairs]
    assert {"advance", "promote"} <= {now.action for _, now in pairs}
    assert log.differences(rollouts[0]) == []


def test_another_policy_decides_the_same_windows_otherwise() -> None:
    rollout = log.read(written(), "x")[0]
    actions = {now.action for _, now in log.replay(rollout, Policy(min_requests=10_000))}
    assert actions == {"hold"}


def test_what_the_program_decides_otherwise_than_it_was_logged_is_told() -> None:
    lines = written()
    look = json.loads(lines[5])
    look["decision"]["action"] = "roll_back"
    lines[5] = json.dumps(look) + "\n"
    rollout = log.read(lines, "x")[0]
    assert [each.at for each, _ in log.differences(rollout)] == [5.0]


def test_a_last_line_that_is_not_whole_is_left_out() -> None:
    lines = written()
    rollout = log.read([*lines[:-1], lines[-1][:40]], "x")[0]
    assert len(rollout.looks) == 11


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{\n"], "x, line 1 isn't JSON"),
        (["[]\n"], "x, line 1 is neither a rollout nor a look"),
        (['{"kind": "other"}\n'], "is neither a rollout nor a look"),
        (written()[1:], "x, line 1: a look without the rollout that it belongs to"),
        ([written()[0].replace('"format":1', '"format":2')], "x, line 1 has format 2; this program reads 1"),
        ([written()[0].replace('"stable":3,', "")], "x, line 1 isn't a whole rollout (KeyError('stable'))"),
        ([written()[0], written()[1].replace('"at":1,', "")], "x, line 2 isn't a whole look (KeyError('at'))"),
    ],
)
def test_what_is_no_log(lines: list[str], message: str) -> None:
    with pytest.raises(RolloutError) as raised:
        log.read(lines, "x")
    assert message in str(raised.value)
