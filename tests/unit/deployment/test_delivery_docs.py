"""docs/deploying.md: its commands, as they stand there. Those of docs/tasks/ tests/delivery follows."""

import importlib
import json
import re
import shlex
from pathlib import Path

import click
import pytest
from servers.kubeflow import KubeflowServer
from servers.storage import storage
from support import scratch_git, small_repository

from pipeyard import cli

PAGE = (Path(__file__).parents[3] / "docs" / "deploying.md").read_text(encoding="utf-8")


def _commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


def _command(name: str) -> click.Command:
    return importlib.import_module(cli.COMMANDS[name]).command


@pytest.fixture
def project(tmp_path):
    with storage(), KubeflowServer() as kubeflow:
        production = small_repository.environment(target="kfp", host=kubeflow.url, approval="required")
        made = small_repository.make(tmp_path / "project", {"production": production})
        small_repository.build(made)
        yield made


@pytest.fixture
def pipeyard(pipeyard):
    """Runs a command that has to succeed; returns what it prints."""

    def run(*arguments: str) -> str:
        code, out, err = pipeyard(*arguments)
        assert code == 0, err
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
        given = [small_repository.NAME if each == "chicago_taxi" else each for each in arguments]
        if "DIGEST" in given:
            digest = json.loads(pipeyard("plan", "--env", "production", "--json"))[0]["digest"]
            given[given.index("DIGEST")] = digest
        pipeyard(*given)
        ran.append(arguments[0])
    assert ran == ["approve"]
    small_repository.build(project)
    pipeyard("deploy", "--env", "production")  # which is approved now


def test_every_option_that_is_named_is_one():
    commands = [_command(name) for name in ("plan", "upload", "deploy", "run", "approve", "doctor")]
    known = {option for command in commands for each in command.params for option in each.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known
