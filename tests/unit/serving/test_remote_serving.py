"""`pipeyard serve` of an environment whose models are served elsewhere: what deploy's program is asked."""

import json
from pathlib import Path

import pytest

from pipeyard.errors import PipeyardError
from pipeyard.repository import component_programs
from pipeyard.serving import remote_serving
from pipeyard.settings import Environment

ROOT = Path(__file__).parents[3]
OPTIONS = {"namespace": "models", "mode": "Knative"}
STATE = {"stable": 1, "candidate": 2}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A checkout whose environment dev serves on KServe; returns its folder, and what deploy's program is asked."""
    for name in ("components", "pipelines", "libs", "services", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    place = {"serving_uri": "gs://bucket/serving", "serving_target": "kserve", "serving_options": OPTIONS}
    one = {
        "target": "local",
        "pipeline_root": "runs",
        "parameters": place,
        "pipelines": {"chicago_taxi": {}, "penguins": {}},
    }
    (tmp_path / "settings.yaml").write_text(json.dumps({"environments": {"dev": one}}))
    asked = []

    def run(_project, component, arguments, _purpose, _say):
        asked.append((component, arguments))
        return json.dumps(STATE) + "\n" if "--json" in arguments else "chicago_taxi at kserve: version 1 is stable\n"

    monkeypatch.setattr(component_programs, "run", run)
    return tmp_path, asked


def of_taxi(*around):
    first, *last = around
    options = f"--serving-options={json.dumps(OPTIONS)}"
    place = ["--serving-target=kserve", options, "--serving-uri=gs://bucket/serving", "--model-name=chicago_taxi"]
    return "deploy", ["-m", "deploy.operating", first, *place, *last]


def test_deploy_is_asked_for_what_its_settings_say(cluster, run_pipeyard):
    root, asked = cluster
    at = ("serve", "--project", str(root), "--env", "dev")
    said = run_pipeyard(*at, "promote", "chicago_taxi", "--reason", "good", "--version", "2")
    assert said[:2] == (0, "chicago_taxi at kserve: version 1 is stable\n")
    assert run_pipeyard(*at, "rollback", "chicago_taxi", "--json")[1] == json.dumps(STATE) + "\n"
    assert asked == [
        of_taxi("promote", "--reason=good", "--version=2"),
        of_taxi("rollback", "--reason=by hand", "--json"),
    ]
    assert json.loads(run_pipeyard(*at, "status", "--json")[1]) == {"chicago_taxi": STATE, "penguins": STATE}
    code, _, error = run_pipeyard(*at, "promote", "penguin")
    assert (code, "dev serves no model 'penguin'. Did you mean 'penguins'?" in error) == (1, True)


def test_secrets_are_given_as_a_run_gets_them_and_not_printed(cluster, run_pipeyard, monkeypatch):
    root, asked = cluster
    settings = json.loads((root / "settings.yaml").read_text())
    settings["environments"]["dev"]["parameters"]["serving_options"] = {"namespace": "${secret:PLACE}"}
    (root / "settings.yaml").write_text(json.dumps(settings))
    at = ("serve", "--project", str(root), "--env", "dev", "promote", "chicago_taxi")
    monkeypatch.delenv("PLACE", raising=False)
    code, _, error = run_pipeyard(*at)
    assert (code, asked, "Set the environment variable PLACE" in error) == (1, [], True)
    monkeypatch.setenv("PLACE", "kept-apart")
    assert run_pipeyard(*at)[0] == 0
    assert '--serving-options={"namespace": "kept-apart"}' in asked[0][1]

    def run(*_):
        raise PipeyardError("deploy failed: no namespace kept-apart")

    monkeypatch.setattr(component_programs, "run", run)
    code, _, error = run_pipeyard(*at)
    assert (code, "no namespace ${secret:PLACE}" in error, "kept-apart" in error) == (1, True, False)


@pytest.mark.parametrize(
    ("parameters", "own", "remote"),
    [
        ({"serving_uri": "/serving"}, {}, False),
        ({"serving_uri": "file:///serving", "serving_target": "tfserving"}, {}, False),
        ({"serving_uri": "gs://bucket"}, {}, True),
        ({"serving_uri": "/serving"}, {"serving_target": "vertex"}, True),
    ],
)
def test_what_is_served_elsewhere(parameters, own, remote):
    environment = Environment.model_validate(
        {
            "name": "e",
            "target": "local",
            "pipeline_root": "runs",
            "parameters": parameters,
            "pipelines": {"taxi": {"parameters": own}},
        }
    )
    assert remote_serving.is_remote(environment) is remote
