"""The loop closed, on real data: what a served model is asked drifts, a trigger fires, the pipeline trains anew, and
the better model gets a share of the requests, and then all.

New data are the same rides in another year: fares have doubled, who paid cash pays by card and the other way round, and
it is riders who pay cash that tip. The served model is wrong about nearly all of them.
"""

import csv
import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from live_traffic import LiveTraffic
from whole_runs import PIPEYARD, SETUP

from pipeyard.runs import record
from pipeyard.runs.record import Run

MODEL = "chicago_taxi"
ROWS = 6000
TRIGGER = {"name": "drift", "kind": "drift", "max_distance": 0.25}
# Of a version that is meant to score otherwise, on a machine that other things slow down.
POLICY = {
    "steps": [50, 100],
    "min_requests": 200,
    "error_margin": 0.05,
    "latency_ratio": None,
    "drift_limit": None,
    "deadline_seconds": 900,
}
# So many rows are compared with those of training.
SAMPLED = 1000
_SECONDS = 600


@dataclass
class Place:
    """An environment of its own in the project's copy, where the model of its first run is served.

    Attributes:
        landing: folder that training reads all files of.
        serving: folder of pushed models.
    """

    project: Path
    folder: Path

    @property
    def landing(self) -> Path:
        return self.folder / "landing"

    @property
    def serving(self) -> Path:
        return self.folder / "serving"

    @property
    def model(self) -> Path:
        return self.serving / MODEL

    @property
    def registry(self) -> Path:
        return self.folder / "registry.db"

    def configure(self, baseline: str) -> None:
        """Writes the environment into settings.yaml, in the place of what was there of it.

        Args:
            baseline: of the trigger; '': the last training run.
        """
        path = self.project / "settings.yaml"
        settings = yaml.safe_load(path.read_text())
        given = {
            "source": f"{self.landing}/*.csv",
            "registry_uri": f"sqlite:///{self.registry}",
            "epochs": 4,
            "thresholds": {"AUC": {"lower": 0.3, "min_change": -0.01}},
            "strategy": "canary",
            "rollout_policy": POLICY,
        }
        statistics = f"{self.serving}/.serve/monitoring/{MODEL}/statistics"
        settings["environments"]["retraining"] = {
            "target": "local",
            "pipeline_root": f"{self.folder}/runs",
            "parameters": {"serving_uri": str(self.serving)},
            "pipelines": {
                MODEL: {
                    "parameters": given,
                    "triggers": [{**TRIGGER, "statistics": statistics, "baseline": baseline}],
                }
            },
        }
        path.write_text(yaml.safe_dump(settings))

    def land(self, change: Callable[[dict[str, str]], dict[str, str]]) -> list[dict[str, str]]:
        """Makes new data the only data that training reads, and returns it."""
        source = self.project / f"pipelines/{MODEL}/data/data.csv"
        self.landing.mkdir(exist_ok=True)
        with source.open(newline="") as original, (self.landing / "rides.csv").open("w", newline="") as target:
            rows = [change(row) for row, _ in zip(csv.DictReader(original), range(ROWS), strict=False)]
            writer = csv.DictWriter(target, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return rows

    def pipeyard(self, group: str, *arguments: str) -> Any:
        """Runs a command of a group in the environment, and returns the JSON that it prints."""
        command = [str(PIPEYARD), group, f"--project={self.project}", "--env=retraining", *arguments, "--json"]
        done = subprocess.run(command, cwd=self.project, env=SETUP, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def trigger(self) -> dict:
        """Lets the trigger look, and returns what it told."""
        (told,) = self.pipeyard("trigger", "drift")
        return told

    def run(self, key: str) -> Run:
        return record.load(self.folder / "runs" / key)

    def status(self) -> dict:
        return self.pipeyard("serve", "status")["models"][MODEL]

    def sampled(self, version: int) -> int:
        """Returns how many rows are kept of the requests to a version, at least."""
        import duckdb

        files = self.serving / f".serve/samples/{MODEL}/{MODEL}-v{version}-*.parquet"
        if not any(files.parent.glob(files.name)):
            return 0
        return duckdb.sql(f"SELECT count(*) FROM read_parquet('{files}')").fetchall()[0][0]

    @property
    def champion(self) -> int:
        with sqlite3.connect(f"file:{self.registry}?mode=ro", uri=True) as registry:
            asked = registry.execute("SELECT version FROM registered_model_aliases WHERE alias = 'champion'")
            return int(asked.fetchall()[0][0])

    @property
    def pushed(self) -> list[str]:
        return sorted(path.name for path in self.model.glob("[0-9]*"))


def another_year(row: dict[str, str]) -> dict[str, str]:
    fare, paid = 2 * float(row["fare"] or 0), row["payment_type"]
    paid = {"Cash": "Credit Card", "Credit Card": "Cash"}.get(paid, paid)
    return {**row, "fare": f"{fare}", "payment_type": paid, "tips": f"{0.3 * fare if paid == 'Cash' else 0.0}"}


@pytest.fixture(scope="module")
def place(taxi, project, tmp_path_factory):
    """Version 1 is that of the first run, served, and its requests are kept."""
    settings = (project / "settings.yaml").read_text()
    made = Place(project, tmp_path_factory.mktemp("retraining"))
    shutil.copytree(Path(taxi.output("pushed_uri")).parent, made.model)  # with what is desired of it
    shutil.copyfile(project / f"registry/{MODEL}.db", made.registry)
    made.configure(baseline=str(made.model))
    try:
        made.pipeyard("serve", "start", MODEL, "--sample=1", "--server-option=--log-seconds=2", f"--wait={_SECONDS}")
        yield made
    finally:
        command = [str(PIPEYARD), "serve", f"--project={project}", "--env=retraining", "stop"]
        subprocess.run(command, cwd=project, env=SETUP, check=True, capture_output=True)
        (project / "settings.yaml").write_text(settings)


@pytest.fixture
def drifted(place):
    """Clients whose rides are those of another year, which are landed for training, too."""
    rows = place.land(another_year)
    traffic = LiveTraffic(f"{place.pipeyard('serve', 'status')['url']}/v1/models/{MODEL}", rows)
    yield traffic
    traffic.end()


def wait(true: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _SECONDS
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.5)


def output(run: Run, name: str) -> object:
    return next(task.output_parameters[name] for task in run.tasks if name in task.output_parameters)


def artifact(run: Run, task: str, name: str) -> dict:
    found = next(each for each in run.tasks if each.name == task)
    return json.loads(Path(found.output_artifacts[name].uri).read_text(encoding="utf-8"))


def test_live_drift_retrains_and_the_better_model_is_promoted_under_load(place, drifted):
    wait(lambda: place.sampled(1) >= SAMPLED, "the requests to version 1 aren't kept")
    compared = place.pipeyard("serve", "monitor", MODEL)
    assert (compared["version"], compared["valid"]) == (1, False)
    assert any("(skew): 'payment_type'" in line for line in compared["lines"]), compared

    told = place.trigger()
    assert told["code"] == "started"
    past = {each.partition(" ")[0] for each in told["measured"] if " > " in each}
    assert {"fare", "payment_type"} <= past, told
    (key,) = told["started"].values()
    better = place.run(key)
    assert (better.state, output(better, "outcome"), output(better, "version")) == ("SUCCEEDED", "deployed", 2)
    metrics = artifact(better, "evaluate", "metrics")
    assert metrics["AUC"] > metrics["baseline"]["AUC"] + 0.2
    staged = artifact(better, "deploy", "pushed_model")
    assert (staged["strategy"], staged["role"], staged["alias"]) == ("canary", "candidate", "challenger")

    drifted.hurry.set()
    wait(lambda: place.status()["stable"] == 2, "version 2 isn't promoted")
    decided = place.status()["decided"]
    assert (decided["version"], decided["action"]) == (2, "promoted"), decided
    wait(lambda: set(place.status()["versions"]) == {"2"}, "version 1 still runs")
    wait(lambda: place.champion == 2, "the registry's champion isn't version 2")
    wait(lambda: place.sampled(2) >= SAMPLED, "the requests to version 2 aren't kept")
    drifted.end()
    assert drifted.failed == {}
    assert min(drifted.answered.values()) > 100, drifted.answered


def test_what_was_trained_on_is_what_is_compared_with_from_then_on(place):
    assert place.champion == 2
    # What started a run, looked at again, starts none.
    place.configure(baseline=f"{place.model}/1/assets.extra/stats.tfrecord")
    assert (place.trigger()["code"], place.trigger()["started"]) == ("duplicate", {})

    place.pipeyard("serve", "monitor", MODEL)
    place.configure(baseline=str(place.model))
    by_model = place.trigger()
    assert (by_model["code"], by_model["started"]) == ("within", {})
    place.configure(baseline="")
    assert place.trigger()["measured"] == by_model["measured"]


def test_a_model_that_is_worse_than_the_served_one_isn_t_deployed(place):
    """The same data, and training that has been broken meanwhile: it learns nothing."""
    arguments = [f"--project={place.project}", "--env=retraining", "--no-check", "--json"]
    broken = ['--param=hyperparameters={"learning_rate": 1e-9}', "--param=epochs=1"]
    command = [str(PIPEYARD), "run", MODEL, *arguments, *broken]
    done = subprocess.run(command, cwd=place.project, env=SETUP, capture_output=True, text=True, check=False)
    worse = Run.model_validate_json(done.stdout)
    assert (worse.state, output(worse, "blessed"), output(worse, "outcome")) == ("SUCCEEDED", False, "not deployed")
    metrics = artifact(worse, "evaluate", "metrics")
    assert metrics["AUC"] < metrics["baseline"]["AUC"] - 0.1
    assert output(worse, "baseline_version") == 2
    assert place.pushed == ["1", "2"]
