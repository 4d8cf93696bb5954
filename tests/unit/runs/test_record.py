"""The record of a run, while it is kept and while it is read."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeyard.errors import PipeyardError
from pipeyard.runs import record, record_keeper, stored_runs
from pipeyard.runs.record import Artifact, Attempt, Run, State, Task
from pipeyard.runs.record_keeper import RecordKeeper
from pipeyard.system import files

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def begin(folder: Path, tasks: int = 0) -> RecordKeeper:
    run = Run(id=folder.name, pipeline="p", state=State.RUNNING, started_at=START)
    run.save(folder)
    keeper = RecordKeeper(run, folder)
    for number in range(tasks):
        run_task(keeper, f"loop[{number}]/echo")
    return keeper


def run_task(keeper: RecordKeeper, path: str) -> None:
    keeper.add(Task(path=path, name="echo", component="echo", parameters={"given": f"value of {path}"}))
    attempt = Attempt(number=1, log=f"tasks/{path}/attempt-1.log", started_at=START)
    keeper.change(path, {"state": State.RUNNING, "started_at": START, "attempts": [attempt]})
    artifact = Artifact(name="data", type="system.Dataset", uri=f"/runs/{path}", digest="0" * 64)
    ended = {"state": State.SUCCEEDED, "ended_at": START + timedelta(seconds=1), "output_artifacts": {"data": artifact}}
    keeper.change(path, ended)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p-1").mkdir()
    return tmp_path / "p-1"


def test_what_happened_since_the_record_was_written_is_read_with_it(folder):
    keeper = begin(folder, tasks=3)
    assert json.loads((folder / record.FILE).read_text())["tasks"] == []
    assert record.load(folder).tasks == keeper.run.tasks
    keeper.end(State.SUCCEEDED, "", START)
    assert record.load(folder) == keeper.run
    assert [path.name for path in folder.iterdir()] == [record.FILE]


@pytest.mark.parametrize("events", range(1, 12))
def test_a_reader_sees_each_state_wherever_the_record_was_written_anew(folder, monkeypatch, events):
    """Events that the written record has already change nothing."""
    monkeypatch.setattr(record_keeper, "FOLDED_BYTES", 300 * events)
    keeper = begin(folder)
    for number in range(6):
        run_task(keeper, f"t{number}")
        assert record.load(folder).tasks == keeper.run.tasks
    written = json.loads((folder / record.FILE).read_text())
    (folder / record.FILE).write_text(json.dumps({**written, "folded": 0}))
    assert record.load(folder).tasks == keeper.run.tasks


def test_what_is_written_grows_with_the_tasks_and_not_with_their_square(folder, monkeypatch):
    written = []
    write_all = files.write_all
    monkeypatch.setattr(files, "write_all", lambda to, content: (written.append(len(content)), write_all(to, content)))

    def bytes_for(tasks: int) -> int:
        written.clear()
        (folder / record.EVENTS).unlink(missing_ok=True)
        begin(folder, tasks).end(State.SUCCEEDED, "", START)
        return sum(written)

    few, many = bytes_for(200), bytes_for(400)
    assert many < 2.5 * few
    assert many < 8 * (folder / record.FILE).stat().st_size


@pytest.mark.parametrize("torn", [b'{"task":{"path":"t2","name":', b'{"task":{"path":"t2"}}', b"\xff\x00"])
def test_a_last_line_that_was_torn_counts_for_nothing(folder, torn):
    keeper = begin(folder, tasks=2)
    with (folder / record.EVENTS).open("ab") as events:
        events.write(torn)
    assert record.load(folder).tasks == keeper.run.tasks


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"task":{"path"', "line 1 after byte"),
        (b"\xff\xfe", "line 1 after byte"),
        (b"[]", "is no object"),
        (b"{}", "an event is of nothing"),
        (b'{"task":{"name":"t"}}', "an event is of task"),
    ],
)
def test_any_other_damage_is_told_with_what_to_do(folder, line, problem):
    begin(folder)
    (folder / record.EVENTS).write_bytes(line + b'\n{"task":{"path":"t","name":"t","component":"c"}}\n')
    with pytest.raises(PipeyardError, match=f"events.jsonl is damaged .*{problem}.*Remove .*events.jsonl; --resume"):
        record.load(folder)
    assert stored_runs.list_runs(folder.parent, lambda _: None) == []


def test_a_record_of_a_newer_format_says_so_and_one_without_a_number_is_read(folder):
    keeper = begin(folder)
    content = json.loads((folder / record.FILE).read_text())
    (folder / record.FILE).write_text(json.dumps({**content, "format": record.FORMAT + 1, "id": {"new": "shape"}}))
    with pytest.raises(PipeyardError, match="is of a newer Pipeyard .*Update this checkout, and run `make setup`"):
        record.load(folder)
    del content["format"], content["folded"]
    (folder / record.FILE).write_text(json.dumps(content))
    assert record.load(folder) == keeper.run.model_copy(update={"tasks": []})


def test_an_end_that_has_no_room_for_the_whole_record_is_written_as_an_event(folder, monkeypatch):
    keeper = begin(folder, tasks=2)
    keeper.add(Task(path="last", name="last", component="echo", state=State.RUNNING))
    keeper.assume("last", {"state": State.FAILED, "reason": "no room"})
    monkeypatch.setattr(Run, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    keeper.end(State.FAILED, "the disk is full", START)
    found = record.load(folder)
    assert (found.state, found.error, found.ended_at) == (State.FAILED, "the disk is full", START)
    assert found.tasks == keeper.run.tasks


def test_a_task_s_seconds_leave_out_what_it_waited_for_a_slot():
    at = [START + timedelta(seconds=second) for second in range(60)]
    attempts = [
        Attempt(number=1, log="", started_at=at[0], ended_at=at[5], waited_seconds=100.0),  # before it was resumed
        Attempt(number=2, log="", started_at=at[10], ended_at=at[12]),
        Attempt(number=3, log="", started_at=at[30], ended_at=at[33], waited_seconds=16.0),  # after a pause of 2 s
    ]
    task = Task(path="t", name="t", component="c", started_at=at[10], ended_at=at[34], attempts=attempts)
    assert task.seconds == 8.0
