"""Processes that share work: none outlives what started it, and an error in one is reported."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from data_validation import workers

from stepkit.errors import StepError

# Starts two processes, and then stays where it is.
STEP = """
import os, sys, time
from data_validation import workers

workers._PR_SET_PDEATHSIG = int(sys.argv[2])

def work(item):
    if sys.argv[1] == "computes" and item:
        time.sleep(600)
    return item

for number in workers.in_order(work, [0, 1, 2], 2):
    print(number, flush=True)
    if sys.argv[1] == "computes" or number == 2:
        time.sleep(600)
"""
_KILLS_WITH_PARENT, _DOES_NOTHING = 1, 2  # prctl(2): PR_SET_PDEATHSIG, and PR_GET_PDEATHSIG with nowhere to write to


def runs(process: str) -> bool:
    """True until a process has ended, be it that nobody has asked how, as in a container without an init."""
    try:
        return Path("/proc", process, "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize(
    ("state", "option"),
    [("waits", _DOES_NOTHING), ("computes", _KILLS_WITH_PARENT)],
    ids=["waiting, by its closed pipe alone", "computing, by the kernel"],
)
def test_no_process_outlives_a_step_that_is_killed(state, option):
    with subprocess.Popen([sys.executable, "-c", STEP, state, str(option)], stdout=subprocess.PIPE) as step:
        for _ in range(3 if state == "waits" else 1):
            assert step.stdout.readline()
        own = Path(f"/proc/{step.pid}/task/{step.pid}/children").read_text(encoding="ascii").split()
        step.kill()
    try:
        assert len(own) == 2
        assert eventually(lambda: not any(map(runs, own)))
    finally:
        for left in filter(runs, own):
            os.kill(int(left), signal.SIGKILL)


def test_a_caller_that_goes_on_without_the_rest_ends_what_computes_at_once():
    started = time.monotonic()
    results = workers.in_order(lambda item: (time.sleep(60 * item), os.getpid()), [0, 1, 1, 1], 2)
    _, pid = next(results)
    results.close()
    assert time.monotonic() - started < 30
    assert not runs(str(pid))


def test_a_worker_that_is_killed_is_told():
    with pytest.raises(StepError, match="One of 2 worker processes was killed.*more memory"):
        list(workers.in_order(lambda item: os.kill(os.getpid(), signal.SIGKILL), [1, 2, 3], 2))


def test_what_the_first_item_in_order_raised_is_raised():
    def refuse(item: int) -> int:
        time.sleep(0.2 if item == 1 else 0)
        if item:
            raise StepError(f"item {item} is wrong")
        return item

    results = workers.in_order(refuse, [0, 1, 2, 3], 3)
    assert next(results) == 0
    with pytest.raises(StepError, match="item 1 is wrong"):
        next(results)


def test_a_bug_in_a_worker_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError) as caught:
        list(workers.in_order(lambda item: 1 // item, [0, 1], 2))
    assert "test_workers.py" in caught.value.__notes__[0]


def test_results_come_in_order_whatever_their_size():
    results = workers.in_order(lambda item: bytes([item]) * (item << 14), range(60), 2)
    assert [len(result) for result in results] == [item << 14 for item in range(60)]


def test_results_do_not_pile_up(tmp_path):
    results = workers.in_order(lambda item: (tmp_path / str(item)).touch(), range(20), 2)
    next(results)
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) <= 5
    results.close()
