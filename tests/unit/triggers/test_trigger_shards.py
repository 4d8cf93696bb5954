"""What a trigger remembers doesn't grow its state: older entries are in shards, none of them lost or doubled."""

import json
import threading
from collections import defaultdict
from datetime import timedelta

import pytest
from servers.storage import BUCKET, storage
from support.trigger_events import BEGIN, MINUTE, POLICY, expected_sources, new_object, two_hundred

from pipeyard.errors import PipeyardError
from pipeyard.triggers import decision, firing, shards, state
from pipeyard.triggers.domain import Code, Event, EventKind, Newest, Policy, Seen, digest

EACH = Policy(name="each", parameter="source")
KEPT = EACH.kept


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A state that holds few entries, and few shards, so that a test needs few events to fill them."""
    monkeypatch.setattr(shards, "MOST_RECENT", 12)
    monkeypatch.setattr(shards, "SHARDS", 8)


@pytest.fixture
def folder(tmp_path):
    return state.store_at(str(tmp_path), "dev/taxi/each.json")


@pytest.fixture(scope="module")
def place():
    """A place in Cloud Storage."""
    with storage():
        yield f"gs://{BUCKET}/sharded"


class Runs:
    """A place where runs are started: by name, once each."""

    def __init__(self):
        self.started = {}
        self._lock = threading.Lock()

    def __call__(self, parameters, key):
        with self._lock:
            self.started.setdefault(key, parameters["source"])
        return f"id-of-{key}"


class Killed(BaseException):
    """The end of a process, as far as what it does is concerned."""


class Counted:
    """A store that counts what is read and written, and dies at a write of the state if it is told to."""

    def __init__(self, inner, counts=None, dies_at=0):
        self.inner, self.counts, self.dies_at = inner, {"read": 0, "written": 0} if counts is None else counts, dies_at
        self._whole = counts is None

    def part(self, name):
        return Counted(self.inner.part(name), self.counts)

    def read(self):
        self.counts["read"] += 1
        return self.inner.read()

    def write(self, content, version):
        self.dies_at -= self._whole
        if self._whole and self.dies_at == 0:
            raise Killed
        self.counts["written"] += 1
        self.inner.write(content, version)


def numbered(number, message=""):
    return new_object(f"{number}.csv", BEGIN, number + 1, message or f"m{number}")


def tell(store, event, runs, minutes=1.0, policy=EACH):
    return firing.handle(store, event, policy, runs, lambda: BEGIN + minutes * MINUTE, lambda _: None)


def test_what_was_told_long_ago_is_known_and_the_state_stays_small(folder, tmp_path):
    runs = Runs()
    for number in range(100):
        tell(folder, numbered(number), runs)
        known = state.read(folder)
        assert len(known.seen) + len(known.newest) <= shards.MOST_RECENT + 3
    assert len(list((tmp_path / "dev/taxi/each").iterdir())) == 8
    for number in range(100):
        assert tell(folder, numbered(number), runs).decision.code == Code.DUPLICATE
        other = tell(folder, numbered(number, "another message"), runs)
        assert other.decision.code == Code.DUPLICATE
        assert "told before: it was decided on 2026-03-01 00:01:00 UTC (started)" in other.decision.reason
    assert sorted(runs.started.values()) == sorted(f"gs://landing/{number}.csv" for number in range(100))


def test_an_older_version_is_known_as_such_when_the_newer_one_is_in_a_shard(folder):
    runs = Runs()
    tell(folder, new_object("a.csv", BEGIN + MINUTE, 9, "a"), runs)
    for number in range(50):
        tell(folder, numbered(number), runs)
    assert digest("gs://landing/a.csv") not in state.read(folder).newest
    late = tell(folder, new_object("a.csv", BEGIN, 8, "late"), runs)
    assert (late.decision.code, "generation 9" in late.decision.reason) == (Code.SUPERSEDED, True)


def test_200_events_with_crashes_start_exactly_the_expected_runs_out_of_shards(folder):
    """As in test_trigger_firing, where all fits into the state; here every third write of the state fails, too."""
    runs, starts, tries = Runs(), [], 0

    def start(parameters, key):
        starts.append(key)
        if len(starts) % 3 == 1:
            raise Killed
        run = runs(parameters, key)
        if len(starts) % 3 == 2:
            raise Killed
        return run

    for each in two_hundred():
        at = each.at
        for _ in range(9):
            tries += 1
            try:
                store = Counted(folder, dies_at=tries % 3)
                if not firing.handle(store, each.event, POLICY, start, lambda at=at: at, lambda _: None).again:
                    break
            except Killed:
                pass
            at += firing.HOLD
        else:
            raise AssertionError(f"{each} was never taken")
    assert list(runs.started.values()) == expected_sources()
    assert state.read(folder).sharded


def test_who_dies_between_a_shard_and_the_state_loses_nothing_and_starts_nothing_twice(folder):
    runs = Runs()
    for number in range(40):
        with pytest.raises(Killed):
            tell(Counted(folder, dies_at=1), numbered(number), runs)
        assert tell(folder, numbered(number), runs).decision.code == Code.STARTED
    assert len(runs.started) == 40


@pytest.mark.parametrize("kept_in", ["a folder", "a bucket"])
def test_several_instances_told_the_same_start_one_run_an_object(tmp_path, place, kept_in, monkeypatch):
    monkeypatch.setattr(shards, "MOST_RECENT", 4)  # each write waits for the disk, which other tests fill
    runs, objects = Runs(), 8
    name = "dev/taxi/together.json"
    asked = []

    def start(parameters, key):
        asked.append(key)
        return runs(parameters, key)

    def instance(first):
        store = state.store_at(str(tmp_path) if kept_in == "a folder" else place, name)
        for number in range(objects):
            event, again = numbered((number + first) % objects), True
            while again:
                try:
                    again = tell(store, event, start).again
                except PipeyardError as error:  # changed by others too often: it is told again
                    assert "Send the event again" in str(error)

    threads = [threading.Thread(target=instance, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs.started) == objects
    assert len(asked) == objects


def remember(store, numbers):
    """Writes into shards what events of these objects would have left there."""
    groups = defaultdict(dict)
    for number in numbers:
        asked = decision.asked(numbered(number))
        for key in asked.seen[:2]:
            groups[shards.name_of(key)] |= shards.entry_of_seen(key, Seen(at=BEGIN, code=Code.STARTED))
        for key in asked.newest:
            groups[shards.name_of(key)] |= shards.entry_of_newest(key, Newest(time=BEGIN, generation=1, at=BEGIN))
    for name, lines in groups.items():
        content, version = store.part(name).read()
        store.part(name).write(shards.merge(content or b"", lines, KEPT), version)


def test_an_event_s_work_is_the_same_with_3000_objects_remembered_as_with_none(folder, monkeypatch):
    monkeypatch.setattr(shards, "SHARDS", 512)
    counts = []
    for remembered in (0, 3000):
        remember(folder, range(10_000, 10_000 + remembered))
        counted = Counted(folder)
        for number in range(remembered, remembered + 30):
            tell(counted, numbered(number), Runs())
        counts.append(counted.counts)
    few_, many = counts[0], counts[1]
    # A state read and written twice (decided, started); up to four shards read, and three changed.
    assert many["read"] <= 30 * 9 and many["written"] <= 30 * 5
    assert many["read"] <= few_["read"] * 1.5 and many["written"] <= few_["written"] * 1.5
    assert tell(folder, numbered(12_000), Runs()).decision.code == Code.DUPLICATE


def old(objects):
    """Returns a state as commit abc0cbb wrote it: all that was seen in one object, and no format."""
    at = "2026-03-01T00:01:00Z"
    seen, newest = {}, {}
    for number in range(objects):
        asked = decision.asked(numbered(number))
        seen |= {key: {"at": at, "code": "started"} for key in asked.seen[:2]}
        newest |= {key: {"time": "2026-03-01T00:00:00Z", "generation": number + 1, "at": at} for key in asked.newest}
    waiting = numbered(objects)
    asked = decision.asked(waiting)
    seen |= {key: {"at": at, "code": "cooling"} for key in asked.seen[:2]}
    newest |= {key: {"time": "2026-03-01T00:00:00Z", "generation": objects + 1, "at": at} for key in asked.newest}
    start = {"key": "each-1", "parameters": {"source": "x"}, "uris": ["x"], "decided_at": at, "run": "r"}
    start |= {"holder": "h", "held_until": None, "tries": 1, "problem": "", "given_up": False}
    return {
        "seen": seen,
        "newest": newest,
        "held": {},
        "due": {waiting.uri: waiting.model_dump(mode="json")},
        "starts": [{**start, "key": f"each-{number}"} for number in range(3)],
        "history": [],
    }


@pytest.mark.parametrize("objects", [2, 300])
def test_a_state_of_the_first_format_is_read_and_migrated(folder, tmp_path, objects):
    path = tmp_path / "dev/taxi/each.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(old(objects)))
    runs = Runs()
    policy = EACH.model_copy(update={"cool_down": timedelta(hours=1), "daily_cap": 3})
    new = tell(folder, numbered(1000), runs, 2, policy)
    assert (new.decision.code, "2 URIs wait" in new.decision.reason) == (Code.COOLING, True)
    capped = tell(folder, numbered(1001), runs, 90, policy)
    assert (capped.decision.code, "3 runs are all" in capped.decision.reason) == (Code.CAPPED, True)
    for number in (0, objects - 1, objects):
        assert tell(folder, numbered(number), runs, 91, policy).decision.code == Code.DUPLICATE
    known = json.loads(path.read_text())
    assert (known["format"], known["sharded"]) == (2, objects == 300)
    assert len(known["seen"]) + len(known["newest"]) <= shards.MOST_RECENT + 8
    tell(folder, Event(kind=EventKind.TICK, time=BEGIN), runs, 24 * 60 + 1, policy)
    waited = {f"gs://landing/{number}.csv" for number in (objects, 1000, 1001)}
    assert [set(source.split(",")) for source in runs.started.values()] == [waited]


@pytest.mark.parametrize("content", ['{"format": 3, "seen": [], "memory": "elsewhere"}', '{"format": 3}'])
def test_a_state_of_a_later_format_is_refused_with_what_helps(folder, tmp_path, content):
    path = tmp_path / "dev/taxi/each.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(PipeyardError, match="has format 3, which a later Pipeyard wrote; this one reads 2. Deploy"):
        tell(folder, numbered(1), Runs())


def test_what_waits_for_a_quorum_stays_in_the_state_while_more_is_told(folder):
    policy = Policy(name="many", parameter="source", quorum=31, quorum_window=timedelta(hours=1))
    runs = Runs()
    for number in range(31):
        tell(folder, numbered(number), runs, 2, policy)
    assert [source.count(",") for source in runs.started.values()] == [30]


def test_a_shard_forgets_what_is_older_than_is_kept_once_a_day():
    def entry(name, days):
        return shards.entry_of_seen(digest(name), Seen(at=BEGIN + timedelta(days=days), code=Code.WAITING))

    content = shards.merge(b"", entry("old", 0), KEPT)
    content = shards.merge(content, entry("later", 5), KEPT)
    content = shards.merge(content, entry("last", 9.5), KEPT)
    assert set(shards.find(content, [digest(name) for name in ("old", "later", "last")], [])[0]) == {
        digest("later"),
        digest("last"),
    }


def test_of_two_versions_a_shard_keeps_the_newer_whoever_writes_last():
    key = digest("gs://landing/a.csv")
    newer, older = (
        shards.entry_of_newest(key, Newest(time=BEGIN + n * MINUTE, generation=n, at=BEGIN)) for n in (10, 9)
    )
    for entries in ((newer, older), (older, newer)):
        content = shards.merge(shards.merge(b"", entries[0], KEPT), entries[1], KEPT)
        assert shards.find(content, [], [key])[1][key].generation == 10
        assert content.count(b"\n") == 2
    assert shards.merge(content, newer, KEPT) == content


def test_many_entries_at_once_make_the_same_shard_as_one_after_the_other(monkeypatch):
    def of(numbers, minutes):
        entries = {}
        for number in numbers:
            at = BEGIN + minutes * MINUTE
            entries |= shards.entry_of_seen(digest(str(number)), Seen(at=at, code=Code.WAITING))
            entries |= shards.entry_of_newest(digest(str(number)), Newest(time=at, generation=number, at=at))
        return entries

    made = []
    for many in (0, 1000):
        monkeypatch.setattr(shards, "_MANY", many)
        content = shards.merge(b"", of(range(20), 2), KEPT)
        content = shards.merge(content, of(range(10, 30), 3), KEPT)
        made.append(shards.merge(content, of(range(5, 25), 1), KEPT))
    assert made[0] == made[1]
    assert made[0].count(b"\n") == 61


def test_a_shard_gives_back_what_was_written():
    seen = {digest(str(n)): Seen(at=BEGIN + timedelta(microseconds=n), code=code) for n, code in enumerate(Code)}
    newest = {digest("b"): Newest(time=BEGIN - timedelta(days=4000), generation=2**63 - 1, at=BEGIN)}
    content = b""
    for key, each in seen.items():
        content = shards.merge(content, shards.entry_of_seen(key, each), KEPT)
    content = shards.merge(content, shards.entry_of_newest(digest("b"), newest[digest("b")]), KEPT)
    assert shards.find(content, seen, newest) == (seen, newest)
    assert shards.find(content, newest, seen) == ({}, {})


@pytest.mark.parametrize("content", [b"{}", b"\xff", b"pipeyard trigger shard 2 0\n", b"pipeyard trigger shard 1"])
def test_a_damaged_shard_is_named_and_stays(folder, tmp_path, content):
    for number in range(50):
        tell(folder, numbered(number), Runs())
    for path in (tmp_path / "dev/taxi/each").iterdir():
        path.write_bytes(content)
    with pytest.raises(PipeyardError, match="A shard of the trigger's memory can't be read"):
        tell(folder, numbered(51), Runs())
    assert {path.read_bytes() for path in (tmp_path / "dev/taxi/each").iterdir()} == {content}


def test_starts_that_fail_for_hours_hold_further_events_back_and_one_event_takes_on_a_few(folder):
    asked = []

    def down(_parameters, key):
        asked.append(key)
        raise PipeyardError("the server is down")

    for number in range(decision.MOST_OPEN):
        asked.clear()
        tell(folder, numbered(number), down)
        assert len(asked) <= firing.MOST_TAKEN + 1
    full = tell(folder, numbered(1000), down)
    assert (full.decision.code, full.again) == (Code.FULL, True)
    assert "100 runs couldn't be started yet" in full.decision.reason
    runs = Runs()
    while tell(folder, numbered(1000), runs).again:
        pass
    assert tell(folder, numbered(1000), runs).decision.code == Code.DUPLICATE
    for _ in range(10):
        tell(folder, numbered(1000), runs)
    assert len(runs.started) == decision.MOST_OPEN + 1
    assert len(state.read(folder).starts) <= decision.MOST_OPEN + 1


def test_what_is_kept_of_starts_is_bounded_and_the_cap_counts_them_all(folder):
    policy = EACH.model_copy(update={"daily_cap": 70})
    runs = Runs()
    codes = [tell(folder, numbered(number), runs, policy=policy).decision.code for number in range(72)]
    assert codes == [Code.STARTED] * 70 + [Code.CAPPED] * 2
    assert len(state.read(folder).starts) <= 51
