"""Policies that can't be kept where deploy itself follows a candidate: refused before anything is trained."""

from typing import Any

import pytest
import test_kserve_options
import test_vertex
from deploy import targets
from deploy.desired_target import Given

from stepkit.errors import UsageError

OPTIONS = {"kserve": test_kserve_options.GOOD, "vertex": test_vertex.REQUIRED}


def check(target: str, policy: dict[str, Any], strategy: str = "canary") -> None:
    targets.TARGETS[target].check(Given(OPTIONS[target], strategy, "gs://bucket/serving", "taxi", policy))


@pytest.mark.parametrize("target", OPTIONS)
def test_what_is_observed_there_may_be_asked_for(target: str) -> None:
    check(target, {})
    check(target, {"min_requests": 1000, "latency_ratio": 1.5, "drift_limit": None, "min_labels": 0})
    check(target, {"min_labels": 100, "deadline_seconds": 1}, "direct")  # of no canary, so it isn't looked at


def test_kserve_tells_scores() -> None:
    check("kserve", {"drift_limit": 0.1})


@pytest.mark.parametrize("target", OPTIONS)
@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"min_labels": 100}, "has min_labels: at --serving-target {} no labels are joined with answers"),
        ({"metric_margin": 0.02, "min_labels": 5}, "has min_labels and metric_margin: at --serving-target {}"),
        ({"deadline_seconds": 60}, "deadline_seconds is 60, but at --serving-target {} 3 steps take"),
    ],
)
def test_what_is_not_is_refused(target: str, policy: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says.format(target)):
        check(target, policy)


def test_vertex_ai_tells_no_scores() -> None:
    with pytest.raises(UsageError, match="has a drift_limit: --serving-target vertex tells no scores"):
        check("vertex", {"drift_limit": 0.1})


def test_a_default_that_vertex_ai_does_not_keep_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    check("vertex", {"drift_limit": None})
    check("vertex", {}, "direct")
    check("kserve", {})
    assert capsys.readouterr().err == ""
    check("vertex", {})
    assert "the default drift_limit of 0.2 isn't kept. Set drift_limit to null" in capsys.readouterr().err


def test_the_least_time_is_that_of_the_windows_and_of_what_is_waited_for_them() -> None:
    # Three steps, of windows of a minute that are known eight minutes later.
    check("vertex", {"deadline_seconds": 2 * 540 + 60})
    with pytest.raises(UsageError, match="3 steps take 1140 s at least"):
        check("vertex", {"deadline_seconds": 2 * 540 + 59})
