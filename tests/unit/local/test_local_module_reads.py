"""What a pipeline module reads counts for the step cache: each input is changed in turn, and its step computed anew."""

import json
import os
import re
import sys

import pytest
from support import trigger_projects

from pipeyard import settings
from pipeyard.compiling import compiler
from pipeyard.deployment.targets import local
from pipeyard.local import module_reads, runner
from pipeyard.runs.record import State

SPEC = """\
name: read
inputs:
- {name: module, type: String}
- {name: fails, type: String, default: '', optional: true}
- {name: before, type: String, default: '', optional: true}
outputs:
- {name: made, type: String}
implementation:
  container:
    image: tiny/read:dev
    command:
    - python
    - -c
    - |
      import pathlib, sys
      from stepkit import modules
      source, fails, before, made = sys.argv[1:]
      if fails and pathlib.Path(fails).exists():
          sys.exit("it fails")
      result = modules.call(modules.load(source, "", ["fn"]).fn)
      pathlib.Path(made).parent.mkdir(parents=True, exist_ok=True)
      pathlib.Path(made).write_text(result)
    args: [{inputValue: module}, {inputValue: fails}, {inputValue: before}, {outputPath: made}]
"""
PIPELINE = """\
from pathlib import Path
from kfp import dsl
from pipeyard.component_store import ComponentStore
read = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"]).load_component("read")
MODULE = (Path(__file__).parent / "module.py").read_text()

@dsl.pipeline(name="whole")
def whole(fails: str):
    first = read(module=MODULE)
    read(module="def fn(): return 'x'", fails=fails, before=first.output)
"""
# It reads a file, a folder, a variable, a helper, which reads on, and by another process what it declares.
MODULE = """\
import glob, os, subprocess, sys
HERE = {here!r}
READS = [HERE + "/declared-*.txt"]
sys.path.insert(0, HERE)
import helper

def fn():
    listed = [os.path.basename(path) for path in sorted(glob.glob(HERE + "/words/*.txt"))]
    optional = HERE + "/optional.txt"
    read = [open(HERE + "/file.txt").read(), os.environ.get("REGION", "none"), helper.value()]
    read += [open(optional).read() if os.path.isfile(optional) else ""]
    try:
        read += [open(HERE + "/later.txt").read()]
    except FileNotFoundError:
        pass
    return "|".join([*listed, *read, subprocess.getoutput("cat " + HERE + "/declared-*.txt")])
"""
HELPER = "def value(): return open({here!r} + '/helped.txt').read() + 'h'\n"


@pytest.fixture
def here(tmp_path):
    folder = tmp_path / "data"
    for name in ("file.txt", "helped.txt", "declared-1.txt", "words/a.txt", "unread.txt"):
        trigger_projects.write(folder / name, name[0])
    trigger_projects.write(folder / "helper.py", HELPER.format(here=str(folder)))
    return folder


