"""What a trigger remembers beyond what its state holds itself.

Older entries are in shards, so that the work for an event doesn't grow with the number of earlier events.

An entry is written into the state first, together with its decision. Only when it stands there, and the state has
more than `MOST_RECENT`, is it copied into its shard, and taken out of the state with the next change of that. So it is
in one of both at any time, or in both; who reads the state first and the shards then misses nothing. Writing a shard
twice, by anybody, changes nothing: of two entries of one key the later one stays.

A shard is text: its format and when it was rid of old entries, then a line an entry. It is searched as it is, without
being parsed.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pipeyard.errors import PipeyardError
from pipeyard.triggers.domain import Code, Newest, Seen, TriggerState, digest

# Shards a trigger has at most. A million objects are three million entries: 6,000 a shard, about 240 KB.
SHARDS = 512
# Entries that the state holds itself.
MOST_RECENT = 512
_FORMAT = b"pipeyard trigger shard 1 "
# How often a shard is rid of old entries, in microseconds.
_SWEEP = 86_400_000_000
# So many entries at once, as of a state of the first format, cause a shard to be rebuilt.
_MANY = 32
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What an entry's line begins with, digest and kind, to the line.
ShardLines = dict[bytes, bytes]


def name_of(key: str) -> str:
    """Returns the name of the shard that a digest's entry is in."""
    return f"{int(key[:4], 16) % SHARDS:03x}"


def find(content: bytes, seen: Iterable[str], newest: Iterable[str]) -> tuple[dict[str, Seen], dict[str, Newest]]:
    """Returns those entries of a shard that are asked for, by digests.

    Raises:
        PipeyardError: it is no shard.
    """
    _, body = _opened(content)
    try:
        told = {key: _seen(line) for key in seen if (line := _line(body, _key_of_seen(key)))}
        latest = {key: _newest(line) for key in newest if (line := _line(body, _key_of_newest(key)))}
    except (ValueError, OverflowError) as error:
        raise _damaged(error) from error
    return told, latest


def merge(content: bytes, added: ShardLines, kept_for: timedelta) -> bytes:
    """Returns a shard with entries added; once a day also without those that are older than is kept.

    Args:
        kept_for: entries go that were made so long before the latest of those that are added.

    Raises:
        PipeyardError: it is no shard.
    """
    now = max(map(_made, added.values()))
    swept, body = _opened(content)
    try:
        if now - swept > _SWEEP:
            oldest = now - kept_for // _MICROSECOND
            swept, body = now, b"\n" + b"".join(each for each in body[1:].splitlines(True) if _made(each) >= oldest)
        body = _rebuilt(body, added) if len(added) > _MANY else _appended(body, added)
    except (ValueError, IndexError) as error:
        raise _damaged(error) from error
    return b"%s%d%s" % (_FORMAT, swept, body)


def _appended(body: bytes, added: ShardLines) -> bytes:
    for key in sorted(added):
        line, start = added[key], body.find(b"\n" + key)
        if start >= 0:
            end = body.index(b"\n", start + 1)
            line = max(body[start + 1 : end], line, key=_age)
            body = body[: start + 1] + body[end + 1 :]
        body += line + b"\n"
    return body


def _rebuilt(body: bytes, added: ShardLines) -> bytes:
    """Does the same as `_appended`, in a time that grows with the sum of both and not with their product."""
    kept = {b" ".join(line.split(b" ", 2)[:2]) + b" ": line for line in body[1:].splitlines()}
    for key in sorted(added):
        kept[key] = max(kept.pop(key, added[key]), added[key], key=_age)
    return b"\n" + b"".join(line + b"\n" for line in kept.values())


def _opened(content: bytes) -> tuple[int, bytes]:
    """Returns when a shard was rid of old entries, and its lines with a line's end before the first."""
    if not content:
        return 0, b"\n"
    end = content.find(b"\n")
    swept = content[len(_FORMAT) : end]
    if not content.startswith(_FORMAT) or end < 0 or not swept.isdigit():
        raise _damaged(content[:80])
    return int(swept), content[end:]


