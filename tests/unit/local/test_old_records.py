"""What commit abc0cbb wrote of runs is read, resumed and taken from its cache; what a newer one wrote is refused."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from rich.console import Console

from pipeyard import ir
from pipeyard.errors import PipeyardError
from pipeyard.local import leftovers, runner
from pipeyard.local.display import Lines
from pipeyard.local.steps import Host
from pipeyard.runs import record, report, run_lock, stored_runs
from pipeyard.runs.record import State

RECORDED = Path(__file__).parent / "recorded_abc0cbb"
HOST = Host(component="tests", source_digest="1", env={"PATH": "/usr/bin:/bin"})


@pytest.fixture
def old(tmp_path):
    """The folder of the recorded run, with what its steps had written."""
    root = tmp_path / "runs"
    content = {path.name: path.read_text().replace("@RUNS@", str(root)) for path in RECORDED.iterdir()}
    folder = root / json.loads(content["run.json"])["id"]
    (folder / "tasks/first/outputs").mkdir(parents=True)
    (folder / "tasks/first/outputs/data").write_text("hello\n")
    (root / leftovers.CACHE_FOLDER).mkdir()
    for name, text in content.items():
        if name != "README.md":
            (folder if name in ("run.json", "pipeline.yaml") else root / leftovers.CACHE_FOLDER).joinpath(
                name
            ).write_text(text)
    (folder / run_lock.FILE).touch()  # it told no process
    return folder


def go(old: Path, resumed: Path | None = None) -> record.Run:
    pipeline = ir.parse((old / "pipeline.yaml").read_text())
    options = runner.Options(prestart=False)
    display = Lines(Console(quiet=True))
    here = {"options": options, "resumed": resumed, "interrupts": lambda stop: nullcontext()}
    return runner.run(pipeline, {}, old.parent, lambda image: HOST, display, **here)[0]


def rewritten(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_old_run_is_read_and_shown(old):
    (stored,) = stored_runs.list_runs(old.parent)
    assert [(task.path, task.state) for task in stored.run.tasks] == [
        ("first", State.SUCCEEDED),
        ("second", State.FAILED),
    ]
    assert (stored.run.state, stored.run.versions["pipeyard"], stored.pid) == (State.FAILED, "0.1.0", None)
    assert "Failed at second" in report.render(old).read_text()


def test_an_old_run_whose_runner_was_killed_is_interrupted_and_its_process_unknown(old):
    rewritten(old / record.FILE, state="RUNNING", ended_at=None)
    stored = stored_runs.load(old)
    assert (stored.run.state, stored.pid) == (State.INTERRUPTED, None)
    assert stored.run.error == f"Its runner is gone. Go on with it: pipeyard run old --resume {old.name}"


def test_an_old_run_goes_on_where_it_was(old):
    run = go(old, resumed=old)
    first, second = run.tasks
    assert (run.state, run.format, record.load(old)) == (State.SUCCEEDED, record.FORMAT, run)
    assert (first.state, first.reason) == (State.SUCCEEDED, "kept from before the run was resumed")
    assert (second.state, [attempt.number for attempt in second.attempts]) == (State.SUCCEEDED, [1, 2])


def test_an_old_entry_of_the_step_cache_is_taken(old):
    first, second = go(old).tasks
    assert (first.state, first.cached_from) == (State.CACHED, old.name)
    assert second.state == State.SUCCEEDED


@pytest.mark.parametrize("content", [None, "hell"])
def test_an_old_entry_whose_outputs_are_gone_or_changed_is_computed_anew_with_a_warning(old, caplog, content):
    data = old / "tasks/first/outputs/data"
    data.unlink()
    if content:
        data.write_text(content)
    assert [task.state for task in go(old).tasks] == [State.SUCCEEDED, State.SUCCEEDED]
    (warning,) = caplog.messages
    assert warning.startswith(f"The output {data} of {old.name} is gone or changed since")
    assert warning.endswith("The step first is computed anew.")


def test_a_run_of_a_newer_version_isn_t_resumed(old):
    rewritten(old / record.FILE, format=record.FORMAT + 1)
    before = (old / record.FILE).read_bytes()
    with pytest.raises(PipeyardError, match="is of a newer Pipeyard .*Update this checkout"):
        go(old, resumed=old)
    assert (old / record.FILE).read_bytes() == before
