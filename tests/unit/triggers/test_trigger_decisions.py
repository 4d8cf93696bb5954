"""Which events start a run: the pure decision, and 200 events replayed."""

from collections import Counter
from datetime import timedelta

import pytest
from support.trigger_events import BEGIN, MINUTE, POLICY, expected_sources, new_object, two_hundred

from pipeyard.errors import PipeyardError
from pipeyard.triggers import decision, replay
from pipeyard.triggers.decision import decide
from pipeyard.triggers.domain import Code, Event, EventKind, LogEntry, Policy, TriggerState

EACH = Policy(name="each", parameter="source")


def told(policy, *events, state=None):
    """Tells events, each a minute after the one before or at the time beside it; returns the decisions."""
    return list(_told(policy, events, state or TriggerState()))


def _told(policy, events, known):
    now = BEGIN
    for each in events:
        event, now = each if isinstance(each, tuple) else (each, now + MINUTE)
        decision_ = decide(known, event, policy, now)
        known = decision_.state
        yield decision_


def codes(decisions):
    return [each.code for each in decisions]


def at(minutes):
    return BEGIN + minutes * MINUTE


def tick(minutes=0):
    return Event(kind=EventKind.TICK, time=at(minutes)), at(minutes)


def test_a_new_object_starts_a_run_with_its_uri():
    (only,) = told(EACH, new_object("a.csv", BEGIN, 1, "m"))
    assert (only.start, only.code) == (True, Code.STARTED)
    assert only.parameters == {"source": "gs://landing/a.csv"}
    assert "gs://landing/a.csv" in only.reason
    assert only.key.startswith("each-")
    assert only.state.starts[0].open


def test_the_same_event_twice_starts_one_run_and_says_why():
    event = new_object("a.csv", BEGIN, 1, "m")
    first, second = told(EACH, event, event)
    assert codes([first, second]) == [Code.STARTED, Code.DUPLICATE]
    assert second.reason == "told before: it was decided on 2026-03-01 00:01:00 UTC (started)"
    assert len(second.state.starts) == 1


def test_another_message_of_the_same_generation_is_the_same_event():
    assert codes(told(EACH, new_object("a.csv", BEGIN, 1, "m"), new_object("a.csv", BEGIN, 1, "n")))[1] == "duplicate"


def test_the_same_message_is_the_same_event_whatever_it_tells():
    assert codes(told(EACH, new_object("a.csv", BEGIN, 1, "m"), new_object("b.csv", BEGIN, 2, "m")))[1] == "duplicate"


def test_new_content_of_an_object_is_a_new_event_and_a_run_of_another_name():
    first, second = told(EACH, new_object("a.csv", BEGIN, 1, "m"), new_object("a.csv", at(1), 2, "n"))
    assert codes([first, second]) == [Code.STARTED] * 2
    assert first.key != second.key


def test_an_older_version_told_late_starts_nothing_as_the_run_read_the_newer_one():
    late = told(EACH, new_object("a.csv", at(1), 2, "n"), new_object("a.csv", BEGIN, 1, "m"))[1]
    assert late.code == Code.SUPERSEDED
    assert "generation 2" in late.reason


def test_the_name_of_a_run_follows_from_what_it_is_for():
    event = new_object("a.csv", BEGIN, 1, "m")
    assert told(EACH, event)[0].key == told(EACH, (event, at(500)))[0].key


def test_files_wait_for_their_quorum_within_the_window():
    policy = Policy(name="three", parameter="source", quorum=3, quorum_window=10 * MINUTE)
    files = [new_object(f"{n}.csv", at(4 * n), n + 1, str(n)) for n in range(4)]
    decisions = told(policy, *files)
    assert codes(decisions) == [Code.WAITING, Code.WAITING, Code.STARTED, Code.WAITING]
    assert decisions[0].reason == "1 of 3 files within 0:10:00"
    assert decisions[2].parameters == {"source": "gs://landing/0.csv,gs://landing/1.csv,gs://landing/2.csv"}


