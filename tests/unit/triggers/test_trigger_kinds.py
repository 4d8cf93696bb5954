"""A kind of trigger is a model of settings, a class, and a line in the table: another kind shows that this is all."""

import json
import sys
from typing import Literal

import pytest
from support import trigger_projects

from pipeyard import cli
from pipeyard.errors import PipeyardError
from pipeyard.settings import load, model
from pipeyard.triggers import trigger_kinds
from pipeyard.triggers.domain import Event, EventKind
from pipeyard.triggers.sensors import Looked


class Moon(trigger_kinds.Sensor):
    """Looks at the moon."""

    kind = EventKind.QUALITY

    def look(self, trigger, environment, pipeline, environment_of, now):
        if trigger.phase != "full":
            return Looked("the moon isn't full")
        event = Event(kind=self.kind, subject=f"moon/{now:%Y-%m}", time=now, detail=f"a full moon for {pipeline}")
        return Looked(event.detail, event)


@pytest.fixture
def moon(monkeypatch):
    """The kind: one model, one class, one line in the table."""

    class MoonTrigger(model.TriggerSettings):
        """The moon starts a run."""

        kind: Literal["moon"]
        phase: str

    monkeypatch.setitem(trigger_kinds.KINDS, "moon", Moon())
    yield MoonTrigger
    del model.TRIGGERS["moon"]


def _project(folder, **trigger):
    taxi = {"parameters": {"source": "x"}, "triggers": [{"name": "night", "kind": "moon", **trigger}]}
    return trigger_projects.make(folder, {"taxi": taxi})


@pytest.mark.parametrize(
    ("phase", "code", "reason"),
    [("full", "started", "a full moon for taxi"), ("new", "within", "the moon isn't full")],
)
def test_another_kind_is_looked_for(moon, tmp_path, monkeypatch, capsys, phase, code, reason):
    project = _project(tmp_path, phase=phase)
    arguments = ["trigger", "--project", str(project.root), "--env", "here", "tick", "--dry-run", "--json"]
    monkeypatch.setattr(sys, "argv", ["pipeyard", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    (told,) = json.loads(capsys.readouterr().out)
    assert (end.value.code or 0, told["trigger"], told["code"]) == (0, "taxi/night", code)
    assert reason in told["reason"]


def test_what_another_kind_needs_is_told_with_its_line(moon, tmp_path):
    project = _project(tmp_path)
    with pytest.raises(PipeyardError, match=r"settings.yaml:\d+: .*phase is missing"):
        load(project.root).check()


def test_the_tables_of_settings_and_of_classes_have_the_same_kinds():
    assert list(trigger_kinds.KINDS) == list(model.TRIGGERS)
