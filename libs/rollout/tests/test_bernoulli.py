"""The tests are valid and find what is there."""

import itertools
import math

import pytest

from rollout.bernoulli import TwoSample, lower_bound, upper_bound


@pytest.mark.parametrize("p", [0.01, 0.2, 0.7])
@pytest.mark.parametrize("guess", [0.02, 0.3])
@pytest.mark.parametrize("sizes", [(3, 1), (2, 4)])
def test_a_block_s_evidence_is_at_most_one_on_average(p: float, guess: float, sizes: tuple[int, int]) -> None:
    expected = 0.0
    for k1, k2 in itertools.product(*(range(size + 1) for size in sizes)):
        test = TwoSample()
        test.add((sizes[0], k1), (sizes[1], k2), guess)
        chance = math.prod(
            math.comb(size, count) * p**count * (1 - p) ** (size - count)
            for size, count in zip(sizes, (k1, k2), strict=True)
        )
        expected += chance * math.exp(test.log_e)
    assert 0.5 < expected <= 1 + 1e-12


def test_evidence_grows_where_the_second_stream_says_yes_more_often_and_falls_where_less() -> None:
    more, less = TwoSample(), TwoSample()
    for _ in range(10):
        more.add((900, 9), (100, 3), 0.01)
        less.add((900, 27), (100, 1), 0.03)
    assert more.log_e > math.log(1 / 0.0125)
    assert less.log_e < 0


def test_a_block_of_one_stream_alone_is_no_evidence() -> None:
    test = TwoSample()
    test.add((100, 0), (0, 0), 0.01)
    test.add((0, 0), (100, 100), 0.01)
    assert test.log_e == pytest.approx(0)


def test_bounds_of_a_share() -> None:
    assert lower_bound(0, 100, 0.05) == 0
    assert upper_bound(100, 100, 0.05) == 1
    assert upper_bound(0, 0, 0.05) == 1
    assert lower_bound(0, 0, 0.05) == 0
    assert upper_bound(0, 700, 0.00625) == pytest.approx(0.0101, abs=0.0015)
    low, high = lower_bound(50, 1000, 0.05), upper_bound(50, 1000, 0.05)
    # 3.4 standard errors on each side: wider than at one look (1.96), as it holds at all.
    assert (low, high) == (pytest.approx(0.03, abs=0.005), pytest.approx(0.078, abs=0.006))
    assert upper_bound(50, 1000, 0.01) > high
    assert upper_bound(500, 10_000, 0.05) < high
