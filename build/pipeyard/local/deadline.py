"""The deadline of a whole run: when it has passed, what runs is stopped, and nothing more starts."""

import threading
from types import TracebackType


class Deadline:
    """A context in which a run may take so long.

    Args:
        seconds: from when it is entered; None: for ever.
        stop: set when they have passed, unless it was before: then somebody else stopped the run.

    Attributes:
        told: what happened, for the run's record; '': the deadline hasn't passed.
    """

    def __init__(self, seconds: float | None, stop: threading.Event) -> None:
        self.told = ""
        self._seconds = seconds
        self._stop = stop
        self._timer: threading.Timer | None = None

    def __enter__(self) -> "Deadline":
        if self._seconds is not None:
            # A deadline may be longer than a lock of the operating system can wait.
            self._timer = threading.Timer(min(self._seconds, threading.TIMEOUT_MAX), self._pass)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _pass(self) -> None:
        if not self._stop.is_set():
            assert self._seconds is not None
            self.told = (
                f"the run's deadline of {self._seconds:g} s passed. If it isn't stuck, set a longer `deadline` in "
                "settings.yaml"
            )
            self._stop.set()
