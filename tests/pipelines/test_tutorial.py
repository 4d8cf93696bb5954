"""docs/tutorial.md, followed to its end in a fresh copy of the checkout."""

import json
import re
from pathlib import Path

import pytest
from support import checkout
from task_pages import Walk, terminal
from whole_runs import SETUP

PAGE = "tutorial.md"


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A copy in which the page was followed, and what each command printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    copy = folder / "pipeyard"
    checkout.copy_files(copy)
    checkout.link_environments(copy)
    (copy / ".venv").symlink_to(checkout.ROOT / ".venv")
    # The environments are there already: those that the tests themselves run in.
    walk = Walk(copy, {"make envs": "true"}, terminal(folder, SETUP), folder)
    return copy, dict(walk.follow(PAGE))


def _printed(said: dict[str, str], part: str) -> str:
    return next(text for line, text in said.items() if part in line)


def test_the_first_run_deploys_version_1(walked):
    copy, said = walked
    text = _printed(said, "run tumours")
    assert re.search(r"Run tumours-\S+ SUCCEEDED", text)
    assert "Deployed version 1" in text
    assert (copy / "serving/tumours/1/saved_model.pb").is_file()


def test_the_served_model_knows_the_first_row(walked):
    _, said = walked
    answered = re.fullmatch(
        r"benign with probability (0\.\d+); it was 0\n", _printed(said, "ask.py").splitlines(True)[-1]
    )
    assert answered
    assert float(answered[1]) < 0.5


def test_a_model_that_is_refused_leaves_version_1(walked):
    copy, said = walked
    assert "bound 1.5" in _printed(said, "thresholds=")
    assert [each.name for each in (copy / "serving/tumours").iterdir() if each.name.isdigit()] == ["1"]
    first, second = sorted((copy / "runs").glob("tumours-*/run.json"))
    assert _states(first)["deploy"] == "SUCCEEDED"
    refused = _states(second)
    assert refused["deploy"] == "SKIPPED"
    assert {name for name, state in refused.items() if state == "SUCCEEDED"} == {"evaluate"}


def _states(path: Path) -> dict[str, str]:
    run = json.loads(path.read_text(encoding="utf-8"))
    assert run["state"] == "SUCCEEDED"
    return {task["name"]: task["state"] for task in run["tasks"]}
