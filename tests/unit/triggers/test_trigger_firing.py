"""From decisions to runs: what is kept between them survives crashes, restarts and company."""

import json
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from servers.storage import BUCKET, storage
from support.trigger_events import BEGIN, MINUTE, POLICY, expected_sources, new_object, two_hundred

from pipeyard.errors import PipeyardError
from pipeyard.system.conditional_store import VersionChanged
from pipeyard.triggers import firing, state
from pipeyard.triggers.domain import Code, Event, EventKind, Policy

EACH = Policy(name="each", parameter="source")


@pytest.fixture
def folder(tmp_path):
    return state.store_at(str(tmp_path), "dev/taxi/each.json")


@pytest.fixture(scope="module")
def place():
    """A place in Cloud Storage."""
    with storage():
        yield f"gs://{BUCKET}/states"


class Runs:
    """A place where runs are started: by name, once each."""

    def __init__(self):
        self.started = {}
        self.asked = []
        self._lock = threading.Lock()

    def __call__(self, parameters, key):
        with self._lock:
            self.asked.append(key)
            self.started.setdefault(key, dict(parameters))
        return f"id-of-{key}"

    @property
    def sources(self):
        return [each["source"] for each in self.started.values()]


class Killed(BaseException):
    """The end of a process, as far as what it does is concerned."""


def clock(*minutes):
    times = iter(minutes)
    return lambda: BEGIN + next(times, minutes[-1]) * MINUTE


def test_a_started_run_is_recorded_with_its_id(folder):
    outcome = firing.handle(folder, new_object("a.csv", BEGIN, 1, "m"), EACH, Runs(), clock(1))
    (start,) = state.read(folder).starts
    assert outcome.started == {start.key: f"id-of-{start.key}"}
    assert (start.run, start.open, outcome.again) == (f"id-of-{start.key}", False, False)


def test_who_dies_between_deciding_and_starting_leaves_the_run_to_the_next(folder):
    runs, event = Runs(), new_object("a.csv", BEGIN, 1, "m")

    def dies(_parameters, _key):
        raise Killed

    with pytest.raises(Killed):
        firing.handle(folder, event, EACH, dies, clock(1))
    # Somebody may still be starting it: the message has to come again until that is known.
    early = firing.handle(folder, event, EACH, runs, clock(2))
    assert (early.decision.code, early.again, runs.asked) == (Code.DUPLICATE, True, [])
    late = firing.handle(folder, event, EACH, runs, clock(12))
    assert (late.decision.code, late.again, runs.sources) == (Code.DUPLICATE, False, ["gs://landing/a.csv"])


def test_who_dies_after_starting_leaves_a_run_that_isn_t_started_again(folder):
    runs, event = Runs(), new_object("a.csv", BEGIN, 1, "m")

    def dies(parameters, key):
        runs(parameters, key)
        raise Killed

    with pytest.raises(Killed):
        firing.handle(folder, event, EACH, dies, clock(1))
    firing.handle(folder, Event(kind=EventKind.TICK, time=BEGIN), EACH, runs, clock(12))
    assert len(runs.asked) == 2 and len(runs.started) == 1
    assert state.read(folder).starts[0].run


def test_what_can_t_be_started_is_tried_again_with_the_next_event(folder):
    runs, event = Runs(), new_object("a.csv", BEGIN, 1, "m")

    def down(_parameters, _key):
        raise PipeyardError("Kubeflow Pipelines can't be reached.")

    first = firing.handle(folder, event, EACH, down, clock(1))
    assert first.again and list(first.problems.values()) == ["Kubeflow Pipelines can't be reached."]
    assert state.read(folder).starts[0].problem == "Kubeflow Pipelines can't be reached."
    again = firing.handle(folder, event, EACH, runs, clock(2))
    assert (again.again, len(again.started), runs.sources) == (False, 1, ["gs://landing/a.csv"])
    assert (state.read(folder).starts[0].tries, state.read(folder).starts[0].problem) == (2, "")


def test_what_can_t_be_started_for_a_day_is_given_up(folder):
    def down(_parameters, _key):
        raise PipeyardError("no")

    firing.handle(folder, new_object("a.csv", BEGIN, 1, "m"), EACH, down, clock(0))
    runs = Runs()
    outcome = firing.handle(folder, Event(kind=EventKind.TICK, time=BEGIN), EACH, runs, clock(24 * 60 + 1))
    assert (runs.asked, outcome.started) == ([], {})
    assert list(outcome.problems.values()) == ["given up after 1 tries: no"]
    assert state.read(folder).starts[0].given_up


def test_200_events_with_crashes_and_lost_answers_start_exactly_the_expected_runs(folder):
    """Of three starts one dies before the run is there, one after; the message comes again, as from Pub/Sub."""
    runs, starts = Runs(), []

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
        for _ in range(5):
            try:
                if not firing.handle(folder, each.event, POLICY, start, lambda at=at: at).again:
                    break
            except Killed:
                pass
            at += firing.HOLD
        else:
            raise AssertionError(f"{each} was never taken")
    assert runs.sources == expected_sources()
    assert all(each.run for each in state.read(folder).starts)