def overflowing(known: TriggerState) -> dict[str, ShardLines]:
    """Returns, by shard, entries to move there so that no more than `MOST_RECENT` stay: the fullest shards first.

    What is known of objects that wait for a run stays.
    """
    if len(known.seen) + len(known.newest) <= MOST_RECENT:
        return {}
    groups = _by_shard(known)
    over = sum(map(len, groups.values())) - MOST_RECENT
    chosen = {}
    for name in sorted(groups, key=lambda name: (-len(groups[name]), name)):
        if over <= 0:
            break
        chosen[name] = groups[name]
        over -= len(groups[name])
    return chosen


def without(known: TriggerState, before: TriggerState, moved: Iterable[str]) -> TriggerState:
    """Returns a state without entries that were moved, unless they have changed since.

    Args:
        before: as they were moved.
        moved: names of shards, all entries of which were moved.
    """
    names = set(moved)
    wait = {digest(place) for place in (*before.held, *before.due)}
    return known.model_copy(
        update={
            "seen": {
                key: each
                for key, each in known.seen.items()
                if name_of(key) not in names or before.seen.get(key) != each
            },
            "newest": {
                key: each
                for key, each in known.newest.items()
                if name_of(key) not in names or key in wait or before.newest.get(key) != each
            },
            "sharded": True,
        }
    )


def _by_shard(known: TriggerState) -> dict[str, ShardLines]:
    wait = {digest(place) for place in (*known.held, *known.due)}
    found: dict[str, ShardLines] = defaultdict(dict)
    for key, seen in known.seen.items():
        found[name_of(key)] |= entry_of_seen(key, seen)
    for key, newest in known.newest.items():
        if key not in wait:
            found[name_of(key)] |= entry_of_newest(key, newest)
    return found


def entry_of_seen(key: str, seen: Seen) -> ShardLines:
    """Returns an entry: digest, `s`, when it was decided on, the decision."""
    start = _key_of_seen(key)
    return {start: b"%s%d %s" % (start, _number(seen.at), seen.code.encode())}


def entry_of_newest(key: str, newest: Newest) -> ShardLines:
    """Returns an entry: digest, `n`, when it was told of, the version's time and generation."""
    start = _key_of_newest(key)
    return {start: b"%s%d %d %d" % (start, _number(newest.at), _number(newest.time), newest.generation)}


def _key_of_seen(key: str) -> bytes:
    return f"{key} s ".encode()


def _key_of_newest(key: str) -> bytes:
    return f"{key} n ".encode()


def _seen(line: list[bytes]) -> Seen:
    _, _, at, code = line
    return Seen(at=_time(at), code=Code(code.decode()))


def _newest(line: list[bytes]) -> Newest:
    _, _, at, time, generation = line
    return Newest(time=_time(time), generation=int(generation), at=_time(at))


def _line(body: bytes, key: bytes) -> list[bytes]:
    """Returns the parts of an entry's line; none if there is no such entry."""
    start = body.find(b"\n" + key)
    return body[start + 1 : body.find(b"\n", start + 1)].split(b" ") if start >= 0 else []


def _made(line: bytes) -> int:
    return int(line.split(b" ", 3)[2])


def _age(line: bytes) -> tuple[int, ...]:
    """Of what is known of an object the newest version counts; else what was written last."""
    parts = line.split(b" ")
    return (int(parts[3]), int(parts[4])) if len(parts) == 5 else (int(parts[2]),)


def _number(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _time(number: bytes) -> datetime:
    return _EPOCH + int(number) * _MICROSECOND


def _damaged(what: object) -> PipeyardError:
    return PipeyardError(
        f"A shard of the trigger's memory can't be read: {what!r}. Move it away: its events count as new then, "
        "and may start runs if they are delivered again."
    )
