"""Rollouts of several models at once, each under load, decided by the policy's defaults, but for fewer steps."""

from pathlib import Path

import pytest
import requests
from served_folders import ServedFolder

from pipeyard.system import marks
from rollout import log
from rollout.policy import DIRECT, Policy

POLICY = Policy(steps=(50, 100))
RATE = 200
# Model to how version 1 and its candidate behave, and to what the candidate is rolled back for.
GOOD, BAD = "good", {"erring": "errors", "slower": "latency", "garbage": "scores"}
BEHAVIOURS = {
    GOOD: ({}, {}),
    "erring": ({}, {"errors": 0.02}),
    "slower": ({"seconds": 0.03}, {"seconds": 0.039}),
    "garbage": ({}, {"score": 0.99}),
}
# The times of a version that is slower are compared in eight blocks of three seconds.
SECONDS = 150


@pytest.fixture(scope="module")
def models(tmp_path_factory, envoy):
    made = ServedFolder(tmp_path_factory.mktemp("rollouts").resolve(), envoy)
    for model, behaviours in BEHAVIOURS.items():
        for version, behaviour in enumerate(behaviours, 1):
            made.push(version, model, **behaviour)
        made.stage(1, DIRECT, model=model)
    made.push(3, GOOD)
    try:
        made.pipeyard("start")
        yield made
    finally:
        made.pipeyard("stop", check=False)
        marks.kill({"PIPEYARD_SERVE": str(made.folder.path)})


def _shares(models: ServedFolder, model: str) -> dict[str, int]:
    versions = models.state["models"][model]["versions"]
    return {number: each["share"] for number, each in versions.items() if each["share"]}


def _decided(models: ServedFolder, model: str, version: int) -> dict:
    """Waits until a candidate is decided; returns how."""

    def last() -> dict:
        return models.state["models"][model]["decided"] or {}

    models.wait(lambda: last().get("version") == version, f"version {version} of {model} isn't decided", SECONDS)
    return last()


def _candidate_requests(path: Path) -> int:
    with path.open() as lines:
        return sum(look.candidate.requests for look in log.read(lines, str(path))[-1].looks)


def test_good_versions_are_promoted_and_bad_ones_rolled_back(models):
    loads = {model: models.load(RATE, model) for model in BEHAVIOURS}
    for model in BEHAVIOURS:
        models.stage(2, policy=POLICY, model=model)
    assert _decided(models, GOOD, 2)["action"] == "promoted"
    models.stage(3, policy=POLICY, model=GOOD)
    # And nothing of the first rollout is left for version 1.
    models.wait(lambda: _shares(models, GOOD) == {"3": 50, "2": 50}, "versions 2 and 3 don't share the requests")
    assert _decided(models, GOOD, 3)["action"] == "promoted"
    decided = {model: _decided(models, model, 2) for model in BAD}
    told = {model: load.end() for model, load in loads.items()}
    for model, reason in BAD.items():
        assert (decided[model]["action"], reason in decided[model]["reasons"][0]) == ("rolled_back", True), decided
        print(f"{model}: rolled back after {_candidate_requests(models.folder.looks(model))} requests of the candidate")
    assert sum(sum(each["answered"].values()) / each["seconds"] for each in told.values()) > RATE
    assert set(told.pop("erring")["failed"]) == {"500"}
    assert all(each["failed"] == {} for each in told.values()), told


def test_what_was_decided_is_served_alone_and_decided_so_again(models):
    models.wait(lambda: len(models.processes()) == 1 + len(BEHAVIOURS), "more than the router and a version each run")
    for model in BEHAVIOURS:
        url = f"{models.url}/v1/models/{model}:predict"
        answers = [requests.post(url, json={"instances": [{}]}, timeout=10) for _ in range(20)]
        assert {each.headers["x-model-version"] for each in answers} == {"3" if model == GOOD else "1"}
    replayed = models.pipeyard("replay", GOOD)
    assert replayed.stdout.count("promote 100%") == 2
    assert "0 decided otherwise" in replayed.stderr
