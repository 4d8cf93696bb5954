"""docs/deploying.md: its commands and settings, as they stand there."""

import importlib
import json
import re
import shlex
import sys
import textwrap
from pathlib import Path

import click
import delivered_projects
import pytest
import shipped_projects
from servers.kubeflow import KubeflowServer
from servers.storage import storage

from pipeyard import cli, settings

PAGE = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text(encoding="utf-8")
# Need a registry; tests/engine runs them.
ELSEWHERE = {"build", "compile"}


def _blocks(kind: str) -> list[str]:
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for _, text in found]


def _commands() -> list[list[str]]:
    lines = [line for block in _blocks("sh") for line in block.splitlines()]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


def _command(name: str) -> click.Command:
    return importlib.import_module(cli.COMMANDS[name]).command


@pytest.fixture
def project(tmp_path):
    with storage(), KubeflowServer() as kubeflow:
        dev = delivered_projects.environment(target="kfp", host=kubeflow.url)
        made = delivered_projects.make(
            tmp_path / "project", {"dev": dev, "production": {**dev, "approval": "required"}}
        )
        delivered_projects.build(made)
        yield made


@pytest.fixture
def pipeyard(project, capsys, monkeypatch):
    """Runs a command in this process; returns what it prints. It has to succeed."""
    monkeypatch.setattr("pipeyard.delivery.on_kubeflow.INTERVAL", 0.01)

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
                shipped_projects.git(project.root, *arguments)
            continue
        assert program == ".venv/bin/pipeyard"
        name = arguments[0]
        command = _command(name)
        if name in ELSEWHERE:
            command.make_context(name, arguments[1:])
            continue
        given = [delivered_projects.PIPELINE if each == "chicago_taxi" else each for each in arguments]
        if "DIGEST" in given:
            digest = json.loads(pipeyard("plan", "--env", "production", "--json"))[0]["digest"]
            given[given.index("DIGEST")] = digest
        pipeyard(*given)
        ran.append(name)
    assert ran == ["plan", "deploy", "run", "approve"]
    delivered_projects.build(project)
    pipeyard("deploy", "--env", "production")  # which is approved now


def test_settings_are_such_as_are_taken(tmp_path):
    kubeflow, vertex = _blocks("yaml")
    for example in (kubeflow, vertex):
        text = example.replace("BUCKET", "acme").replace("PROJECT", "acme")
        (tmp_path / settings.FILE).write_text(text, encoding="utf-8")
        loaded = settings.load(tmp_path)
        assert all(loaded.environment(name) for name in loaded.names)


def test_every_option_that_is_named_is_one():
    commands = [_command(name) for name in ("plan", "upload", "deploy", "run", "approve")]
    known = {option for command in commands for each in command.params for option in each.opts}
    known |= {"--check", "--registry"}  # of settings and build
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known
