"""Which versions of a model are to be served, with which share of the traffic: `rollout.json` beside the versions.

Deploy, commands and the supervisor write it, the supervisor follows it. It is written whole, by who holds the lock
file beside it, and each change has the next revision. The changes are functions from one state to the next; what has
happened already isn't done again, so that a step that was killed can be repeated.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout.errors import Overtaken, RolloutError
from rollout.policy import CANARY, DIRECT, SHADOW, Policy, check_strategy

FILE = "rollout.json"
LOCK = ".rollout.lock"
FORMAT = 1

PROMOTED = "promoted"
ROLLED_BACK = "rolled_back"
SUPERSEDED = "superseded"

STABLE = "stable"
CANDIDATE = "candidate"
OTHER = "other"


@dataclass(frozen=True)
class Decided:
    """How the last rollout ended.

    Attributes:
        version: the candidate's.
        action: `promoted`, `rolled_back`, or `superseded` by a newer version that was staged meanwhile.
        reasons: for people.
        at: seconds since the epoch.
        run_id: the run that staged it, if one is known.
    """

    version: int
    action: str
    reasons: tuple[str, ...]
    at: float
    run_id: str = ""


@dataclass(frozen=True)
class Desired:
    """The desired state of a model.

    Attributes:
        stable: the version that has all traffic but the candidate's.
        candidate: the version that is tried, if one is.
        weight: the candidate's percentage; 0 in shadow mode, where it gets copies.
        previous: the stable version before; it is kept where what serves may still need it.
        target: what serves, as deploy's parameter of that name has it.
        staged_at: when the candidate (or, by `direct`, the stable version) was staged, in seconds since the epoch.
        run_id: the run that staged it, if one is known.
    """

    stable: int
    strategy: str = DIRECT
    candidate: int | None = None
    weight: int = 0
    previous: int | None = None
    target: str = "local"
    policy: Policy = field(default_factory=Policy)
    registry_uri: str = ""
    staged_at: float = 0.0
    run_id: str = ""
    decided: Decided | None = None
    revision: int = 1

    def to_text(self) -> str:
        """Returns what is in the file."""
        decided = None
        if self.decided:
            decided = dataclasses.asdict(self.decided) | {"reasons": list(self.decided.reasons)}
        value = {
            "format": FORMAT,
            "revision": self.revision,
            "strategy": self.strategy,
            "stable": self.stable,
            "candidate": self.candidate,
            "weight": self.weight,
            "previous": self.previous,
            "target": self.target,
            "policy": self.policy.to_json(),
            "registry_uri": self.registry_uri,
            "staged_at": self.staged_at,
            "run_id": self.run_id,
            "decided": decided,
        }
        return json.dumps(value, indent=2) + "\n"


def from_bytes(content: bytes, where: str) -> Desired:
    """Returns the state that a file of this content has; see `from_text`."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise RolloutError(
            f"{where} isn't a rollout's state ({error}). Remove it: the next deployment writes it anew."
        ) from error
    return from_text(text, where)


def from_text(text: str, where: str) -> Desired:
    """Reads a file's text.

    Args:
        where: for errors.

    Raises:
        RolloutError: it isn't a desired state, or one of a newer format.
    """
    try:
        value = json.loads(text)
        if value["format"] == FORMAT:
            return _from_json(value)
    except RolloutError as error:
        raise RolloutError(f"{where}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RolloutError(
            f"{where} isn't a rollout's state ({error!r}). Remove it: the next deployment writes it anew."
        ) from error
    raise RolloutError(f"{where} has format {value['format']!r}; this program reads {FORMAT}. Update it.")


def _from_json(value: Mapping[str, Any]) -> Desired:
    decided = value["decided"]
    check_strategy(value["strategy"])
    return Desired(
        stable=int(value["stable"]),
        strategy=value["strategy"],
        candidate=_version(value["candidate"]),
        weight=int(value["weight"]),
        previous=_version(value.get("previous")),
        target=str(value.get("target", "local")),
        policy=Policy.from_json(value["policy"]),
        registry_uri=str(value["registry_uri"]),
        staged_at=float(value["staged_at"]),
        run_id=str(value.get("run_id", "")),
        decided=_decided(decided) if decided else None,
        revision=int(value["revision"]),
    )


def _version(value: Any) -> int | None:
    return None if value is None else int(value)


def _decided(value: Mapping[str, Any]) -> Decided:
    return Decided(
        int(value["version"]),
        str(value["action"]),
        tuple(map(str, value["reasons"])),
        float(value["at"]),
        str(value.get("run_id", "")),
    )


