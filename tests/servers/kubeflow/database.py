"""The server's database: whether it can be reached, and what it loses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from .refusals import Refused


class Database:
    """Fails as tests want it.

    Args:
        now: the server's clock.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._until: datetime | None = None
        self._losing = False

    @property
    def reachable(self) -> bool:
        return self._until is None or self._now() >= self._until

    def go_away(self, seconds: float) -> None:
        """It can't be reached for a time, by the server's clock."""
        self._until = self._now() + timedelta(seconds=seconds)

    def come_back(self) -> None:
        self._until = None

    @contextmanager
    def losing(self, loses: bool) -> Iterator[None]:
        """What is recorded meanwhile is lost, and the server told so."""
        self._losing = loses
        try:
            yield
        finally:
            self._losing = False

    def read(self) -> None:
        """Raises Refused if nothing can be read."""
        if not self.reachable:
            raise Refused(500, "InternalServerError: dial tcp: connect: connection refused")

    def record(self) -> None:
        """Raises Refused if nothing can be recorded."""
        self.read()
        if self._losing:
            raise Refused(500, "InternalServerError: Failed to store the record: invalid connection")
