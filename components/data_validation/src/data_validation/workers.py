"""Calls spread over processes, as many as there are CPUs, with results in order."""

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import pyarrow as pa

from stepkit.errors import StepError

Item = TypeVar("Item")
Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1  # prctl(2)


def in_order(function: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[Result]:
    """Yields `function` of each item, in the items' order.

    The processes are forks of this one: they have its modules and data without importing or copying. `function` may
    hence be any callable; items and results are pickled. At most two items a process are underway or waiting, so
    results don't pile up.

    Args:
        processes: with at most 1, this process does it all.

    Raises:
        StepError: a process was killed.
    """
    processes = min(processes, len(items))
    if processes <= 1:
        for item in items:
            yield function(item)
            _give_back()
        return
    context = multiprocessing.get_context("fork")
    # A collection writes to every object that it looks at, and so copies what processes share.
    gc.collect()
    gc.freeze()
    pool = ProcessPoolExecutor(processes, context, _keep, (function, os.getpid()))
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            with _sigterm_later():  # the first call forks
                waiting.append(pool.submit(_call, item))
            if len(waiting) >= 2 * processes:
                yield waiting.popleft().result()
                _give_back()
        while waiting:
            yield waiting.popleft().result()
            _give_back()
    except BrokenProcessPool as error:
        raise StepError(
            f"One of {processes} worker processes was killed, most likely for want of memory. "
            "Give the step more memory, or fewer CPUs: it starts a process for each."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        gc.unfreeze()


@contextlib.contextmanager
def _sigterm_later() -> Iterator[None]:
    """Holds SIGTERM back: Python drops an exception that a signal's handler raises while it forks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_kept: list[Callable[..., object]] = []  # in a worker: what it is there to call


def _keep(function: Callable[..., object], step: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a step that is killed leaves no process behind
    if os.getppid() != step:  # killed before the call above
        os._exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _kept.append(function)


def _call(item: object) -> object:
    result = _kept[0](item)
    _give_back()
    return result


def _give_back() -> None:
    """Gives memory that is free back to the system: allocators keep it in pieces, more with every item."""
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)  # glibc, as Arrow's wheels need it anyhow
