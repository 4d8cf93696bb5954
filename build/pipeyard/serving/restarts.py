"""When what ended by itself is started again: at once, then after pauses that double."""

from dataclasses import dataclass, field

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 30.0
# One that lived so long before it ended is started again at once.
_STEADY_SECONDS = 60.0


@dataclass
class Restarts:
    """What is known of the starts of several processes, by name; times are seconds of one clock."""

    _started: dict[str, float] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    _ended: dict[str, float] = field(default_factory=dict)

    def started(self, name: str, now: float) -> None:
        self._started[name] = now

    def age(self, name: str, now: float) -> float:
        """Returns the seconds since it was started; infinity if that wasn't by us."""
        return now - self._started.get(name, float("-inf"))

    def ended(self, name: str, now: float) -> None:
        """Notes an end that nobody wanted."""
        steady = now - self._started.get(name, now) >= _STEADY_SECONDS
        self._failures[name] = 1 if steady else self._failures.get(name, 0) + 1
        self._ended[name] = now

    def forget(self, name: str) -> None:
        for known in (self._started, self._failures, self._ended):
            known.pop(name, None)

    def names(self) -> list[str]:
        """Returns those that were started or ended."""
        return sorted({*self._started, *self._ended})

    def count(self, name: str) -> int:
        """Returns how often it ended in a row, soon after it was started."""
        return self._failures.get(name, 0)

    def waits(self, name: str, now: float) -> bool:
        """Whether it is too early to start it again."""
        failures = self._failures.get(name, 0)
        if failures < 2:
            return False
        pause = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** (failures - 2))
        return now < self._ended[name] + pause
