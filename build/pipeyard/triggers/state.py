"""A trigger's state in a conditional store: a local folder, or Cloud Storage."""

from collections.abc import Callable
from datetime import timedelta
from time import sleep
from typing import TypeVar

from pydantic import ValidationError

from pipeyard.errors import PipeyardError
from pipeyard.system import conditional_store, jsons
from pipeyard.system.conditional_store import VersionedObject
from pipeyard.triggers import shards
from pipeyard.triggers.domain import FORMAT, Asked, Policy, TriggerState

T = TypeVar("T")
# Seconds that reading or writing may take, with repetitions.
_DEADLINE = 60.0
_AGAIN = "Send the event again."
_REMEDY = (
    "Send the event again; for constant bursts give the trigger fewer events: a prefix, or a suffix that one file a "
    "batch has."
)
_KEPT = Policy(name="").kept
# States of which it is known what they are, by their text: so many, none of more bytes.
_PARSED: dict[bytes, TriggerState] = {}
_STATES, _MOST_REMEMBERED = 16, 4 * 1024 * 1024


def update(
    store: VersionedObject,
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

    def turn(content: bytes | None) -> tuple[bytes | None, T]:
        before = parse(content)
        known = _with_recalled(store, before, about)
        after, result = change(known)
        if after == known:
            return content, result
        after = _without_recalled(after, known, before)
        # Only what stood in the state before: what was decided just now stands nowhere until it is written.
        moved = shards.overflowing(before)
        for name, lines in moved.items():
            _add(store.part(name), lines, kept, wait)
        if moved:
            after = shards.without(after, before, moved)
        written = after.model_dump_json().encode()
        _remember(written, after)
        return written, result

    return conditional_store.update(store, turn, _REMEDY, wait)


def read(store: VersionedObject) -> TriggerState:
    """Returns the state that is kept, without what is in shards."""
    return parse(store.read()[0])


def recall(store: VersionedObject, about: Asked) -> TriggerState:
    """Returns the state that is kept, with what its shards have of something."""
    return _with_recalled(store, read(store), about)


def parse(content: bytes | None) -> TriggerState:
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
        f"The trigger's state has format {written}, which a later Pipeyard wrote; this one reads {FORMAT}. "
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


def _with_recalled(store: VersionedObject, known: TriggerState, about: Asked | None) -> TriggerState:
    if about is None or not known.sharded:
        return known
    seen = [key for key in about.seen if key not in known.seen]
    newest = [key for key in about.newest if key not in known.newest]
    found_seen, found_newest = dict(known.seen), dict(known.newest)
    for name in sorted({shards.name_of(key) for key in (*seen, *newest)}):
        told, latest = shards.find(store.part(name).read()[0] or b"", seen, newest)
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


def _add(shard: VersionedObject, added: shards.ShardLines, kept: timedelta, wait: Callable[[float], None]) -> None:
    conditional_store.update(shard, lambda content: (shards.merge(content or b"", added, kept), None), _AGAIN, wait)


def store_at(place: str, name: str) -> VersionedObject:
    """Returns where a trigger's state is kept; its parts are `shards`.

    Args:
        place: a local folder or gs://BUCKET[/PREFIX].
        name: of the file, with slashes.
    """
    return conditional_store.object_at(place, name, _DEADLINE)