def test_files_further_apart_than_the_window_are_no_quorum():
    policy = Policy(name="two", parameter="source", quorum=2, quorum_window=10 * MINUTE)
    files = [(new_object(name, at(when), when + 1, name), at(12)) for name, when in (("a", 0), ("b", 11), ("c", 5))]
    decisions = told(policy, *files)
    assert codes(decisions) == [Code.WAITING, Code.WAITING, Code.STARTED]
    assert decisions[2].parameters["source"].count(",") == 2  # c is within the window of both


def test_what_no_other_file_joins_is_dropped_and_that_is_said():
    policy = Policy(name="two", parameter="source", quorum=2, quorum_window=10 * MINUTE)
    decisions = told(policy, (new_object("a", at(0), 1, "a"), at(1)), (new_object("b", at(60), 2, "b"), at(60)))
    assert decisions[1].reason == "1 of 2 files within 0:10:00; too few came in time to join gs://landing/a"


def test_what_happens_in_the_cool_down_goes_into_the_next_run():
    policy = Policy(name="cool", parameter="source", cool_down=60 * MINUTE)
    files = [(new_object(f"{n}.csv", at(n), n + 1, str(n)), at(n)) for n in range(4)]
    decisions = told(policy, *files, tick(59), tick(60), tick(61))
    assert codes(decisions) == ["started", "cooling", "cooling", "cooling", "cooling", "started", "nothing"]
    assert decisions[3].reason == "cools down until 2026-03-01 01:00:00 UTC; 3 URIs wait"
    assert decisions[5].parameters == {"source": "gs://landing/1.csv,gs://landing/2.csv,gs://landing/3.csv"}


def test_a_cap_holds_until_midnight_in_utc():
    policy = Policy(name="cap", parameter="source", daily_cap=2)
    files = [(new_object(f"{n}.csv", at(n), n + 1, str(n)), at(n)) for n in range(4)]
    decisions = told(policy, *files, tick(24 * 60 - 1), tick(24 * 60), tick(24 * 60 + 1))
    assert codes(decisions) == ["started", "started", "capped", "capped", "capped", "started", "nothing"]
    assert decisions[2].reason == "2 runs are all it may start on 2026-03-01; until 00:00 UTC 1 URI waits"
    assert decisions[5].parameters == {"source": "gs://landing/2.csv,gs://landing/3.csv"}


def test_an_object_that_is_gone_before_its_run_is_no_part_of_it():
    policy = Policy(name="two", parameter="source", quorum=2)
    gone = new_object("a", at(0), 1, "gone").model_copy(update={"kind": EventKind.REMOVAL})
    late = new_object("c", at(0), 3, "late")
    decisions = told(
        policy,
        new_object("a", at(0), 1, "a"),
        gone,
        late.model_copy(update={"kind": EventKind.REMOVAL, "id": "gone before it came"}),
        late,
        new_object("b", at(0), 2, "b"),
    )
    assert codes(decisions) == ["waiting", "removed", "removed", "duplicate", "waiting"]
    assert list(decisions[-1].state.held) == ["gs://landing/b"]


def test_what_is_too_old_to_be_told_from_a_repetition_starts_nothing():
    (only,) = told(EACH, (new_object("a.csv", BEGIN, 1, "m"), BEGIN + timedelta(days=9)))
    assert only.code == Code.STALE
    assert "start a run by hand" in only.reason


def test_what_was_told_is_forgotten_once_it_could_no_longer_be_taken():
    first = told(EACH, new_object("a.csv", BEGIN, 1, "m"))[0]
    later = BEGIN + timedelta(days=10)
    after = decide(first.state, new_object("b.csv", later, 2, "n"), EACH, later).state
    assert len(after.seen) == 2 and len(after.newest) == 1 and len(after.starts) == 2  # the first was never started


