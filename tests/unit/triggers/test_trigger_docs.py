"""docs/triggers.md: its settings and commands, as they stand there, but for places that are on this machine."""

import itertools
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from support import trigger_projects
from support.statistics_artifacts import artifact
from support.trigger_projects import notification

from pipeyard import cli, settings
from pipeyard.triggers import routing

TEXT = (Path(__file__).parents[3] / "docs/triggers.md").read_text(encoding="utf-8")
_COMMAND = re.compile(r"^\.venv/bin/pipeyard (trigger --env (\w+) .*)$", re.MULTILINE)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the page's settings, in environments of the page's names."""
    written = re.search(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL).group(1)
    pipelines = yaml.safe_load(written.replace("gs://", f"{tmp_path}/"))["pipelines"]
    pipelines["chicago_taxi"]["parameters"] = {"source": "x"}
    here = {"target": "local", "pipeline_root": "${PROJECT_ROOT}/runs", "pipelines": pipelines}
    vertex = {"target": "vertex", "project": "p", "region": "r", "bucket": "gs://acme", "pipeline_root": "gs://acme/r"}
    made = trigger_projects.make(
        tmp_path / "project", {"chicago_taxi": {}, "features": {}}, production=here, staging=here, vertex=vertex
    )
    artifact(tmp_path / "models/taxi/1/assets.extra", train={"fare": [(0, 10, 50)]})
    (tmp_path / "models/taxi/1/saved_model.pb").touch()
    (tmp_path / "models/taxi/live.json").write_text('{"AUC": 0.9}')
    artifact(tmp_path / "landing/taxi-statistics", train={"fare": [(1, 11, 50)]})
    (made.root / "notification.json").write_text(notification("taxi/a.csv"))
    monkeypatch.chdir(made.root)
    return made


def test_each_kind_of_trigger_is_what_the_settings_make_of_it(project):
    routes = routing.all_of(settings.load(project.root).environment("production"))
    shown = re.findall(r"^\| `(\w+)` \| ", TEXT, re.MULTILINE)
    assert [route.name for route in routes] == ["schedule", "new-trips", "drift", "auc", "after-features"]
    assert [route.trigger.kind for route in routes[1:]] == shown[:4]


def test_its_commands_do_what_it_says(project, monkeypatch, capsys):
    said = {}
    commands = [match[0] for match in _COMMAND.findall(TEXT)]
    assert len(commands) == 8
    for line in commands:
        words = shlex.split(line, comments=True)
        command = list(itertools.takewhile(lambda word: word != ">", words))
        if "--apply" in command:
            continue  # test_trigger_command makes jobs
        monkeypatch.setattr(sys, "argv", ["pipeyard", *command])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert not end.value.code, f"{line}: {err}"
        if ">" in words:
            Path(words[-1]).write_text(out, encoding="utf-8")
        said["log" if "--log" in command else command[3]] = out
    assert "chicago_taxi/drift: within: all of 1 are within their bounds" in said["tick"]
    assert "fare (train): Kolmogorov-Smirnov 0.1 within 0.15" in said["drift"]
    assert said["event"] == "chicago_taxi/new-trips: waiting: 1 of 3 files within 1:00:00\n"
    assert "chicago_taxi/new-trips: 1 held, 0 due; lately started: nothing" in said["show"]
    assert json.loads(said["log"])["code"] == "waiting"
    assert "waiting" in said["replay"] and "was:" not in said["replay"]
    assert json.loads(said["scheduler"])["name"] == "projects/p/locations/r/jobs/pipeyard-vertex-tick"
