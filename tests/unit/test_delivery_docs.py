"""docs/deploying.md: its commands, as they stand there. Those of docs/tasks/ tests/delivery follows."""

import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import click
import delivered_projects
import pytest
import scratch_git
from servers.kubeflow import KubeflowServer
from servers.storage import storage

from pipeyard import cli

PAGE = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text(encoding="utf-8")


def _commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


def _command(name: str) -> click.Command:
    return importlib.import_module(cli.COMMANDS[name]).command


@pytest.fixture
def project(tmp_path):
    with storage(), KubeflowServer() as kubeflow:
        production = delivered_projects.environment(target="kfp", host=kubeflow.url, approval="required")
        made = delivered_projects.make(tmp_path / "project", {"production": production})
        delivered_projects.build(made)
        yield made


@pytest.fixture
def pipeyard(project, capsys, monkeypatch):
    """Runs a command in this process; returns what it prints. It has to succeed."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["pipeyard", *arguments, "--project", str(project.root)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert end.value.code == 0, err
        return out

    return run


def test_commands_do_what_they_are_there_for(pipeyard, project):
    ran = []
    for program, *arguments in _commands():
        if program == "git":
            if arguments[0] != "push":
                scratch_git.git(project.root, *arguments)
            continue
        assert program == ".venv/bin/pipeyard"
        given = [delivered_projects.PIPELINE if each == "chicago_taxi" else each for each in arguments]
        if "DIGEST" in given:
            digest = json.loads(pipeyard("plan", "--env", "production", "--json"))[0]["digest"]
            given[given.index("DIGEST")] = digest
        pipeyard(*given)
        ran.append(arguments[0])
    assert ran == ["approve"]
    delivered_projects.build(project)
    pipeyard("deploy", "--env", "production")  # which is approved now


def test_every_option_that_is_named_is_one():
    commands = [_command(name) for name in ("plan", "upload", "deploy", "run", "approve", "doctor")]
    known = {option for command in commands for each in command.params for option in each.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known
