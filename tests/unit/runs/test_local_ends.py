"""What the terminal and the exit code say when a run on this machine has ended."""

import sys
from pathlib import Path

import pytest
from support import example_runs, trigger_projects
from support.example_runs import RunFolder

from pipeyard import cli
from pipeyard.deployment.targets import local
from pipeyard.runs.record import State

ANOMALIES = [f"train: 'column{number}': Values are missing. Look at where they come from." for number in range(10)]


@pytest.fixture
def end(tmp_path, monkeypatch, capsys):
    """Runs `pipeyard run` with a run that is there already in place of its own; returns exit code and stderr."""
    project = trigger_projects.make(tmp_path, {"read": {"parameters": {"source": "abc"}}})

    def go(folder: Path, *options: str) -> tuple[int, str]:
        started = local.LocalRun(run_id=folder.name, page=str(folder / "report.html"), parameters={}, folder=folder)
        monkeypatch.setattr(local.OnThisMachine, "start", lambda *_, **__: started)
        arguments = ["run", "read", "--env", "here", "--project", str(project.root), *options]
        monkeypatch.setattr(sys, "argv", ["pipeyard", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, capsys.readouterr().err

    return go


def _no_deploy_step(run: RunFolder) -> None:
    run.run.tasks = [task for task in run.run.tasks if task.component not in ("deploy", "summarize")]


def _with_anomalies(folder: Path, told: list[str], count: int) -> Path:
    run = RunFolder(folder)
    validation = run.task("data_validation", 1.0, outputs={"valid": False, "anomaly_count": count})
    run.artifact(validation, "anomalies", "Artifact", "", "ExampleAnomalies", anomalies=told)
    run.skip("deploy", example_runs.DATA_IS_VALID, "not so")
    return run.end(State.SUCCEEDED)


def test_anomalies_that_stop_a_run_are_named(end, tmp_path):
    code, said = end(_with_anomalies(tmp_path / "runs/one", ANOMALIES, 12))
    assert code == 0
    assert "Not deployed: the data is not valid (12 anomalies)\n  train: 'column0': Values are missing" in said
    assert all(each in said for each in ANOMALIES)
    assert "  and 2 more, which the report has" in said
    assert "more, which" not in end(_with_anomalies(tmp_path / "runs/two", ANOMALIES, 10))[1]
    # A step of an earlier version tells only how many.
    assert "more, which" not in end(_with_anomalies(tmp_path / "runs/three", [], 2))[1]


@pytest.mark.parametrize(
    ("made", "code", "said"),
    [
        (example_runs.succeeded, 0, ""),
        (example_runs.unblessed, 5, f"nothing was deployed: the model is not blessed ({example_runs.NOT_BLESSED})."),
        (example_runs.invalid, 5, "nothing was deployed: the data is not valid (2 anomalies)."),
        (example_runs.failed, 1, ""),
        (
            lambda folder: example_runs.succeeded(folder, _no_deploy_step),
            5,
            "nothing was deployed: the pipeline has no step that deploys.",
        ),
    ],
)
def test_the_exit_code_says_that_nothing_was_deployed_where_asked_for(end, tmp_path, made, code, said):
    folder = made(tmp_path / "runs/one")
    ended, text = end(folder, "--fail-on", "not-deployed")
    assert ended == code
    assert said in text
    assert ("Exit code 5" in text) == (code == 5)
    assert end(folder)[0] == (1 if code == 1 else 0)


def test_on_a_server_it_is_refused(tmp_path, monkeypatch, capsys):
    there = {"target": "kfp", "host": "http://localhost:1", "bucket": "gs://some-bucket", "pipeline_root": "gs://b/r"}
    project = trigger_projects.make(tmp_path, {"read": {"parameters": {"source": "abc"}}}, there=there)
    arguments = ["run", "read", "--env", "there", "--project", str(project.root), "--fail-on", "not-deployed"]
    monkeypatch.setattr(sys, "argv", ["pipeyard", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "--fail-on applies to runs on this machine" in capsys.readouterr().err
