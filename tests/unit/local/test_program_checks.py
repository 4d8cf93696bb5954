"""A run asks each component's program about its parameters first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import compiler, components, dsl

from pipeyard import ir
from pipeyard.local import program_checks
from pipeyard.local.program_checks import ProgramCheck
from pipeyard.local.steps import Host

# A component's program: what it is given goes to a file, and with --check it objects to a depth below 1.
PROGRAM = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--check", action="store_true")
for flag in ("examples", "depth", "words", "model", "executor-input"):
    parser.add_argument(f"--{flag}")
args = parser.parse_args()
path = pathlib.Path(os.environ["ASKED"])
path.write_text(path.read_text() + json.dumps(vars(args)) + "\\n" if path.exists() else json.dumps(vars(args)) + "\\n")
if int(args.depth) < 1:
    raise SystemExit(f"fit: error: --depth is {args.depth}; give 1 or more")
"""

FIT = f"""
name: fit
inputs:
- {{name: examples, type: Dataset}}
- {{name: depth, type: Integer, default: '3', optional: true}}
- {{name: words, type: String, default: '', optional: true}}
outputs:
- {{name: model, type: Model}}
- {{name: words, type: String}}
implementation:
  container:
    image: tests/fit
    command: [python, -c, {json.dumps(PROGRAM)}]
    args:
    - --examples
    - {{inputPath: examples}}
    - --depth
    - {{inputValue: depth}}
    - --words
    - {{inputValue: words}}
    - --model
    - {{outputPath: model}}
    - --executor-input
    - '{{{{$}}}}'
"""
READ = """
name: read
outputs: [{name: examples, type: Dataset}, {name: words, type: String}]
implementation:
  container: {image: tests/read, command: [python, -c, pass], args: [{outputPath: examples}, {outputPath: words}]}
"""


@pytest.fixture(name="asked")
def fixture_asked(tmp_path):
    return tmp_path / "asked"


@pytest.fixture(name="problems")
def fixture_problems(tmp_path, asked):
    """Compiles a pipeline of `read` and `fit`, and returns what the programs object to; `fit` alone can check."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "ASKED": str(asked)}

    def go(pipeline, source="1", state=(), **parameters):
        package = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(package))
        host = {
            "tests/fit": Host("fit", source, env, check_reads=state, check=["--check"]),
            "tests/read": Host("read", source, env),
        }
        planned = program_checks.planned(ir.load(package), parameters, host.__getitem__)
        return program_checks.problems(planned, tmp_path / "checked", 2, lambda line: None)

    return go


def _pipeline(depth_of_one=None):
    read = components.load_component_from_text(READ)
    fit = components.load_component_from_text(FIT)

    @dsl.pipeline(name="p")
    def pipeline(depth: int, note: str = ""):
        examples = read()
        fit(examples=examples.outputs["examples"], depth=depth_of_one or depth, words=examples.outputs["words"])
        with dsl.If(note == "more", name="more"):
            fit(examples=examples.outputs["examples"], depth=depth, words=f"of {note}")

    return pipeline


def _lines(asked):
    return asked.read_text().splitlines() if asked.exists() else []


def test_programs_get_what_is_known_and_nothing_else(problems, asked):
    assert not problems(_pipeline(), depth=2, note="")
    known = '{"check": true, "examples": null, "depth": "2", "words": null, "model": null, "executor_input": null}'
    assert _lines(asked) == [known]  # the one under the condition would be asked the same


def test_what_they_object_to_names_the_step(problems):
    found = problems(_pipeline(depth_of_one=5), depth=0, note="")
    assert len(found) == 1
    assert found[0].endswith("/fit-2: fit: error: --depth is 0; give 1 or more")


def test_what_was_in_order_is_not_asked_again(problems, asked, tmp_path):
    outside = tmp_path / "schema"
    outside.write_text("a")
    given = {"state": ["{words}"], "depth": 2, "note": str(outside)}
    read = components.load_component_from_text(READ)
    fit = components.load_component_from_text(FIT)

    @dsl.pipeline(name="p")
    def pipeline(depth: int, note: str):
        fit(examples=read().outputs["examples"], depth=depth, words=note)

    assert not problems(pipeline, **given)
    assert not problems(pipeline, **given)
    assert len(_lines(asked)) == 1
    assert not problems(pipeline, **given, source="2")
    assert len(_lines(asked)) == 2
    outside.write_text("b")
    assert not problems(pipeline, **given)
    assert len(_lines(asked)) == 3


def test_what_was_refused_is_asked_again(problems, asked):
    pipeline = _pipeline()
    assert len(problems(pipeline, depth=0, note="")) == 1
    assert len(problems(pipeline, depth=0, note="")) == 1
    assert len(_lines(asked)) == 2


def test_secrets_are_given_and_never_told(problems, monkeypatch, asked):
    monkeypatch.setenv("TOKEN_OF_TEST", "0-squeamish-ossifrage")
    read = components.load_component_from_text(READ)
    fit = components.load_component_from_text(FIT.replace("type: Integer", "type: String"))

    @dsl.pipeline(name="p")
    def pipeline(depth: str, word: str):
        fit(examples=read().outputs["examples"], depth=depth, words=word)

    found = problems(pipeline, depth="${secret:TOKEN_OF_TEST}", word="")
    assert '"depth": "0-squeamish-ossifrage"' in _lines(asked)[0]
    assert "squeamish" not in found[0]


def test_a_program_that_takes_too_long_is_no_objection_and_is_asked_again(tmp_path, monkeypatch):
    def late(*_args):
        raise subprocess.TimeoutExpired("sh", 1)

    said: list[str] = []
    monkeypatch.setattr(program_checks, "run_logged", late)
    host = Host("judge", "d", {}, check=["--check"])
    check = ProgramCheck("group/judge", host, {}, {"command": ["sh", "-c", "true"]})
    assert not program_checks.problems([check], tmp_path / "passed", 1, said.append)
    assert said[-1].startswith("group/judge hasn't said within 300 s")
    assert not list((tmp_path / "passed").iterdir())
