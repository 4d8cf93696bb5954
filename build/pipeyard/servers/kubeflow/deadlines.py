"""A call with a deadline, whatever it blocks on."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Expired(Exception):
    """The call hadn't ended in time. What it does may still happen."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """Returns what `call` returns.

    A socket's time limit counts from byte to byte, and none counts while a name is looked up. So the call has a thread
    of its own, which is left behind when it takes too long; it doesn't keep the process from ending.

    Raises:
        Expired: it takes longer.
        Exception: what the call raises.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put((call(), None))
        except BaseException as error:  # pylint: disable=broad-exception-caught  # raised where it was called
            results.put((None, error))

    threading.Thread(target=work, daemon=True, name="bounded call").start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise Expired(f"no whole answer in {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # None only where T has it: there was no error
