"""Labels that come later: joined by request, compared by key."""

import random

import pytest

from rollout import labels
from rollout.labels import Answer, Scored


def is_right(label: str, prediction: str) -> float:
    return float(label == prediction)


def scored(seed: int, version: int, share: float, *, requests: int = 2000, per_key: int = 1) -> list[Scored]:
    """Requests of keys, of which a share are right in all that they ask."""
    source = random.Random(seed)
    rights = [float(source.random() < share) for _ in range(requests // per_key)]
    return [
        Scored(f"{version}-{number}", version, f"{version}-{number // per_key}", rights[number // per_key])
        for number in range(requests)
    ]


def compare(*sides: list[Scored], paired: bool = False, alpha: float = 0.05) -> labels.Comparison | None:
    return labels.compare([each for side in sides for each in side], 1, 2, alpha=alpha, look=1, paired=paired)


def test_answers_are_joined_by_request_and_version() -> None:
    answers = [Answer("a", 1, "yes", "user"), Answer("a", 2, "no", "user"), Answer("b", 1, "no"), Answer("c", 1, "no")]
    found = labels.join([*answers, answers[0]], {"a": "yes", "b": "no"}, is_right)
    assert found == [Scored("a", 1, "user", 1.0), Scored("a", 2, "user", 0.0), Scored("b", 1, "b", 1.0)]


def test_a_difference_is_found_and_none_is_not() -> None:
    worse = compare(scored(1, 1, 0.8), scored(2, 2, 0.7))
    assert -0.15 < worse.low < worse.difference < worse.high < -0.05
    missed = sum(
        not (c.low <= 0 <= c.high) for c in (compare(scored(n, 1, 0.8), scored(-n, 2, 0.8)) for n in range(1, 6))
    )
    assert missed <= 1


def test_requests_of_one_key_count_as_one() -> None:
    alone = compare(scored(1, 1, 0.8), scored(2, 2, 0.8))
    together = compare(scored(1, 1, 0.8, per_key=20), scored(2, 2, 0.8, per_key=20))
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_pairs_leave_out_what_requests_have_in_common() -> None:
    source = random.Random(3)
    common = [source.gauss(0, 1) for _ in range(500)]
    first = [Scored(str(number), 1, str(number), value) for number, value in enumerate(common)]
    second = [Scored(str(number), 2, str(number), value - 0.05) for number, value in enumerate(common)]
    only_one = [Scored("x", 2, "x", 1000.0)]
    others = [Scored(each.request_id, 2, f"other {each.key}", each.value) for each in second]
    paired, apart = compare(first, second, only_one, paired=True), compare(first, others)
    assert paired.difference == pytest.approx(-0.05)
    assert paired.requests == 500
    assert paired.high - paired.low < 1e-6
    assert apart.high - apart.low > 0.1


def test_nothing_to_compare() -> None:
    assert compare(scored(1, 1, 0.8)) is None
    assert compare(scored(1, 1, 0.8, requests=5), scored(2, 2, 0.8, requests=5), paired=True) is None


def test_looks_are_few_and_spend_alpha_once() -> None:
    assert [labels.looks(requests) for requests in (0, 199, 200, 399, 400, 800, 1600)] == [0, 0, 1, 1, 2, 3, 4]
    assert sum(labels.alpha_of(look, 0.05) for look in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
