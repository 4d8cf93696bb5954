"""Work on batches in threads: Arrow, TensorFlow, numpy and zlib let go of the interpreter's lock."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from stepkit import machine

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
_AHEAD = 1  # more than there are threads: enough for them to find work, and memory holds little


@contextlib.contextmanager
def ordered_map() -> Iterator[Map]:
    """Gives a function like `map` that works on a few items ahead, in as many threads as there are CPUs to use.

    Results come in the order of the items, whatever the number of threads.
    """
    workers = machine.cpus()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")

    def ordered(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        waiting: deque[Future[Any]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers + _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        yield ordered
    finally:
        pool.shutdown(cancel_futures=True)