def test_a_file_waits_for_others_as_long_as_a_long_window_says():
    policy = Policy(name="two", parameter="source", quorum=2, quorum_window=timedelta(days=10))
    first, last = new_object("a", BEGIN, 1, "a"), new_object("b", BEGIN + timedelta(days=10), 2, "b")
    ticks = [tick(day * 24 * 60) for day in (5, 10)]
    assert codes(told(policy, (first, BEGIN), *ticks, (last, BEGIN + timedelta(days=15))))[-1] == "started"
    assert codes(told(policy, (first, BEGIN), *ticks, tick(21 * 24 * 60)))[-1] == "nothing"


def test_a_clock_that_is_ahead_puts_no_event_out_of_the_window():
    policy = Policy(name="two", parameter="source", quorum=2, quorum_window=10 * MINUTE)
    ahead = new_object("a", at(300), 1, "a")
    assert codes(told(policy, (ahead, at(0)), (new_object("b", at(5), 2, "b"), at(5)))) == ["waiting", "started"]


def test_a_comma_in_a_name_would_make_two_of_it():
    (only,) = told(EACH, new_object("a,b.csv", BEGIN, 1, "m"))
    assert (only.code, only.again) == (Code.REFUSED, False)


def test_a_name_with_a_reference_to_a_secret_starts_no_run():
    """Else whoever may write into a bucket could have any variable of the environment put into a run."""
    (only,) = told(EACH, new_object("${secret:HOME}.csv", BEGIN, 1, "m"))
    assert (only.code, only.again) == (Code.REFUSED, False)
    assert "name it otherwise" in only.reason


def test_what_doesn_t_fit_is_to_be_told_again(monkeypatch):
    monkeypatch.setattr(decision, "MOST_HELD", 2)
    policy = Policy(name="many", parameter="source", quorum=9)
    decisions = told(policy, *(new_object(str(n), BEGIN, n + 1, str(n)) for n in range(3)))
    assert (decisions[2].code, decisions[2].again) == (Code.FULL, True)
    assert codes(told(policy, new_object("2", BEGIN, 3, "2"), state=TriggerState(seen=decisions[2].state.seen))) == [
        "waiting"
    ]


def test_looks_that_find_nothing_new_are_no_part_of_the_log():
    policy = Policy(name="drift", cool_down=timedelta(days=1))
    drift = Event(kind=EventKind.DRIFT, subject="drift 1", time=BEGIN, detail="fare")
    decisions = told(
        policy, tick(1), drift, drift, tick(2), drift.model_copy(update={"subject": "drift 2"}), tick(3000)
    )
    assert codes(decisions) == ["nothing", "started", "duplicate", "nothing", "cooling", "started"]
    assert [entry.code for entry in decisions[-1].state.history] == ["started", "cooling", "started"]


def test_200_events_replayed_start_exactly_the_expected_runs():
    stream = two_hundred()
    assert len(stream) == 200
    decisions = told(POLICY, *((each.event, each.at) for each in stream))
    started = [each for each in decisions if each.start]
    assert [each.parameters["source"] for each in started] == expected_sources()
    assert len({each.key for each in started}) == len(started)
    assert all(each.reason for each in decisions)
    assert Counter(codes(decisions)) == {"started": 20, "waiting": 40, "superseded": 2, "duplicate": 138}
    assert [entry.code for entry in decisions[-1].state.history] == codes(decisions)


def test_a_log_replays_to_the_same_decisions_and_shows_what_another_policy_would_have_done():
    stream = two_hundred()
    history = told(POLICY, *((each.event, each.at) for each in stream))[-1].state.history
    log = [entry.model_dump_json() for entry in history]
    entries = replay.read(log, "log")
    assert entries == history
    assert not any(each.differs for each in replay.replay(entries, POLICY))
    daily = replay.replay(entries, POLICY.model_copy(update={"cool_down": timedelta(days=1)}))
    assert sum(each.decision.start for each in daily) == 3
    assert any(each.differs for each in daily)


def test_a_line_that_is_no_entry_is_named():
    good = LogEntry(at=BEGIN, event=new_object("a", BEGIN, 1, "m"), code=Code.STARTED, reason="").model_dump_json()
    with pytest.raises(PipeyardError, match=r"^log:3 is no line of a trigger's log: .*show --log"):
        replay.read([good, "", '{"at": 1}'], "log")
