"""Windows between readings, and what histograms say."""

import math

import pytest

from rollout.errors import RolloutError
from rollout.observations import Counters, Window, between, quantile

FIRST = Counters(10, 1, 100, 2, {0.1: 50, math.inf: 100}, {"a": {0.5: 10, math.inf: 100}})
SECOND = Counters(11, 1, 150, 3, {0.1: 60, math.inf: 150}, {"a": {0.5: 15, math.inf: 150}})


def window(before: Counters | None, after: Counters | None) -> Window:
    return between(before, after, version=4, weight=10, start=20, end=21)


def test_a_window_is_the_difference_of_two_readings() -> None:
    assert window(FIRST, SECOND) == Window(
        10, 11, 4, True, 50, 1, {0.1: 10, math.inf: 50}, {"a": {0.5: 5, math.inf: 50}}, 10
    )
    first = window(Counters(9, 1), FIRST)
    assert (first.requests, first.latency) == (100, FIRST.latency)


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, SECOND), (FIRST, None), (None, None), (FIRST, Counters(11, 2, 150)), (SECOND, FIRST)],
    ids=["not before", "not after", "never", "another process", "counters went back"],
)
def test_a_version_that_was_down_meanwhile(before: Counters | None, after: Counters | None) -> None:
    assert window(before, after) == Window(20, 21, 4, alive=False, weight=10)


def test_a_window_is_read_as_it_was_written() -> None:
    made = window(FIRST, SECOND)
    assert made.to_json()["latency"] == {"0.1": 10, "+Inf": 50}
    assert Window.from_json(made.to_json()) == made
    with pytest.raises(RolloutError, match=r"isn't whole .*'errors'"):
        Window.from_json({key: value for key, value in made.to_json().items() if key != "errors"})


def test_quantiles_lie_within_their_bucket() -> None:
    histogram = {1.0: 0, 2.0: 50, 4.0: 100, math.inf: 100}
    assert quantile(histogram, 0.5) == pytest.approx(2.0)
    assert quantile(histogram, 0.75) == pytest.approx(math.sqrt(8))
    assert quantile({1.0: 10, math.inf: 100}, 0.9) == 1.0
    assert math.isnan(quantile({}, 0.5))
