"""A target is a model of settings, a class, and a line in the table: a third server shows that this is all."""

import json
import sys
from typing import ClassVar

import pytest
from support import delivered_projects

from pipeyard import cli, settings
from pipeyard.deployment.planner import Discrepancy
from pipeyard.deployment.targets import choice
from pipeyard.deployment.targets.server import ServerTarget
from pipeyard.servers.outcome import RunOutcome
from pipeyard.settings import targets
from pipeyard.system import bucket

NAME = "paper"


class OnPaper(ServerTarget):
    """Writes down what it is asked for."""

    versions: ClassVar[dict[str, str]] = {}
    runs: ClassVar[list[tuple[str, dict]]] = []

    @classmethod
    def check(cls, environment, pipelines):
        pass

    @classmethod
    def check_package(cls, environment, package):
        pass

    def connect(self):
        return self

    def missing(self, desired, record):
        if desired.pipeline in self.versions:
            return ()
        return (Discrepancy("version", desired.pipeline, "", desired.package.version),)

    def apply(self, desired, record):
        self.versions[desired.pipeline] = desired.package.version
        return {"sheet": "1"}, ["wrote it down"]

    def submit(self, record, package, parameters, key, caching):
        self.runs.append((record.server["sheet"], dict(parameters)))
        return "paper-1", "drawer://paper-1"

    def wait(self, run, timeout, tell):
        tell("RUNNING")
        return RunOutcome("SUCCEEDED", 1.0, page=f"drawer://{run}")

    def latest(self, pipeline):
        return None


@pytest.fixture(autouse=True)
def paper(monkeypatch):
    """The third server: one model, one class, one line in the table."""
    type("Paper", (targets.Target,), {"name": NAME, "needs": ("bucket", "project")})
    monkeypatch.setitem(choice.TARGETS, NAME, f"{__name__}:OnPaper")
    monkeypatch.setattr(OnPaper, "versions", {})
    monkeypatch.setattr(OnPaper, "runs", [])
    yield
    del targets.TARGETS[NAME]


@pytest.fixture
def project(tmp_path, own_prefix):
    place = bucket.connect(own_prefix).place
    made = delivered_projects.make(
        tmp_path / "project", {"desk": delivered_projects.environment(target=NAME, bucket=place, project="p")}
    )
    delivered_projects.build(made)
    return made


def _pipeyard(project, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["pipeyard", *arguments, "--env", "desk", "--project", str(project.root)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    return end.value.code or 0, out, err


def test_plan_deploy_and_run_find_a_third_server(project, monkeypatch, capsys):
    code, out, err = _pipeyard(project, monkeypatch, capsys, "plan", "--exit-code")
    assert (code, "+ version whole" in out) == (3, True), err
    code, out, err = _pipeyard(project, monkeypatch, capsys, "deploy")
    assert code == 0 and "whole in desk: wrote it down" in out, err
    assert _pipeyard(project, monkeypatch, capsys, "plan", "--exit-code")[0] == 0
    code, out, err = _pipeyard(project, monkeypatch, capsys, "run", "whole", "-p", "epochs=5", "--wait", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["run"], told["page"], told["state"]) == ("paper-1", "drawer://paper-1", "SUCCEEDED")
    assert OnPaper.runs == [("1", {"epochs": 5})]


def test_what_a_third_server_needs_of_settings_is_told(project, monkeypatch, capsys):
    delivered_projects.configure(project, {"desk": delivered_projects.environment(target=NAME)})
    code, _, err = _pipeyard(project, monkeypatch, capsys, "plan")
    assert code == 1 and "target paper needs project" in err


def test_a_trigger_s_run_and_the_latest_are_asked_of_a_third_server(project, monkeypatch, capsys):
    from pipeyard.triggers import starting

    _pipeyard(project, monkeypatch, capsys, "deploy")
    desk = settings.load(project.root).environment("desk")
    assert starting.launcher()(desk, "whole", {"epochs": "7"}, "key") == "paper-1"
    assert OnPaper.runs == [("1", {"epochs": 7})]
    assert choice.runs(desk).latest("whole") is None


def test_the_tables_of_settings_and_of_classes_have_the_same_targets():
    assert list(choice.TARGETS) == list(targets.TARGETS)
    for name, target in targets.TARGETS.items():
        environment = settings.Environment.model_construct(name="e", target=name)
        if target.on_server:
            assert issubclass(choice.server_of(environment), ServerTarget)
        else:
            assert not hasattr(choice.runs(environment), "apply")
