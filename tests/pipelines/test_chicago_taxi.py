"""The walking path and its detours, on real data and real processes."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from whole_runs import PIPEYARD, SETUP

from pipeyard.local.step_cache import CACHE_FOLDER
from pipeyard.runs import record

STEPS = ["extract", "data-validation", "transform", "train", "evaluate", "deploy"]


@pytest.fixture(scope="module")
def data(project) -> Path:
    return project / "pipelines/chicago_taxi/data/data.csv"


def _rewrite(source: Path, target: Path, change) -> Path:
    with source.open(newline="") as original, target.open("w", newline="") as copy:
        rows = list(csv.DictReader(original))
        rows = [change(number, row) for number, row in enumerate(rows)]
        writer = csv.DictWriter(copy, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return target


def test_first_run_deploys_a_blessed_model(taxi, project):
    assert taxi.states == {**dict.fromkeys(STEPS, "SUCCEEDED"), "summarize": "SUCCEEDED"}
    assert taxi.output("valid") is True
    assert taxi.output("blessed") is True
    assert taxi.output("outcome") == "deployed"
    pushed = Path(taxi.output("pushed_uri"))
    assert pushed == project / "serving/chicago_taxi/1"
    assert (pushed / "saved_model.pb").is_file()
    assert f"Deployed version 1: {pushed}" in taxi.text
    assert taxi["evaluate"].output_artifacts["metrics"].metadata["AUC"] > 0.85


def test_second_run_is_all_cache_hits(taxi, pipeyard_run):
    again = pipeyard_run("chicago_taxi")
    assert again.code == 0
    assert {name: again.states[name] for name in STEPS} == dict.fromkeys(STEPS, "CACHED")
    assert again.output("version") == 1
    assert again.run.seconds < 10


def test_touching_a_component_reruns_it_and_nothing_before_it(taxi, pipeyard_run, project):
    source = project / "components/evaluate/src/evaluate/__init__.py"
    before = source.read_text()
    source.write_text(before + "\n# touched\n")
    try:
        again = pipeyard_run("chicago_taxi")
    finally:
        source.write_text(before)
    assert again.states["evaluate"] == "SUCCEEDED"
    upstream = ["extract", "data-validation", "transform", "train"]
    assert {name: again.states[name] for name in upstream} == dict.fromkeys(upstream, "CACHED")
    assert again.output("version") == 1


def test_a_new_payment_type_stops_before_transform(taxi, pipeyard_run, data, tmp_path):
    bad = _rewrite(data, tmp_path / "bad.csv", lambda n, row: {**row, "payment_type": "Bitcoin"} if n < 50 else row)
    ran = pipeyard_run("chicago_taxi", source=str(bad))
    assert ran.code == 0
    assert "\n  train: 'payment_type': " in ran.text
    assert (ran.output("valid"), ran.output("anomaly_count") > 0) == (False, True)
    skipped = ["transform", "train", "evaluate", "deploy"]
    assert {name: ran.states[name] for name in skipped} == dict.fromkeys(skipped, "SKIPPED")
    assert ran["transform"].reason == "not so: data-validation.valid == true"
    assert "Not deployed: " in ran.text
    assert ran.output("outcome") == "not deployed"
    report = ran.artifact("data-validation", "report").read_text()
    assert "Bitcoin" in report
    assert "payment_type" in report


def test_a_dropped_column_stops_before_transform(taxi, pipeyard_run, data, tmp_path):
    def drop(_, row):
        return {name: value for name, value in row.items() if name != "trip_miles"}

    ran = pipeyard_run("chicago_taxi", source=str(_rewrite(data, tmp_path / "dropped.csv", drop)))
    assert ran.output("valid") is False
    assert ran.states["transform"] == "SKIPPED"
    assert "trip_miles" in ran.artifact("data-validation", "report").read_text()


def test_a_threshold_nobody_can_meet_leaves_the_model_undeployed(taxi, pipeyard_run, project):
    ran = pipeyard_run("chicago_taxi", thresholds={"AUC": {"lower": 0.9999}})
    assert ran.code == 0
    assert ran.output("blessed") is False
    assert "AUC" in ran.output("reason")
    assert ran.states["deploy"] == "SKIPPED"
    assert "Not deployed: " in ran.text
    assert ran.output("reason") in ran.text
    assert ran.output("outcome") == "not deployed"
    assert [folder.name for folder in (project / "serving/chicago_taxi").glob("[0-9]*")] == ["1"]


def test_missing_data_fails_with_the_file_s_name(taxi, pipeyard_run, tmp_path):
    ran = pipeyard_run("chicago_taxi", source=str(tmp_path / "nowhere.csv"))
    assert ran.code == 1
    assert ran.states["extract"] == "FAILED"
    assert "nowhere.csv" in ran["extract"].reason
    assert "Traceback" not in ran.text
    assert ran.output("outcome") == "failed"


def test_a_misspelt_hyperparameter_is_found_before_anything_runs(taxi, project):
    before = set((project / "runs").iterdir())
    command = [str(PIPEYARD), "run", "chicago_taxi", f"--project={project}"]
    command += ['--param=hyperparameters={"hidden_unit": [64]}', '--param=thresholds={"AUCC": {"lower": 0.7}}']
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, env=SETUP)
    assert done.returncode == 1
    assert "train: error: Hyperparameter 'hidden_unit'" in done.stderr
    assert "Did you mean 'hidden_units'" in done.stderr
    assert "evaluate: error: " in done.stderr and "'AUCC'" in done.stderr
    assert set((project / "runs").iterdir()) == before


def test_a_killed_step_resumes_to_the_same_result(taxi, pipeyard_run, project):
    """Kills train while it trains; resuming gives the model's metrics of a run that nobody disturbed.

    No model meets the threshold: the metrics are what is compared, and nothing is deployed for them.
    """
    quick = {"seed": 7, "epochs": 3, "thresholds": '{"AUC": {"lower": 0.9999}}'}
    command = [str(PIPEYARD), "run", "chicago_taxi", f"--project={project}", "--no-check"]
    command += [f"--param={name}={value}" for name, value in quick.items()]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        folder = _wait(lambda: _running(project, "train"), 120)
        _wait(lambda: _has_epoch(folder), 120)
        victim = _wait(lambda: _child(started.pid, "train"), 60)
        os.kill(victim, signal.SIGKILL)
        assert started.wait(120) == 1
    killed = record.load(folder)
    train = next(task for task in killed.tasks if task.name == "train")
    assert train.state == "FAILED"
    assert "killed by SIGKILL" in train.reason
    assert train.output_artifacts == {}
    resumed = pipeyard_run("chicago_taxi", f"--resume={folder.name}")
    assert resumed.code == 0, resumed.text
    assert resumed.run.id == folder.name
    assert len(resumed["train"].attempts) == 2
    assert "resum" in (folder / resumed["train"].attempts[-1].log).read_text().lower()

    _forget(project, resumed.run.id)
    undisturbed = pipeyard_run("chicago_taxi", **quick)
    assert undisturbed["train"].state == "SUCCEEDED"
    assert undisturbed["evaluate"].state == "SUCCEEDED"
    for step, name in (("train", "metrics"), ("evaluate", "metrics")):
        ours, theirs = (json.loads(ran.artifact(step, name).read_text()) for ran in (resumed, undisturbed))
        assert ours == theirs


def _forget(project: Path, run: str) -> None:
    """Makes the step cache forget what a run computed itself."""
    for entry in (project / "runs" / CACHE_FOLDER).rglob("*.json"):
        if json.loads(entry.read_text())["run"] == run:
            entry.unlink()


def _wait(condition, seconds: float):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{condition} did not come true in {seconds} s")


def _running(project: Path, step: str) -> Path | None:
    for folder in (project / "runs").glob("chicago-taxi-*"):
        if any(task.name == step and task.state == "RUNNING" for task in record.load(folder).tasks):
            return folder
    return None


def _has_epoch(folder: Path) -> bool:
    outputs = next(folder.glob("tasks/**/train/outputs"), None)
    return bool(outputs) and any(path.is_file() for path in outputs.glob("*checkpoint*/**/*"))


def _child(parent: int, component: str) -> int | None:
    for child in psutil.Process(parent).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is none either
            if f"/{component}/.venv/" in "".join(child.cmdline()[:1]):
                return child.pid
    return None


def test_flights_runs_on_a_week_of_data(pipeyard_run, project):
    """The larger pipeline, on one week; `make run PIPELINE=flights` runs the year."""
    subprocess.run([str(project / "pipelines/flights/fetch-data")], check=True, env=SETUP)
    ran = pipeyard_run("flights", where="month = 1 AND day < 8 AND arr_delay IS NOT NULL")
    assert ran.code == 0, ran.text
    assert ran.output("outcome") == "deployed"
    assert (project / "serving/flights/1/saved_model.pb").is_file()


def test_a_run_of_another_pipeline_is_not_resumed(taxi, project):
    command = [str(PIPEYARD), "run", "flights", f"--project={project}", f"--resume={taxi.run.id}"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{taxi.run.id} is a run of chicago-taxi, not of flights" in done.stderr
    assert record.load(taxi.folder) == taxi.run


def test_ctrl_c_stops_the_steps_and_leaves_a_run_to_resume(taxi, project):
    command = [str(PIPEYARD), "run", "chicago_taxi", f"--project={project}", "--no-cache", "--no-check"]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True, env=SETUP) as started:
        folder = _wait(lambda: _running(project, "data-validation"), 120)
        child = _wait(lambda: _child(started.pid, "data_validation"), 60)
        os.kill(started.pid, signal.SIGINT)
        said = started.communicate(timeout=60)[1]
    assert started.returncode == 130
    assert not psutil.pid_exists(child)
    stopped = record.load(folder)
    states = {task.name: str(task.state) for task in stopped.tasks}
    assert (str(stopped.state), states["extract"], states["data-validation"]) == ("CANCELED", "SUCCEEDED", "CANCELED")
    assert states["transform"] == "CANCELED"
    assert f"--resume {folder.name}" in said
    assert (folder / "report.html").is_file()
