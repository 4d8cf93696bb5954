"""docs/tasks/ of serving: each page followed to its end, with Envoy, and a stand-in for the model server.

What a run of the pipeline would push and stage is pushed and staged by a line of Python.
"""

import sys
from textwrap import dedent

import pytest
from served_folders import ROOT, ServedFolder
from task_pages import OF_SERVING, Walk, terminal

from pipeyard.system import marks

_STAGES = """\
import sys, time
from pathlib import Path
from rollout import desired
from rollout.policy import CANARY, DIRECT, Policy
served = Path(sys.argv[1])
for version, strategy in ((1, DIRECT), (2, CANARY)):
    (served / "taxi" / str(version)).mkdir(parents=True, exist_ok=True)
    (served / "taxi" / str(version) / "saved_model.pb").touch()
    options = {"strategy": strategy, "policy": Policy(), "registry_uri": "", "now": time.time()}
    desired.update(served / "taxi", lambda before: desired.stage(before, version, **options))
until = time.monotonic() + 30
while not (served / ".serve/logs/rollout-taxi.jsonl").exists() and time.monotonic() < until:
    time.sleep(0.05)
"""


@pytest.fixture
def walk(tmp_path, envoy):
    """Somebody in this repository's folder, where version 1 of a model is pushed."""
    served = ServedFolder(tmp_path.resolve() / "serving", envoy)
    served.push(1)
    (tmp_path / "stage.py").write_text(dedent(_STAGES))
    at = f"pipeyard serve --folder {served.folder.path}"
    instead = {
        "pipeyard serve start": f"{at} start --router {envoy} --model-server '{sys.executable} -m {served.SERVER}'",
        "pipeyard serve": at,
        ".venv/bin/pipeyard run chicago_taxi --param epochs=12 --param strategy=canary": (
            f"{sys.executable} {tmp_path}/stage.py {served.folder.path}"
        ),
        "chicago_taxi": "taxi",
        "rollout.html": f"{tmp_path}/rollout.html",
    }
    yield Walk(ROOT, instead, terminal(tmp_path, {"PYTHONPATH": str(ROOT / "tests")}), tmp_path), served
    served.pipeyard("stop", check=False)
    marks.kill({"PIPEYARD_SERVE": str(served.folder.path)})


def test_the_pages_lead_from_a_version_to_a_decided_rollout(walk, tmp_path):
    person, served = walk
    here, canary = OF_SERVING
    said = dict(person.follow(here))
    texts = list(said.values())
    assert "Served: version 1 of taxi" in texts[0]
    assert "version 1: ready, 100% of requests" in texts[1]
    assert texts[-1] == "Stopped.\n"
    said = dict(person.follow(canary))
    assert any("version 2" in text for line, text in said.items() if line.endswith(" status"))
    assert next(text for line, text in said.items() if " promote " in line).startswith("Version 2 of taxi is stable.")
    assert "version 2 beside 1, canary" in next(text for line, text in said.items() if " replay " in line)
    assert "<h1>taxi: version 2 beside version 1</h1>" in (tmp_path / "rollout.html").read_text()
    served.wait_for_shares(v2=100)
