"""Where a trigger's state is kept: a local folder, or Cloud Storage. Nobody writes over what he hasn't read."""

import fcntl
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import ValidationError

from pipeyard.errors import PipeyardError
from pipeyard.system import files, jsons
from pipeyard.triggers import shards
from pipeyard.triggers.domain import FORMAT, Asked, Policy, TriggerState

if TYPE_CHECKING:
    from pipeyard.system.bucket import Bucket

T = TypeVar("T")
_TRIES = 12
# Seconds between tries: Cloud Storage takes one change of an object a second.
_SHORTEST, _LONGEST = 0.05, 4.0
# Seconds that reading or writing may take, with repetitions.
_DEADLINE = 60.0
_SCHEME = "gs://"
_KEPT = Policy(name="").kept
# States of which it is known what they are, by their text: so many, none of more bytes.
_PARSED: dict[bytes, TriggerState] = {}
_STATES, _MOST_REMEMBERED = 16, 4 * 1024 * 1024


class StateChanged(Exception):
    """Somebody else wrote after it was read."""


class Store(Protocol):
    """A place for the state of one trigger."""

    def read(self) -> tuple[bytes, Any]:
        """Returns what is there, and which version that is; b'' if nothing is."""

    def write(self, content: bytes, version: Any) -> None:
        """Writes in the place of the version that was read.

        Raises:
            StateChanged: another version is there by now. Nothing was written.
        """

    def shard(self, name: str) -> "Store":
        """Returns the place for a part of what the trigger remembers: see `shards`."""


def update(
    store: Store,
    change: Callable[[TriggerState], tuple[TriggerState, T]],
    wait: Callable[[float], None] = sleep,
    about: Asked | None = None,
    kept: timedelta = _KEPT,
) -> T:
    """Changes a state, whoever else changes it at the same time; `change` may be called several times.

    Args:
        about: what `change` looks for in `seen` and `newest`, which may be in shards.
        kept: how long entries of shards are kept.

    Raises:
        PipeyardError: what is there is no state, or others changed it too often for this to have its turn.
    """
    for _ in turns(wait):
        content, version = store.read()
        before = parse(content)
        known = _with_recalled(store, before, about)
        after, result = change(known)
        if after == known:
            return result
        after = _without_recalled(after, known, before)
        # Only what stood in the state before: what was decided just now stands nowhere until it is written.
        moved = shards.overflowing(before)
        for name, lines in moved.items():
            _add(store.shard(name), lines, kept, wait)
        if moved:
            after = shards.without(after, before, moved)
        content = after.model_dump_json().encode()
        try:
            store.write(content, version)
        except StateChanged:
            continue
        _remember(content, after)
        return result
    raise PipeyardError(
        f"The trigger's state was changed by others {_TRIES} times in a row. Send the event again; for constant bursts "
        "give the trigger fewer events: a prefix, or a suffix that one file a batch has."
    )


def turns(wait: Callable[[float], None]) -> Iterator[None]:
    """Yields as often as it is tried to write what others write, too, and waits in between."""
    pause = _SHORTEST
    for _ in range(_TRIES):
        yield
        wait(random.uniform(0, pause))
        pause = min(2 * pause, _LONGEST)


def read(store: Store) -> TriggerState:
    """Returns the state that is kept, without what is in shards."""
    return parse(store.read()[0])


def recall(store: Store, about: Asked) -> TriggerState:
    """Returns the state that is kept, with what its shards have of something."""
    return _with_recalled(store, read(store), about)


def parse(content: bytes) -> TriggerState:
    """Returns the state; an empty one of nothing. One of an earlier format is read as what it is in today's.

    Raises:
        PipeyardError: it is no state, or of a later format.
    """
    if not content:
        return TriggerState()
    if content in _PARSED:
        return _PARSED[content]
    try:
        known = TriggerState.model_validate_json(content)
    except ValidationError as error:
        written = _format(content)
        if written > FORMAT:
            raise _later(written) from error
        raise PipeyardError(
            f"The trigger's state can't be read: {error}. Move it away: the trigger begins anew then, and may "
            "start a run for an event that is delivered again."
        ) from error
    if known.format > FORMAT:
        raise _later(known.format)
    known = known if "format" in known.model_fields_set else _of_format_1(known)
    _remember(content, known)
    return known


def _later(written: int) -> PipeyardError:
    return PipeyardError(
        f"The trigger's state is of format {written}, which a later Pipeyard wrote; this one reads {FORMAT}. "
        "Deploy the function with that version again, or run that version here."
    )


