"""The step cache and what is outside the run: files that steps read, and state that a later step of the run changes."""

from pathlib import Path

import pytest
from kfp import dsl
from support.tiny_components import component

from pipeyard.runs.record import State

OK, CACHED = State.SUCCEEDED, State.CACHED

read = component(
    "read",
    {"file": "String", "state": "String"},
    {"x": "String"},
    "write(OUT['x'], Path(IN['file']).read_text())",
    image="t/read",
)
change = component(
    "change",
    {"x": "String", "state": "String", "edit": "String"},
    {"done": "String"},
    """
    write(IN['state'], 'changed for ' + IN['x'])
    if IN['edit'] != 'none': write(IN['edit'], 'edited meanwhile')
    write(OUT['done'], 'yes')
    """,
    image="t/change",
)
OUTSIDE = {
    "t/read": {"external_state": ["{file}", "{state}"]},
    "t/change": {"external_state": ["{state}"], "external_writes": ["{state}"], "cache_ignores": ["edit"]},
}


@pytest.fixture
def pipeline():
    @dsl.pipeline(name="p")
    def reads_then_changes(file: str, state: str, edit: str = "none"):
        first = read(file=file, state=state)
        change(x=first.outputs["x"], state=state, edit=edit)

    return reads_then_changes


def test_a_run_on_what_the_run_before_left_is_all_cache_hits(run, pipeline, tmp_path):
    (tmp_path / "file").write_text("data")
    places = {"file": str(tmp_path / "file"), "state": str(tmp_path / "state")}
    assert run(pipeline, outside=OUTSIDE, **places).states == {"read": OK, "change": OK}
    assert run(pipeline, outside=OUTSIDE, **places).states == {"read": CACHED, "change": CACHED}


def test_what_is_written_and_read_by_no_step_needs_no_checksum(run, pipeline, tmp_path):
    (tmp_path / "file").write_text("data")
    places = {"file": str(tmp_path / "file"), "state": str(tmp_path / "state")}
    writes = ["hdfs://x/checkpoints", *OUTSIDE["t/change"]["external_writes"]]
    outside = {**OUTSIDE, "t/change": {**OUTSIDE["t/change"], "external_writes": writes}}
    assert run(pipeline, outside=outside, **places).states == {"read": OK, "change": OK}
    assert run(pipeline, outside=outside, **places).states == {"read": CACHED, "change": CACHED}


@pytest.mark.parametrize("changed", ["file", "state"])
def test_a_change_by_others_runs_what_reads_it(run, pipeline, tmp_path, changed):
    (tmp_path / "file").write_text("data")
    places = {"file": str(tmp_path / "file"), "state": str(tmp_path / "state")}
    run(pipeline, outside=OUTSIDE, **places)
    Path(places[changed]).write_text("by somebody else")
    assert run(pipeline, outside=OUTSIDE, **places).states["read"] == OK


def test_a_file_edited_while_the_run_goes_on_is_read_again(run, pipeline, tmp_path):
    (tmp_path / "file").write_text("data")
    places = {"file": str(tmp_path / "file"), "state": str(tmp_path / "state")}
    run(pipeline, outside=OUTSIDE, **places, edit=places["file"])
    again = run(pipeline, outside=OUTSIDE, **places)
    assert again.states["read"] == OK
    assert again["read"].output_parameters == {"x": "edited meanwhile"}


def test_source_edited_while_it_runs_is_not_cached(run, pipeline, tmp_path):
    (tmp_path / "file").write_text("data")
    places = {"file": str(tmp_path / "file"), "state": str(tmp_path / "state")}
    outside = {**OUTSIDE, "t/read": {**OUTSIDE["t/read"], "digest_now": lambda: "another"}}
    first = run(pipeline, outside=outside, **places)
    assert first["read"].reason == "not cached: its source changed while it ran"
    assert run(pipeline, outside=OUTSIDE, **places).states["read"] == OK


def test_a_comma_in_a_path_is_part_of_it(run, pipeline, tmp_path):
    folder = tmp_path / "a,b"
    folder.mkdir()
    (folder / "file").write_text("old")
    places = {"file": str(folder / "file"), "state": str(tmp_path / "state")}
    run(pipeline, outside=OUTSIDE, **places)
    (folder / "file").write_text("new")
    assert run(pipeline, outside=OUTSIDE, **places)["read"].output_parameters == {"x": "new"}
