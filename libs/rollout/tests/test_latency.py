"""Blocks of latencies: when one is whole, what it says, how many prove something."""

import math

import pytest

from rollout.latency import BLOCK_REQUESTS, SlowerByBlock

REJECTS = math.log(4 / 0.05)
QUICK = {0.001: 0, 0.002: 40, 0.004: 40, math.inf: 40}
SLOW = {0.001: 0, 0.002: 0, 0.004: 40, math.inf: 40}


def add(test: SlowerByBlock, blocks: int, candidate: dict[float, int], weight: int = 10) -> None:
    for _ in range(blocks):
        test.add(QUICK, candidate, 3.0, weight)


def test_eight_slower_blocks_prove_it_and_seven_do_not() -> None:
    test = SlowerByBlock(1.1)
    add(test, 7, SLOW)
    assert test.log_e < REJECTS
    add(test, 1, SLOW)
    assert test.log_e >= REJECTS
    assert test.ratio() == pytest.approx(2.0, rel=0.05)


def test_blocks_that_are_as_quick_prove_nothing_and_speak_against_it() -> None:
    test = SlowerByBlock(1.1)
    add(test, 3, QUICK)
    assert (test.ratio(), test.log_e < -2) == (1.0, True)
    add(test, 2, SLOW)
    assert test.ratio() == 1.0


def test_a_block_needs_time_and_requests_of_both() -> None:
    test = SlowerByBlock(1.1)
    test.add(QUICK, SLOW, 2.9, 10)
    assert math.isnan(test.ratio())
    test.add(QUICK, {}, 0.2, 10)
    assert not math.isnan(test.ratio())
    few = SlowerByBlock(1.1)
    for _ in range(BLOCK_REQUESTS - 1):
        few.add(QUICK, {0.002: 0, 0.004: 1, math.inf: 1}, 3.0, 10)
    assert math.isnan(few.ratio())


def test_a_block_ends_where_the_share_changes() -> None:
    test = SlowerByBlock(1.1)
    test.add(QUICK, SLOW, 2.0, 10)
    test.add(QUICK, QUICK, 2.0, 20)
    assert math.isnan(test.ratio())
    test.add(QUICK, QUICK, 2.0, 20)
    assert test.ratio() == 1.0
