"""The log of rollouts, by which they can be decided again: JSON, one object a line.

A rollout begins with a line of kind `rollout`: model, versions, policy. Each look is one of kind `look`: both windows
and what was decided. A last line that isn't whole, of a program that was killed, is left out.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rollout.decision import Decision, Evidence, judge
from rollout.errors import RolloutError
from rollout.labels import Comparison
from rollout.observations import Window
from rollout.policy import Policy

FORMAT = 1


@dataclass(frozen=True)
class Begin:
    """What is known when a candidate is staged."""

    model: str
    stable: int
    candidate: int
    strategy: str
    policy: Policy
    staged_at: float


@dataclass(frozen=True)
class Look:
    """One look at a rollout.

    Attributes:
        at: seconds since the epoch.
        weight: the candidate's percentage before the decision.
        comparisons: all of labelled metrics so far.
    """

    at: float
    weight: int
    stable: Window
    candidate: Window
    decision: Decision
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Rollout:
    """A logged rollout."""

    begin: Begin
    looks: list[Look] = field(default_factory=list)


def begin_line(begin: Begin) -> str:
    """Returns the line that a rollout begins with."""
    return _line({"kind": "rollout", "format": FORMAT, **asdict(begin), "policy": begin.policy.to_json()})


def look_line(look: Look) -> str:
    """Returns the line of a look."""
    value = {
        "kind": "look",
        "at": look.at,
        "weight": look.weight,
        "stable": look.stable.to_json(),
        "candidate": look.candidate.to_json(),
        "comparisons": [asdict(each) for each in look.comparisons],
        "decision": asdict(look.decision),
    }
    return _line(value)


def read(lines: Iterable[str], where: str) -> list[Rollout]:
    """Reads a log.

    Args:
        lines: with their line ends.
        where: for errors.

    Raises:
        RolloutError: a line isn't of a log, or a look comes before any rollout.
    """
    found: list[Rollout] = []
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            break
        place = f"{where}, line {number}"
        value = _value(line, place)
        if value["kind"] == "rollout":
            found.append(Rollout(_begin(value, place)))
        elif not found:
            raise RolloutError(
                f"{place}: a look without the rollout that it belongs to. Give the log from its beginning."
            )
        else:
            found[-1].looks.append(_look(value, place))
    return found


def replay(rollout: Rollout, policy: Policy | None = None) -> Iterator[tuple[Look, Decision]]:
    """Decides each look again, from the windows up to it.

    Args:
        policy: another than the logged one, to see what it would have decided of the same windows.
    """
    evidence = Evidence(policy or rollout.begin.policy)
    for look in rollout.looks:
        evidence.add(look.stable, look.candidate)
        yield look, judge(evidence, rollout.begin.staged_at, look.at, look.weight, look.comparisons)


def differences(rollout: Rollout) -> Sequence[tuple[Look, Decision]]:
    """Returns the looks of which today's program decides otherwise than what was logged."""
    return [pair for pair in replay(rollout) if differs(*pair)]


def differs(look: Look, now: Decision) -> bool:
    """True if a decision isn't the one that was logged."""
    return (now.action, now.weight) != (look.decision.action, look.decision.weight)


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n"


def _value(line: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise RolloutError(f"{place} isn't JSON ({error}). Give a log that the supervisor wrote.") from error
    if not isinstance(value, dict) or value.get("kind") not in ("rollout", "look"):
        raise RolloutError(f"{place} is neither a rollout nor a look. Give a log that the supervisor wrote.")
    return value


def _begin(value: dict[str, Any], place: str) -> Begin:
    if value.get("format") != FORMAT:
        raise RolloutError(f"{place} has format {value.get('format')!r}; this program reads {FORMAT}. Update it.")
    try:
        return Begin(
            model=str(value["model"]),
            stable=int(value["stable"]),
            candidate=int(value["candidate"]),
            strategy=str(value["strategy"]),
            policy=Policy.from_json(value["policy"]),
            staged_at=float(value["staged_at"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RolloutError(f"{place} isn't a whole rollout ({error!r}).") from error


def _look(value: dict[str, Any], place: str) -> Look:
    try:
        return Look(
            at=float(value["at"]),
            weight=int(value["weight"]),
            stable=Window.from_json(value["stable"]),
            candidate=Window.from_json(value["candidate"]),
            decision=Decision(**value["decision"]),
            comparisons=tuple(Comparison(**each) for each in value["comparisons"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RolloutError(f"{place} isn't a whole look ({error!r}).") from error
