"""The loop closed, on real data: it drifts, a trigger fires, the pipeline trains anew, and the better model is served.

New data are the same rides in another year: fares have doubled, and it is riders who pay cash that tip. The served
model is wrong about nearly all of them.
"""

import csv
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from whole_runs import PIPEYARD, SETUP

from pipeyard.repository import venvs
from pipeyard.repository.project import Component
from pipeyard.runs import record
from pipeyard.runs.record import Run

ROWS = 6000
TRIGGER = {"name": "drift", "kind": "drift", "max_distance": 0.25}


@dataclass
class Place:
    """An environment of its own in the project's copy.

    Attributes:
        landing: folder that training reads all files of.
        monitoring: folder with the newest data's statistics.
    """

    project: Path
    folder: Path

    @property
    def landing(self) -> Path:
        return self.folder / "landing"

    @property
    def monitoring(self) -> Path:
        return self.folder / "monitoring"

    def configure(self, baseline: str = "", **parameters: object) -> None:
        """Writes the environment into settings.yaml, in the place of what was there of it.

        Args:
            baseline: of the trigger; '': the last training run.
        """
        path = self.project / "settings.yaml"
        settings = yaml.safe_load(path.read_text())
        given = {
            "source": f"{self.landing}/*.csv",
            "serving_uri": f"{self.folder}/serving",
            "registry_uri": f"sqlite:///{self.folder}/registry.db",
            "epochs": 4,
            "thresholds": {"AUC": {"lower": 0.3, "min_change": -0.01}},
            **parameters,
        }
        trigger = {**TRIGGER, "statistics": str(self.monitoring / "statistics"), "baseline": baseline}
        settings["environments"]["retraining"] = {
            "target": "local",
            "pipeline_root": f"{self.folder}/runs",
            "pipelines": {"chicago_taxi": {"parameters": given, "triggers": [trigger]}},
        }
        path.write_text(yaml.safe_dump(settings))

    def land(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Makes new data the only data, and computes its statistics, with components alone."""
        source = self.project / "pipelines/chicago_taxi/data/data.csv"
        self.landing.mkdir(exist_ok=True)
        with source.open(newline="") as original, (self.landing / "rides.csv").open("w", newline="") as target:
            rows = [change(row) for row, _ in zip(csv.DictReader(original), range(ROWS), strict=False)]
            writer = csv.DictWriter(target, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        out = self.monitoring
        extracted = ["--examples", str(out / "examples")]
        outputs = ["--manifest", str(out / "manifest"), "--row-count", str(out / "rows")]
        self._step("extract", "--source", str(self.landing / "*.csv"), *extracted, *outputs)
        outputs = [f"--{name}={out / name}" for name in ("statistics", "schema", "anomalies", "report", "valid")]
        self._step("data_validation", *extracted, *outputs)

    def _step(self, name: str, *arguments: str) -> None:
        component = Component(self.project / "components" / name)
        python = venvs.folder_of(component.folder) / "bin/python"
        command = [str(python), "-m", name, *arguments]
        env = venvs.variables(component, SETUP)
        subprocess.run(command, env=env, cwd=self.folder, check=True, capture_output=True, timeout=300)

    def pipeyard(self, *arguments: str) -> list[dict]:
        """Runs `pipeyard trigger`, and returns what triggers told."""
        command = [str(PIPEYARD), "trigger", f"--project={self.project}", "--env=retraining", *arguments, "--json"]
        done = subprocess.run(command, cwd=self.project, env=SETUP, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run(self, key: str) -> Run:
        return record.load(self.folder / "runs" / key)

    @property
    def served(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "serving/chicago_taxi").glob("[0-9]*"))


def as_it_was(row: dict[str, str]) -> dict[str, str]:
    return row


def another_year(row: dict[str, str]) -> dict[str, str]:
    fare = 2 * float(row["fare"] or 0)
    return {**row, "fare": f"{fare}", "tips": f"{0.3 * fare if row['payment_type'] == 'Cash' else 0.0}"}


def a_third_year(row: dict[str, str]) -> dict[str, str]:
    changed = another_year(row)
    return {**changed, "fare": f"{2 * float(changed['fare'])}", "tips": f"{2 * float(changed['tips'])}"}


@pytest.fixture(scope="module")
def place(project, tmp_path_factory):
    settings = (project / "settings.yaml").read_text()
    made = Place(project, tmp_path_factory.mktemp("retraining"))
    made.configure()
    yield made
    (project / "settings.yaml").write_text(settings)


def output(run: Run, name: str) -> object:
    return next(task.output_parameters[name] for task in run.tasks if name in task.output_parameters)


def metrics(run: Run) -> dict:
    task = next(task for task in run.tasks if task.name == "evaluate")
    return json.loads(Path(task.output_artifacts["metrics"].uri).read_text(encoding="utf-8"))


def test_drift_retrains_a_better_model_is_deployed_and_a_worse_one_is_not(place):
    place.land(as_it_was)
    command = [str(PIPEYARD), "run", "chicago_taxi", f"--project={place.project}", "--env=retraining", "--no-check"]
    subprocess.run(command, cwd=place.project, env=SETUP, check=True, capture_output=True)
    assert place.served == ["1"]
    (told,) = place.pipeyard("drift")
    assert (told["code"], told["started"]) == ("within", {})

    # Data drifts: the trigger fires, and what it trains is better than what is served.
    place.land(another_year)
    (told,) = place.pipeyard("drift")
    assert told["code"] == "started"
    assert "fare (train): Kolmogorov-Smirnov" in told["reason"]
    (key,) = told["started"].values()
    better = place.run(key)
    assert (better.state, output(better, "outcome"), output(better, "version")) == ("SUCCEEDED", "deployed", 2)
    assert metrics(better)["AUC"] > metrics(better)["baseline"]["AUC"] + 0.2
    assert place.served == ["1", "2"]

    # Its data is what is compared with from now on.
    (told,) = place.pipeyard("drift")
    assert (told["code"], told["started"]) == ("within", {})
    # Where runs are on a server, by what was pushed with the model.
    served_model = f"{place.folder}/serving/chicago_taxi"
    place.configure(baseline=served_model)
    (by_model,) = place.pipeyard("drift")
    assert by_model["measured"] == told["measured"]

    # It drifts again, and training has been broken meanwhile: it learns nothing.
    place.configure(baseline=served_model, hyperparameters={"learning_rate": 1e-9})
    place.land(a_third_year)
    (told,) = place.pipeyard("tick")
    assert told["code"] == "started"
    (key,) = told["started"].values()
    worse = place.run(key)
    assert (worse.state, output(worse, "blessed"), output(worse, "outcome")) == ("SUCCEEDED", False, "not deployed")
    assert metrics(worse)["AUC"] < metrics(worse)["baseline"]["AUC"] - 0.1
    assert output(worse, "baseline_version") == 2
    assert place.served == ["1", "2"]

    # The same data, checked again, starts no second run.
    (told,) = place.pipeyard("drift")
    assert (told["code"], told["started"]) == ("duplicate", {})