def _remember(content: bytes, known: TriggerState) -> None:
    """Keeps what a text is: the next event mostly finds what this one wrote. Nothing changes a state in place."""
    if len(content) <= _MOST_REMEMBERED:
        if len(_PARSED) >= _STATES:
            _PARSED.clear()
        _PARSED[content] = known


def _format(content: bytes) -> int:
    try:
        return int(jsons.load(content)["format"])
    except (ValueError, TypeError, KeyError):
        return 0


def _of_format_1(known: TriggerState) -> TriggerState:
    """Counts starts, all of which were kept for as long as they counted."""
    if not known.starts:
        return known
    last = max(each.decided_at for each in known.starts)
    today = sum(each.decided_at.date() == last.date() for each in known.starts)
    return known.model_copy(update={"last_start": last, "day": last.date(), "today": today})


def _with_recalled(store: Store, known: TriggerState, about: Asked | None) -> TriggerState:
    if about is None or not known.sharded:
        return known
    seen = [key for key in about.seen if key not in known.seen]
    newest = [key for key in about.newest if key not in known.newest]
    found_seen, found_newest = dict(known.seen), dict(known.newest)
    for name in sorted({shards.name_of(key) for key in (*seen, *newest)}):
        told, latest = shards.find(store.shard(name).read()[0], seen, newest)
        found_seen |= told
        found_newest |= latest
    return known.model_copy(update={"seen": found_seen, "newest": found_newest})


def _without_recalled(after: TriggerState, known: TriggerState, before: TriggerState) -> TriggerState:
    """Returns a state without what is in shards, and there as it was."""
    if known is before:
        return after
    same = {
        name: {
            key: each
            for key, each in getattr(after, name).items()
            if key in getattr(before, name) or getattr(known, name).get(key) != each
        }
        for name in ("seen", "newest")
    }
    return after.model_copy(update=same)


def _add(shard: Store, added: shards.ShardLines, kept: timedelta, wait: Callable[[float], None]) -> None:
    for _ in turns(wait):
        content, version = shard.read()
        merged = shards.merge(content, added, kept)
        if merged == content:
            return
        try:
            shard.write(merged, version)
        except StateChanged:
            continue
        return
    raise PipeyardError(f"{shard} was changed by others {_TRIES} times in a row. Send the event again.")


def store_at(place: str, name: str) -> Store:
    """Returns the place for a trigger's state.

    Args:
        place: a local folder or gs://BUCKET[/PREFIX].
        name: of the file, with slashes.
    """
    return StateObject(place, name) if place.startswith(_SCHEME) else StateFile(Path(place) / name)


class StateFile:
    """A file on this machine."""

    def __init__(self, path: Path, lock: Path | None = None) -> None:
        self._path = path
        self._lock = lock or path.with_suffix(".lock")

    def shard(self, name: str) -> "StateFile":
        return StateFile(self._path.with_suffix("") / name, self._lock)

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> tuple[bytes, bytes]:
        content = self._path.read_bytes() if self._path.exists() else b""
        return content, content

    def write(self, content: bytes, version: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # for as long as a file takes to be written
            if self.read()[0] != version:
                raise StateChanged
            files.write_whole(self._path, content)


class StateObject:
    """An object in Cloud Storage; its versions are generations.

    Args:
        place: gs://BUCKET[/PREFIX].
        connection: to it; default: one of its own.
    """

    def __init__(self, place: str, name: str, connection: "Bucket | None" = None) -> None:
        self._place, self._name, self._connection = place.rstrip("/"), name, connection

    def __str__(self) -> str:
        return f"{self._place}/{self._name}"

    def shard(self, name: str) -> "StateObject":
        return StateObject(self._place, f"{self._name.removesuffix('.json')}/{name}", self._bucket)

    def read(self) -> tuple[bytes, int]:
        return self._bucket.read(self._name) or (b"", 0)

    def write(self, content: bytes, version: int) -> None:
        from pipeyard.system import bucket

        try:
            self._bucket.write(self._name, content, version)
        except bucket.PreconditionFailed as error:
            # Where an answer got lost, the library asks again, and what stands in the way is what it wrote itself.
            if self.read()[0] != content:
                raise StateChanged from error

    @cached_property
    def _bucket(self) -> "Bucket":
        """Late: credentials may be asked for over the network."""
        from pipeyard.system import bucket

        return self._connection or bucket.connect(self._place, _DEADLINE)