_PROCESS = """
import json, os, sys
from datetime import datetime
from pathlib import Path
from pipeyard.triggers import firing, state
from pipeyard.triggers.domain import Event, Policy

folder, dies_at = Path(sys.argv[1]), int(sys.argv[2])
policy = Policy.model_validate_json(sys.argv[3])
done = folder / "done"

def start(parameters, key):
    with open(folder / "asked", "a") as asked:
        asked.write(key + "\\n")
    if (folder / "runs" / key).exists():
        return key
    if dies_at == 1 and not (folder / "died-1").exists():
        (folder / "died-1").touch()
        os._exit(9)
    (folder / "runs" / key).write_text(json.dumps(parameters))
    if dies_at == 2 and not (folder / "died-2").exists():
        (folder / "died-2").touch()
        os._exit(9)
    return key

firing.HOLD *= 0
store = state.store_at(str(folder), "state.json")
for number, line in enumerate(sys.stdin):
    if done.exists() and number < int(done.read_text()):
        continue
    told = json.loads(line)
    at = datetime.fromisoformat(told["at"])
    firing.handle(store, Event.model_validate(told["event"]), policy, start, lambda: at)
    done.write_text(str(number + 1))
    if dies_at == 3 and number == 150:
        os._exit(9)
"""


def test_200_events_across_restarts_of_the_process_start_exactly_the_expected_runs(tmp_path):
    (tmp_path / "runs").mkdir()
    stream = "".join(
        json.dumps({"at": each.at.isoformat(), "event": each.event.model_dump(mode="json")}) + "\n"
        for each in two_hundred()
    )
    ends = []
    for dies_at in (1, 2, 3, 0):
        command = [sys.executable, "-c", _PROCESS, str(tmp_path), str(dies_at), POLICY.model_dump_json()]
        ends.append(subprocess.run(command, input=stream, text=True, check=False, timeout=60).returncode)
    assert ends == [9, 9, 9, 0]
    runs = sorted((tmp_path / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert sorted(json.loads(path.read_text())["source"] for path in runs) == expected_sources()
    assert len((tmp_path / "asked").read_text().split()) == 22  # two were asked for again, and were there or not


def test_two_instances_told_the_same_at_once_start_one_run_from_a_bucket(place):
    runs, outcomes = Runs(), []
    event = new_object("a.csv", BEGIN, 1, "m")
    barrier = threading.Barrier(6)

    def instance():
        store = state.store_at(place, "dev/taxi/same.json")
        barrier.wait()
        outcomes.append(firing.handle(store, event, EACH, runs, clock(1), lambda _: None))

    _at_once([instance] * 6)
    assert len(runs.asked) == 1
    assert sorted(each.decision.code for each in outcomes) == ["duplicate"] * 5 + ["started"]
    assert state.read(state.store_at(place, "dev/taxi/same.json")).starts[0].run


def test_a_burst_of_files_over_several_instances_of_a_folder_starts_one_run(tmp_path):
    runs = Runs()
    policy = Policy(name="eight", parameter="source", quorum=8, cool_down=timedelta(hours=1))

    def instance(number):
        store = state.store_at(str(tmp_path), "eight.json")
        for event in (new_object(f"{number}.csv", BEGIN, number + 1, f"{number}-{n}") for n in range(3)):
            firing.handle(store, event, policy, runs, clock(1))

    _at_once([lambda number=number: instance(number) for number in range(8)])
    assert [sorted(source.split(",")) for source in runs.sources] == [[f"gs://landing/{n}.csv" for n in range(8)]]
    assert len(state.read(state.store_at(str(tmp_path), "eight.json")).history) == 24


def test_a_bucket_that_isn_t_there_is_named(place):
    store = state.store_at("gs://nowhere", "state.json")
    with pytest.raises(PipeyardError, match="gs://nowhere/state.json: there is no such bucket"):
        firing.handle(store, new_object("a.csv", BEGIN, 1, "m"), EACH, Runs(), clock(1))


def test_a_damaged_state_is_named_and_stays(tmp_path):
    (tmp_path / "each.json").write_text("{")
    store = state.store_at(str(tmp_path), "each.json")
    with pytest.raises(PipeyardError, match="The trigger's state can't be read"):
        firing.handle(store, new_object("a.csv", BEGIN, 1, "m"), EACH, Runs(), clock(1))
    assert (tmp_path / "each.json").read_text() == "{"


def test_constant_changes_by_others_end_in_an_error_that_is_safe_to_repeat():
    class Busy:
        def __str__(self):
            return "gs://triggers/each.json"

        def read(self):
            return None, 0

        def write(self, _content, _version):
            raise VersionChanged

    waits = []
    said = "gs://triggers/each.json was changed by others 12 times in a row. Send the event again; for constant bursts"
    with pytest.raises(PipeyardError, match=said):
        firing.handle(Busy(), new_object("a.csv", BEGIN, 1, "m"), EACH, Runs(), clock(1), waits.append)
    assert len(waits) == 11 and max(waits) <= 4


def _at_once(calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