def stage(
    current: Desired | None,
    version: int,
    *,
    strategy: str,
    policy: Policy,
    registry_uri: str,
    now: float,
    run_id: str = "",
    target: str = "local",
) -> Desired:
    """Returns the state with a new version staged: served at once by `direct` or where it is the first, else tried.

    A candidate that isn't decided gives way to it: there is never more than one. Nothing changes where the version is
    staged already or is the stable one, and where it was decided on: since this run staged it, or as bad by the same
    strategy and policy.

    Raises:
        RolloutError: there is no such strategy.
    """
    check_strategy(strategy)
    if current is None:
        return Desired(version, policy=policy, registry_uri=registry_uri, staged_at=now, run_id=run_id, target=target)
    if version == current.candidate and strategy == current.strategy:
        return _changed(current, policy=policy, registry_uri=registry_uri, target=target)
    if version == current.stable and current.candidate is None:
        return _changed(current, registry_uri=registry_uri, target=target)
    if _is_decided(current, version, strategy, policy, run_id):
        return current
    last = current.decided
    if current.candidate is not None and current.candidate != version:
        last = Decided(current.candidate, SUPERSEDED, (f"superseded by version {version}",), now, current.run_id)
    at_once = strategy == DIRECT or version == current.stable
    return _changed(
        current,
        strategy=DIRECT if at_once else strategy,
        stable=version if at_once else current.stable,
        candidate=None if at_once else version,
        weight=0 if at_once else policy.first_weight(strategy),
        previous=current.stable if at_once and version != current.stable else current.previous,
        target=target,
        policy=policy,
        registry_uri=registry_uri,
        staged_at=now,
        run_id=run_id,
        decided=last,
    )


def _is_decided(current: Desired, version: int, strategy: str, policy: Policy, run_id: str) -> bool:
    last = current.decided
    if not last or last.version != version:
        return False
    same_question = (strategy, policy) == (current.strategy, current.policy)
    return bool(run_id and last.run_id == run_id) or (last.action == ROLLED_BACK and same_question)


def staged(current: Desired | None, version: int) -> Desired:
    """Returns a state that there has to be.

    Raises:
        RolloutError: there is none, so that nothing can be done with that version.
    """
    if current is None:
        raise RolloutError(f"Version {version} was never staged: nothing is served yet. Deploy it first.")
    return current


def role(current: Desired | None, version: int) -> str:
    """Returns what a version is: `stable`, `candidate` or `other`."""
    if current is None:
        return OTHER
    return {current.candidate: CANDIDATE, current.stable: STABLE}.get(version, OTHER)


def shift(current: Desired, version: int, weight: int) -> Desired:
    """Returns the state in which the candidate gets another share of the traffic.

    Raises:
        Overtaken: that version isn't the candidate of a canary.
        RolloutError: the share isn't 0 to 99 percent.
    """
    if current.candidate != version or current.strategy != CANARY:
        raise Overtaken(f"Version {version} isn't a canary now: {describe(current)}. Stage it first.")
    if not 0 <= weight <= 99:
        raise RolloutError(f"A canary's share is 0 to 99 percent, not {weight}; at 100 it is promoted.")
    return _changed(current, weight=weight)


def promote(current: Desired, version: int, reasons: Sequence[str], now: float) -> Desired:
    """Returns the state in which the candidate is the stable version.

    Raises:
        Overtaken: that version is neither.
    """
    if current.candidate is None and current.stable == version:
        return current
    return _end(current, version, PROMOTED, reasons, now, stable=version, previous=current.stable)


def roll_back(current: Desired, version: int, reasons: Sequence[str], now: float) -> Desired:
    """Returns the state without the candidate.

    Raises:
        Overtaken: that version isn't the candidate, nor was it rolled back before.
    """
    last = current.decided
    if current.candidate is None and last and (last.version, last.action) == (version, ROLLED_BACK):
        return current
    return _end(current, version, ROLLED_BACK, reasons, now)


def _end(current: Desired, version: int, action: str, reasons: Sequence[str], now: float, **changes: int) -> Desired:
    if current.candidate != version:
        raise Overtaken(f"Version {version} can't be {action.replace('_', ' ')}: {describe(current)}.")
    decided = Decided(version, action, tuple(reasons), now, current.run_id)
    return _changed(current, **changes, candidate=None, weight=0, decided=decided)


def describe(current: Desired) -> str:
    """Returns a state in words."""
    if current.candidate is None:
        last = current.decided
        said = f", version {last.version} was {last.action.replace('_', ' ')}" if last else ""
        return f"version {current.stable} is stable and none is tried{said}"
    how = "gets copies of all requests" if current.strategy == SHADOW else f"gets {current.weight}%"
    return f"version {current.stable} is stable and version {current.candidate} {how}"


def _changed(current: Desired, **changes: Any) -> Desired:
    changed = dataclasses.replace(current, **changes)
    return current if changed == current else dataclasses.replace(changed, revision=current.revision + 1)


def read(folder: Path) -> Desired | None:
    """Returns a model's desired state; None if there is none.

    Raises:
        RolloutError: the file isn't one.
    """
    file = folder / FILE
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return from_bytes(content, str(file))


def update(folder: Path, change: Callable[[Desired | None], Desired]) -> Desired:
    """Changes a model's desired state, alone: the lock is held from reading to writing. Returns the new one.

    Args:
        change: from what is there to what is to be; the same object, or an equal one: nothing is written.

    Raises:
        RolloutError: what is there isn't a state, or `change` raises it.
    """
    with locked(folder):
        current = read(folder)
        new = change(current)
        if new != current:
            _write(folder / FILE, new.to_text())
        return new


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a model's desired state; makes the folder if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab") as lock:
        with contextlib.suppress(OSError):  # some network filesystems have none
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        for leftover in folder.glob(f".{FILE}.*.partial"):
            leftover.unlink(missing_ok=True)
        yield


def _write(file: Path, text: str) -> None:
    aside = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with aside.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
