"""Programs are asked about their parameters before a run: what is done with their answers."""

import subprocess

from pipeyard.local import program_checks
from pipeyard.local.program_checks import ProgramCheck
from pipeyard.local.steps import Host


def _check(program, source="d"):
    host = Host("judge", source, {}, check=["--check"])
    return ProgramCheck("group/judge", host, {}, {"command": ["sh", "-c", program]})


def test_an_objection_names_the_step_and_what_was_in_order_is_not_asked_again(tmp_path):
    counted = tmp_path / "asked"
    bad, good = _check("echo no such metric; exit 1"), _check(f"echo x >> {counted}")
    for _ in range(2):
        assert program_checks.problems([bad, good], tmp_path / "passed", 2, lambda _: None) == [
            "group/judge: no such metric"
        ]
    assert counted.read_text(encoding="utf-8") == "x\n"


def test_a_program_that_takes_too_long_is_no_objection_and_is_asked_again(tmp_path, monkeypatch):
    def late(*_args):
        raise subprocess.TimeoutExpired("sh", 1)

    said = []
    monkeypatch.setattr(program_checks, "run_logged", late)
    assert not program_checks.problems([_check("true")], tmp_path / "passed", 1, said.append)
    assert said[-1].startswith("group/judge hasn't said within 300 s")
    assert not list((tmp_path / "passed").iterdir())
