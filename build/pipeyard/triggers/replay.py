"""A trigger's log, decided anew: what would another policy have done, and does this one still do the same?"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from pipeyard.errors import PipeyardError
from pipeyard.triggers.decision import decide
from pipeyard.triggers.domain import Decision, LogEntry, Policy, TriggerState


@dataclass(frozen=True)
class Replayed:
    """A line of the log, and what is decided on it now."""

    entry: LogEntry
    decision: Decision

    @property
    def differs(self) -> bool:
        """True if it was decided otherwise."""
        return (self.entry.code, self.entry.key) != (self.decision.code, self.decision.key)


def read(lines: Iterable[str], name: str) -> list[LogEntry]:
    """Returns the entries of a log: JSON Lines, as `pipeyard trigger show --log` prints them.

    Args:
        name: of the file, for messages.

    Raises:
        PipeyardError: a line is no entry.
    """
    entries = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entries.append(LogEntry.model_validate_json(line))
        except ValidationError as error:
            raise PipeyardError(
                f"{name}:{number} is no line of a trigger's log: {error.errors()[0]['msg']}. "
                "Take what `pipeyard trigger show --log` prints."
            ) from error
    return entries


def replay(entries: Iterable[LogEntry], policy: Policy) -> list[Replayed]:
    """Decides on every event again, at the time at which it was decided, from nothing known."""
    known = TriggerState()
    replayed = []
    for entry in entries:
        decision = decide(known, entry.event, policy, entry.at)
        known = decision.state
        replayed.append(Replayed(entry, decision))
    return replayed
