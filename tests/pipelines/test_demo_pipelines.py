"""A regression, text classes, a text: each ends with a pushed model, whose metrics hold when computed anew."""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.checkout import ROOT
from whole_runs import SETUP, Ran

# TFMA interpolates what is under a curve.
CURVES = {"AUC": 1e-3, "AUC_macro": 1e-3}
PYTHON = ROOT / "components/train/.venv/bin/python"
STEPS = ["extract", "data-validation", "transform", "train", "evaluate", "deploy", "summarize"]


@dataclass(frozen=True)
class Demo:
    """A pipeline, the column its label is made of, and parameters of a quick run."""

    name: str
    column: str
    parameters: Mapping[str, object] = field(default_factory=dict)


DEMOS = [
    Demo("flight_delays", "arr_delay", {"where": "arr_delay IS NOT NULL AND day = 1", "epochs": 2}),
    # Two epochs: a model that errs, so that its metrics are more than ones.
    Demo("penguins", "Species", {"epochs": 2, "thresholds": {"SparseCategoricalAccuracy": {"lower": 0.4}}}),
    Demo("trivia", "topic"),
]


@dataclass(frozen=True)
class Done:
    """A demo's run."""

    demo: Demo
    ran: Ran


@pytest.fixture(scope="module", params=DEMOS, ids=lambda demo: demo.name)
def done(request: pytest.FixtureRequest, pipeyard_run: Callable[..., Ran], project: Path) -> Done:
    demo = request.param
    subprocess.run([project / f"pipelines/{demo.name}/fetch-data"], check=True, env=SETUP)
    ran = pipeyard_run(demo.name, **demo.parameters)
    assert ran.code == 0, ran.text
    return Done(demo, ran)


def test_a_model_is_blessed_and_pushed(done: Done, project: Path) -> None:
    assert done.ran.states == dict.fromkeys(STEPS, "SUCCEEDED")
    assert done.ran.output("outcome") == "deployed"
    pushed = Path(done.ran.output("pushed_uri"))
    assert pushed == project / "serving" / done.demo.name / "1"
    assert (pushed / "saved_model.pb").is_file()


def test_its_metrics_are_those_of_its_answers(done: Done) -> None:
    ran = done.ran
    arguments = [ran.output("pushed_uri"), ran.artifact("extract", "examples"), "test"]
    arguments += [ran.artifact("data-validation", "schema"), done.demo.column]
    told = subprocess.run(
        [PYTHON, Path(__file__).with_name("recomputed_metrics.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    expected = json.loads(told.stdout.splitlines()[-1])
    found = json.loads(ran.artifact("evaluate", "metrics").read_text(encoding="utf-8"))
    assert expected.keys() == {name for name, value in found.items() if isinstance(value, int | float)}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=CURVES.get(name, 1e-6)), name


@pytest.mark.parametrize("done", DEMOS[:1], indirect=True, ids=lambda demo: demo.name)
def test_a_bound_that_nobody_meets_keeps_it_back(done: Done, pipeyard_run: Callable[..., Ran]) -> None:
    name = next(iter(json.loads(done.ran.artifact("evaluate", "metrics").read_text(encoding="utf-8"))))
    ran = pipeyard_run(done.demo.name, **{**done.demo.parameters, "thresholds": {name: {"lower": 1e9}}})
    assert (ran.states["evaluate"], ran.states["deploy"]) == ("SUCCEEDED", "SKIPPED")
    assert name in ran.output("reason")
