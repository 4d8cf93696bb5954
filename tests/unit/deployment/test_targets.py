"""A target is a model of settings, a class, and a line in the table: a third server shows that this is all."""

import json
from typing import ClassVar

import pytest
from support import small_repository

from pipeyard import settings
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
    def check(cls, environment, chosen):
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
    made = small_repository.make(
        tmp_path / "project", {"desk": small_repository.environment(target=NAME, bucket=place, project="p")}
    )
    small_repository.build(made)
    return made


@pytest.fixture
def pipeyard(pipeyard):
    """Runs a command on the environment `desk`."""
    return lambda *arguments: pipeyard(*arguments, "--env", "desk")


def test_plan_deploy_and_run_find_a_third_server(pipeyard):
    code, out, err = pipeyard("plan", "--exit-code")
    assert (code, "+ version whole" in out) == (3, True), err
    code, out, err = pipeyard("deploy")
    assert code == 0 and "whole in desk: wrote it down" in out, err
    assert pipeyard("plan", "--exit-code")[0] == 0
    code, out, err = pipeyard("run", "whole", "-p", "epochs=5", "--wait", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["run"], told["page"], told["state"]) == ("paper-1", "drawer://paper-1", "SUCCEEDED")
    assert OnPaper.runs == [("1", {"epochs": 5})]


def test_what_a_third_server_needs_of_settings_is_told(pipeyard, project):
    small_repository.configure(project, {"desk": small_repository.environment(target=NAME)})
    code, _, err = pipeyard("plan")
    assert code == 1 and "target paper needs project" in err


def test_a_trigger_s_run_and_the_latest_are_asked_of_a_third_server(pipeyard, project):
    from pipeyard.triggers import starting

    pipeyard("deploy")
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
