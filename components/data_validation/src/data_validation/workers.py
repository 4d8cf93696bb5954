"""Calls spread over processes, as many as there are CPUs, with results in order.

The processes are forks of this one. The work goes through one pipe, the results of each come back through a pipe of
its own; each process keeps the ends that it uses and closes the rest. However this process ends, none outlives it: the
pipe of one that waits for work is closed then, and one that computes is killed by the kernel. (A ProcessPoolExecutor's
processes hold both ends of their queue, whatever they are started by, and so wait for ever.)
"""

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import struct
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar, cast

import pyarrow as pa

from stepkit.errors import StepError

Item = TypeVar("Item")
Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1  # prctl(2)
# The number of an item in the pipe of work. Linux reads and writes so few bytes at once, or not at all: pipe(7).
_NUMBER = struct.Struct("=q")


def in_order(function: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[Result]:
    """Yields `function` of each item, in the items' order.

    The processes have this one's modules and data without importing or copying, so `function` and items may be of any
    kind; results are pickled. At most two items a process are underway or waiting, so results don't pile up.

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
    # A collection writes to every object that it looks at, and so copies what processes share.
    gc.collect()
    gc.freeze()
    pool = _Pool()
    try:
        for _ in range(processes):
            pool.start(function, items)
        told = 0
        for number in range(len(items)):
            while told < min(len(items), number + 2 * processes):
                pool.tell(told)
                told += 1
            yield pool.result(number)
            _give_back()
    finally:
        pool.end()
        gc.unfreeze()


class _Pool:
    """Processes that work; all use is from one thread."""

    def __init__(self) -> None:
        self._work, self._told = os.pipe()
        self._processes: list[BaseProcess] = []
        self._readers: list[Connection] = []
        self._done: dict[int, tuple[bool, Any]] = {}

    def start(self, function: Callable[[Item], Any], items: Sequence[Item]) -> None:
        """Starts a process."""
        context = multiprocessing.get_context("fork")
        reader, writer = context.Pipe(duplex=False)
        self._readers.append(reader)
        not_its = [self._told, *(end.fileno() for end in self._readers)]
        process = context.Process(
            target=_serve, args=(os.getpid(), function, items, self._work, writer, not_its), daemon=True
        )
        with _sigterm_later():
            process.start()
            self._processes.append(process)
        writer.close()

    def tell(self, number: int) -> None:
        """Has an item worked on, by whichever process is first to read its number."""
        with contextlib.suppress(BrokenPipeError):  # all were killed, as is found out when a result is asked for
            os.write(self._told, _NUMBER.pack(number))

    def result(self, number: int) -> Any:
        """Waits for what the function gave for an item, and returns it or raises what it raised."""
        while number not in self._done:
            for ready in connection.wait(self._readers):
                try:
                    done, good, value = cast(Connection, ready).recv()  # as all that it waits for
                except (EOFError, OSError) as error:
                    raise StepError(
                        f"One of {len(self._processes)} worker processes was killed, most likely for want of memory. "
                        "Give the step more memory, or fewer CPUs: it starts a process for each."
                    ) from error
                self._done[done] = good, value
        good, value = self._done.pop(number)
        if not good:
            raise value
        return value

    def end(self) -> None:
        """Ends all processes at once, whatever they do."""
        os.close(self._told)
        os.close(self._work)
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for reader in self._readers:
            reader.close()


@contextlib.contextmanager
def _sigterm_later() -> Iterator[None]:
    """Holds SIGTERM back: Python drops an exception that a signal's handler raises while it forks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    step: int, function: Callable[[Any], Any], items: Sequence[Any], work: int, results: Connection, not_mine: list[int]
) -> None:
    """A process: works until there is nothing more to do.

    Args:
        step: id of the process that forked it.
        not_mine: ends of pipes that belong to that one.
    """
    _die_with(step)
    for end in not_mine:
        os.close(end)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    while told := os.read(work, _NUMBER.size):
        (number,) = _NUMBER.unpack(told)
        try:
            message = ForkingPickler.dumps((number, True, function(items[number])))
        except Exception as error:  # pylint: disable=broad-exception-caught  # raised where the result is asked for
            if not isinstance(error, StepError):
                error.add_note(f"In a worker process:\n{traceback.format_exc()}")
            message = ForkingPickler.dumps((number, False, error))
        results.send_bytes(message)
        del message
        _give_back()


def _die_with(step: int) -> None:
    """Has the kernel kill this process when the one that forked it is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != step:  # gone before the call above
        os._exit(1)


def _give_back() -> None:
    """Gives memory that is free back to the system: allocators keep it in pieces, more with every item."""
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)  # glibc, as Arrow's wheels need it anyhow