@pytest.fixture
def run(tmp_path, here, monkeypatch):
    """Runs the pipeline; returns its tasks by name, and its id."""
    monkeypatch.setattr(compiler, "compile_apart", compiler.compile_pipeline)
    monkeypatch.delenv("REGION", raising=False)
    project = trigger_projects.make(tmp_path / "project", {"whole": {"parameters": {"fails": str(here / "fail")}}})
    python = project.root / "components/read/.venv/bin/python"
    python.unlink()
    trigger_projects.write(python, f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # whose environment has stepkit
    python.chmod(0o755)
    trigger_projects.write(project.root / "components/read/component.yaml", SPEC)
    trigger_projects.write(project.root / "pipelines/whole/pipeline.py", PIPELINE)

    def go(module=MODULE, resume=""):
        path = project.root / "pipelines/whole/module.py"
        trigger_projects.write(path, module.replace("{here!r}", repr(str(here))))
        place = settings.load(project.root).environment("here")
        manner = local.Manner(runner.Options(prestart=False), resume=resume)
        ran = local.OnThisMachine(place, project, manner).start("whole").record
        return {task.name: task for task in ran.tasks}, ran.id

    return go


CHANGES = {
    "a file": lambda here, env: (here / "file.txt").write_text("F"),
    "a file of the same size and time": lambda here, env: _same_size_and_time(here / "file.txt"),
    "a variable": lambda here, env: env.setenv("REGION", "eu"),
    "the variable again": lambda here, env: env.setenv("REGION", "us"),
    "a file in a listed folder": lambda here, env: (here / "words/b.txt").write_text("b"),
    "what a helper reads": lambda here, env: (here / "helped.txt").write_text("H"),
    "a helper": lambda here, env: (here / "helper.py").write_text(
        HELPER.format(here=str(here)).replace("'h'", "'helper'")
    ),
    "a file that was absent": lambda here, env: (here / "later.txt").write_text("later"),
    "what it declares": lambda here, env: (here / "declared-1.txt").write_text("D"),
    "another of what it declares": lambda here, env: (here / "declared-2.txt").write_text("E"),
    "a file is gone": lambda here, env: (here / "later.txt").unlink(),
    "a variable is gone": lambda here, env: env.delenv("REGION"),
}


def _same_size_and_time(path):
    before = path.stat()
    path.write_text("G")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_each_input_is_changed_in_turn_and_its_step_computed_anew(run, here, monkeypatch):
    tasks, _ = run()
    assert {task.state for task in tasks.values()} == {State.SUCCEEDED}
    assert run()[0]["read"].state == State.CACHED
    (here / "unread.txt").write_text("other")
    monkeypatch.setenv("UNREAD", "other")
    assert run()[0]["read"].state == State.CACHED
    for what, change in CHANGES.items():
        before = tasks["read"].output_parameters["made"]
        change(here, monkeypatch)
        tasks, _ = run()
        assert tasks["read"].state == State.SUCCEEDED, what
        assert tasks["read"].reason.startswith("what its module reads changed: "), what
        assert tasks["read"].output_parameters["made"] != before, what
    tasks, _ = run()
    assert tasks["read"].state == State.CACHED
    assert tasks["read"].output_parameters["made"] == "a.txt|b.txt|G|none|Hhelper||DE"


def test_a_module_that_is_changed_is_another_step(run):
    run("def fn(): return '1'")
    tasks, _ = run("def fn(): return '2'")
    assert (tasks["read"].state, tasks["read"].output_parameters["made"]) == (State.SUCCEEDED, "2")
    assert run("def fn(): return '1'")[0]["read"].state == State.CACHED


@pytest.mark.parametrize("changes", [False, True])
def test_a_resumed_run_computes_a_step_anew_whose_module_read_what_has_changed(run, here, monkeypatch, changes):
    (here / "fail").touch()
    tasks, name = run()
    assert (tasks["read"].state, tasks["read-2"].state) == (State.SUCCEEDED, State.FAILED)
    (here / "fail").unlink()
    if changes:
        monkeypatch.setenv("REGION", "eu")
    tasks, _ = run(resume=name)
    assert tasks["read-2"].state == State.SUCCEEDED
    kept = "kept from before the run was resumed"
    assert (tasks["read"].reason == kept) != changes
    assert ("|eu|" in tasks["read"].output_parameters["made"]) == changes


def test_what_has_no_checksum_is_told_and_not_cached(run):
    module = "READS = ['http://127.0.0.1:1/words.txt', 'nowhere://x']\ndef fn(): return 'x'"
    for _ in range(2):
        task = run(module)[0]["read"]
        assert task.state == State.SUCCEEDED
        assert re.match("not cached: its module reads .*nowhere://x, which has no checksum", task.reason)


def test_what_changes_while_the_step_runs_is_told_and_not_cached(run, here):
    module = f"import os\nX = open({str(here / 'file.txt')!r}).read()\n"
    module += f"os.system('echo more >> {here / 'file.txt'}')\ndef fn(): return X"
    for _ in range(2):
        task = run(module)[0]["read"]
        assert task.state == State.SUCCEEDED
        assert task.reason == f"not cached: what its module read changed while it ran: {here / 'file.txt'}"


def test_inputs_of_the_step_and_files_of_the_run_count_by_themselves(tmp_path):
    for name in ("input/a", "runs/x/b", "other/c"):
        trigger_projects.write(tmp_path / name, name)

    def state(name):
        found = (tmp_path / name).stat()
        return [found.st_mtime_ns, found.st_size]

    told = {"files": {str(tmp_path / name): state(name) for name in ("input/a", "runs/x/b", "other/c")}}
    told |= {"folders": [str(tmp_path / "input")], "variables": [], "declared": []}
    (tmp_path / "report").write_text(json.dumps(told))
    reads, problem = module_reads.taken(tmp_path / "report", {}, [str(tmp_path / "input"), str(tmp_path / "runs")])
    assert (list(reads), problem) == ([f"file {tmp_path / 'other/c'}"], "")


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_report_is_told_and_not_cached(tmp_path, content):
    (tmp_path / "report").write_bytes(content)
    reads, problem = module_reads.taken(tmp_path / "report", {}, [])
    assert not reads and problem.startswith("not cached: what its module read can't be known (")
    module_reads.save(tmp_path, {"variable X": "1"})
    assert module_reads.load(tmp_path) == {"variable X": "1"}
    (tmp_path / "module_reads.json").write_bytes(content)
    assert module_reads.load(tmp_path) is None


def test_secrets_in_variables_are_not_kept(run, tmp_path, monkeypatch):
    monkeypatch.setenv("REGION", "hunter2-hunter2")
    run("import os\ndef fn(): return str(len(os.environ['REGION']))")
    folder = tmp_path / "project/runs"
    texts = [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]
    assert any("variable REGION" in text for text in texts)
    assert not any("hunter2" in text for text in texts)
