"""What is said of a run whose runner was killed: nobody is at it any more, though its record says that it runs."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from support.example_runs import RunFolder

from pipeyard.commands import runs
from pipeyard.errors import PipeyardError
from pipeyard.runs import record, report, run_lock, stored_runs
from pipeyard.runs.record import State
from pipeyard.settings import Environment

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
GO_ON = "pipeyard run taxi --resume one"


@pytest.fixture
def folder(tmp_path):
    run = RunFolder(tmp_path / "runs" / "one", pipeline="taxi")
    run.task("extract", 1.0)
    run.task("train", 1.0)
    run.run.tasks[1].state, run.run.tasks[1].ended_at = State.RUNNING, None
    run.run.state, run.run.ended_at, run.run.id = State.RUNNING, None, "one"
    run.run.save(run.folder)
    return run.folder


def shown(folder, *arguments):
    told = CliRunner().invoke(runs.command, ["--root", str(folder.parent), *arguments], catch_exceptions=False)
    assert told.exit_code == 0
    return told.output


def test_while_it_works_it_runs_and_its_process_is_told(folder):
    with run_lock.hold(folder) as lock:
        assert (stored_runs.load(folder).run.state, stored_runs.load(folder).pid) == (State.RUNNING, _pid(lock))
        with pytest.raises(PipeyardError, match=rf"one \(process {_pid(lock)}\), or a step of it, still runs"):
            run_lock.hold(folder)


def test_when_nobody_is_at_it_it_is_interrupted_and_the_command_to_go_on_is_told(folder):
    run_lock.hold(folder).close()
    (folder / run_lock.FILE).write_text("4711\n")
    (listed,) = json.loads(shown(folder, "list", "--json"))
    assert (listed["state"], listed["outcome"], listed["pid"]) == ("INTERRUPTED", "Interrupted", 4711)
    assert listed["reason"] == f"1 of 2 steps ended. Its runner, process 4711, is gone. Go on with it: {GO_ON}"
    assert listed["tasks"] == {"SUCCEEDED": 1, "INTERRUPTED": 1}
    for text in (shown(folder, "list"), shown(folder, "show")):
        assert "interrupted" in text and "4711" in text and GO_ON in text
    assert "its runner was killed" in shown(folder, "show")
    assert GO_ON in report.render(folder).read_text()
    assert record.load(folder).state == State.RUNNING  # looking changes nothing


def test_a_run_that_ends_while_somebody_looks_has_ended(folder, monkeypatch):
    run_lock.hold(folder).close()

    def ends(_folder):
        run = record.load(folder)
        run.model_copy(update={"state": State.SUCCEEDED, "ended_at": AT}).save(folder)
        return True

    monkeypatch.setattr(run_lock, "was_left", ends)
    assert stored_runs.load(folder).run.state == State.SUCCEEDED


def test_looking_refuses_nobody_who_wants_to_work(folder, monkeypatch):
    """Who looks holds the lock for a moment."""
    import fcntl

    run_lock.hold(folder).close()
    looking = (folder / run_lock.FILE).open("rb")
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(run_lock.time, "sleep", lambda _: looking.close())
    run_lock.hold(folder).close()


def test_of_a_folder_that_was_copied_without_its_lock_nothing_is_known(folder):
    assert stored_runs.load(folder).run.state == State.RUNNING


def test_waiting_for_an_interrupted_run_says_how_to_go_on(folder):
    from pipeyard.deployment.targets.local import OnThisMachine

    here = OnThisMachine(Environment(name="here", target="local", pipeline_root=str(folder.parent)))
    with run_lock.hold(folder), pytest.raises(PipeyardError, match="another process is at it"):
        here.wait("one", 1.0, print)
    with pytest.raises(PipeyardError, match=f"one was interrupted. Go on with it: {GO_ON}"):
        here.wait("one", 1.0, print)


def _pid(lock) -> int:
    lock.seek(0)
    return int(lock.read())
