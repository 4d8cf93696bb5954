"""Entries of the step cache that are damaged: their steps are computed anew, with a warning."""

import json
import logging
import sys

import pytest
from support import trigger_projects

from pipeyard import cli
from pipeyard.local.step_cache import CacheEntry, StepCache
from pipeyard.runs import record

KEY = "0" * 64
RIGHT = CacheEntry(run="r", task="t", parameters={"length": 3}, artifacts={})
DAMAGED = {
    "not UTF-8": b"\xff\xfe\x00",
    "truncated": RIGHT.model_dump_json().encode()[:-5],
    "empty": b"",
    "a list": b"[]",
    "another shape": b'{"run": [], "task": {}}',
    "artifacts of another shape": json.dumps({**RIGHT.model_dump(), "artifacts": {"a": []}}).encode(),
    "100,000 brackets": b"[" * 100_000,
    "a directory": None,
    "of a newer format": RIGHT.model_dump_json().replace('"format":1', '"format":2').encode(),
}


def damage(path, content):
    path.unlink(missing_ok=True)
    if content is None:
        (path / "inside").mkdir(parents=True)
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_entry_is_none_and_told_of_and_written_over(tmp_path, caplog, kind):
    cache = StepCache(tmp_path)
    damage(tmp_path / f"{KEY}.json", DAMAGED[kind])
    with caplog.at_level(logging.WARNING):
        assert cache.get(KEY) is None
    (warning,) = caplog.messages
    assert warning.startswith(f"The cache entry {tmp_path / KEY}.json can't be read (")
    assert warning.endswith("Its step is computed anew.")
    cache.put(KEY, RIGHT)
    assert cache.get(KEY) == RIGHT


def test_an_entry_that_isn_t_there_is_nothing_to_warn_of(tmp_path, caplog):
    assert StepCache(tmp_path).get(KEY) is None
    assert caplog.messages == []


@pytest.mark.parametrize("kind", ["not UTF-8", "another shape", "a directory"])
def test_a_run_with_a_damaged_entry_computes_the_step_anew_and_mends_the_entry(tmp_path, monkeypatch, kind):
    project = trigger_projects.make(tmp_path, {"read": {"parameters": {"source": "abc"}}})

    def run():
        before = {folder.name for folder in (tmp_path / "runs").glob("read-*")}
        arguments = ["run", "read", "--env", "here", "--project", str(project.root), "--no-prestart"]
        monkeypatch.setattr(sys, "argv", ["pipeyard", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        (folder,) = {folder.name for folder in (tmp_path / "runs").glob("read-*")} - before
        return record.load(tmp_path / "runs" / folder)

    assert run().tasks[0].state == record.State.SUCCEEDED
    (entry,) = (tmp_path / "runs/.cache").glob("*.json")
    damage(entry, DAMAGED[kind])
    again = run()
    assert (again.state, again.tasks[0].state) == (record.State.SUCCEEDED, record.State.SUCCEEDED)
    assert run().tasks[0].state == record.State.CACHED
