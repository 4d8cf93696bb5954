import json
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from summarize.cli import main

SUCCEEDED = json.dumps({"state": "SUCCEEDED", "pipelineJobResourceName": "projects/p/jobs/7"})
FAILED = json.dumps({"state": "FAILED", "error": {"code": 9, "message": "The DAG failed: train | exit 1"}})


def summarize(folder: Path, *flags: str, run_id: str = "run-1") -> tuple[str, str]:
    """Runs the step and returns its outcome and summary."""
    outputs = ["--summary", str(folder / "out/summary.md"), "--outcome", str(folder / "out/outcome")]
    code = main(["--pipeline", "taxi", "--run-id", run_id, *flags, *outputs])
    assert code == 0
    return (folder / "out/outcome").read_text(), (folder / "out/summary.md").read_text()


def push(base: str, number: int, record: object) -> None:
    with fsspec.open(f"{base}/{number}/saved_model.pb", "w") as stream:
        stream.write("model")
    if record is not None:
        with fsspec.open(f"{base}/{number}/pipeyard.json", "w") as stream:
            stream.write(record if isinstance(record, str) else json.dumps(record))


@pytest.fixture(name="serving", params=["local", "memory"])
def fixture_serving(request, tmp_path):
    base = str(tmp_path / "serving") if request.param == "local" else "memory://serving"
    if request.param == "local":
        for number in (1, 2, 10):
            (tmp_path / f"serving/taxi/{number}").mkdir(parents=True)
    yield base
    if request.param == "memory":
        fsspec.filesystem("memory").rm("/serving", recursive=True)


def test_a_run_that_pushed_a_version_is_deployed(tmp_path, serving):
    push(f"{serving}/taxi", 2, {"version": 2, "run_id": "run-0", "alias": "champion"})
    push(f"{serving}/taxi", 10, {"version": 10, "run_id": "run-1", "alias": "challenger"})
    outcome, text = summarize(tmp_path, "--status", SUCCEEDED, "--serving-uri", serving, "--model-name", "taxi")
    assert outcome == "deployed"
    assert f"This run pushed version 10 of taxi as challenger (`{serving}/taxi/10`)." in text
    assert "| Job | `projects/p/jobs/7` |" in text


def test_a_version_that_another_run_pushed_meanwhile_is_named_too(tmp_path, serving):
    push(f"{serving}/taxi", 2, {"run_id": "run-1"})
    push(f"{serving}/taxi", 10, {"run_id": "run-2"})
    outcome, text = summarize(tmp_path, "--status", SUCCEEDED, "--serving-uri", serving, "--model-name", "taxi")
    assert outcome == "deployed"
    assert "This run pushed version 2 of taxi" in text
    assert f"The newest is now version 10 of taxi (`{serving}/taxi/10`), pushed by run `run-2`." in text


def test_a_run_without_a_version_names_the_newest(tmp_path, serving):
    push(f"{serving}/taxi", 10, {"run_id": "run-0"})
    outcome, text = summarize(tmp_path, "--status", SUCCEEDED, "--serving-uri", serving, "--model-name", "taxi")
    assert outcome == "not deployed"
    assert "pushed no version. The newest is version 10 of taxi" in text
    assert "pushed by run `run-0`. If its deploy step was served from a cache" in text


@pytest.mark.parametrize("record", [None, "{", "[]", "{}"])
def test_a_version_without_a_usable_record_is_nobodys(tmp_path, serving, record):
    push(f"{serving}/taxi", 10, record)
    outcome, text = summarize(tmp_path, "--status", SUCCEEDED, "--serving-uri", serving, "--model-name", "taxi")
    assert outcome == "not deployed"
    assert "version 10 of taxi" in text
    assert "whose run isn't recorded" in text


def test_a_failed_run_shows_its_error(tmp_path):
    outcome, text = summarize(tmp_path, "--status", FAILED, "--serving-uri", str(tmp_path), "--model-name", "taxi")
    assert outcome == "failed"
    assert "| State | FAILED |" in text
    assert "The DAG failed: train | exit 1 (code 9)" in text
    assert "This run pushed no version, and there is none." in text


def test_a_run_that_failed_after_its_push_says_both(tmp_path, serving):
    push(f"{serving}/taxi", 10, {"run_id": "run-1"})
    outcome, text = summarize(tmp_path, "--status", FAILED, "--serving-uri", serving, "--model-name", "taxi")
    assert outcome == "deployed"
    assert "This run pushed version 10 of taxi" in text
    assert "The run then ended FAILED" in text


@pytest.mark.parametrize(
    ("status", "state", "outcome"),
    [
        ("", "UNKNOWN", "not deployed"),
        ("{{$.inputs.parameters['status']}}", "UNKNOWN", "not deployed"),
        ("null", "UNKNOWN", "not deployed"),
        ('{"state": "CANCELLED"}', "CANCELLED", "failed"),
        ('{"state": "failed", "error": null, "pipeline_job_resource_name": "jobs/7"}', "FAILED", "failed"),
        ('{"state": "FAILED", "error": "boo"}', "FAILED", "failed"),
        ('{"state": "FAILED", "error": {"code": 5}}', "FAILED", "failed"),
    ],
)
def test_any_status_is_taken(tmp_path, status, state, outcome):
    found, text = summarize(tmp_path, "--status", status)
    assert found == outcome
    assert f"| State | {state} |" in text
    assert ("jobs/7" in text) == ("jobs/7" in status)


def of_mlmd(state: str) -> str:
    """The final status as the driver of KFP 2.17.0 writes it."""
    return json.dumps(
        {"state": state, "error": {}, "pipelineJobResourceName": "taxi 7", "pipelineTaskName": "exit-handler-1"}
    )


@pytest.mark.parametrize("state", ["COMPLETE", "CACHED"])
def test_mlmd_s_word_for_success_is_a_success(tmp_path, serving, state):
    push(f"{serving}/taxi", 10, {"run_id": "run-0"})
    outcome, text = summarize(tmp_path, "--status", of_mlmd(state), "--serving-uri", serving, "--model-name", "taxi")
    assert outcome == "not deployed"
    assert "| State | SUCCEEDED |" in text
    assert "If its deploy step was served from a cache" in text
    assert "## Error" not in text


def test_a_success_after_a_push_is_told_without_a_but(tmp_path, serving):
    push(f"{serving}/taxi", 10, {"run_id": "run-1"})
    flags = ["--status", of_mlmd("COMPLETE"), "--serving-uri", serving, "--model-name", "taxi"]
    outcome, text = summarize(tmp_path, *flags)
    assert outcome == "deployed"
    assert "The run then ended" not in text


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_mlmd_s_words_for_failure_are_failures_without_an_error(tmp_path, state):
    outcome, text = summarize(tmp_path, "--status", of_mlmd(state))
    assert outcome == "failed"
    assert f"| State | {state} |" in text
    assert "## Error" not in text


@pytest.mark.parametrize("state", ["RUNNING", "NEW"])
def test_a_state_that_is_not_told_is_settled_by_the_version_that_the_run_pushed(tmp_path, serving, state):
    push(f"{serving}/taxi", 10, {"run_id": "run-1"})
    outcome, text = summarize(tmp_path, "--status", of_mlmd(state), "--serving-uri", serving, "--model-name", "taxi")
    assert outcome == "deployed"
    assert f"| State | not told (the backend said {state}) |" in text
    assert "its version is in the serving layout: its deploy step did its work." in text
    assert "The run then ended" not in text


def test_a_state_that_is_not_told_without_a_version_is_no_failure(tmp_path, serving):
    push(f"{serving}/taxi", 10, {"run_id": "run-0"})
    flags = ["--status", of_mlmd("RUNNING"), "--serving-uri", serving, "--model-name", "taxi"]
    outcome, text = summarize(tmp_path, *flags)
    assert outcome == "not deployed"
    assert "either a condition wasn't met (the data or the model isn't good enough), or a step couldn't be" in text
    assert "served from a cache" not in text


def test_a_state_that_is_not_told_and_storage_that_cannot_be_read_leave_it_open(tmp_path):
    flags = ["--status", of_mlmd("RUNNING"), "--serving-uri", "nosuch://bucket", "--model-name", "taxi"]
    outcome, text = summarize(tmp_path, *flags)
    assert outcome == "not deployed"
    assert "The backend doesn't tell how this run ended, and the serving layout can't be read." in text


def test_a_state_s_number_as_a_code_is_no_error_of_a_success(tmp_path):
    outcome, text = summarize(tmp_path, "--status", '{"state": "SUCCEEDED", "error": {"code": 3}}')
    assert outcome == "not deployed"
    assert "## Error" not in text


@pytest.mark.parametrize("flags", [[], ["--status"]])
def test_a_status_that_is_left_out_is_unknown(tmp_path, flags):
    outcome, text = summarize(tmp_path, *flags)
    assert outcome == "not deployed"
    assert "UNKNOWN" in text
    assert "This run pushes no model." in text


def test_storage_that_cannot_be_read_is_named_and_does_not_fail(tmp_path):
    outcome, text = summarize(
        tmp_path, "--status", SUCCEEDED, "--serving-uri", "nosuch://bucket", "--model-name", "taxi"
    )
    assert outcome == "not deployed"
    assert "Unknown: nosuch://bucket/taxi can't be read: " in text
    assert "nosuch" in text


def test_metadata_reaches_kfp(tmp_path):
    executor_input = {
        "outputs": {
            "outputFile": str(tmp_path / "executor_output.json"),
            "artifacts": {"summary": {"artifacts": [{"name": "summary", "uri": "minio://x"}]}},
        }
    }
    summarize(tmp_path, "--status", SUCCEEDED, "--executor-input", json.dumps(executor_input))
    written = json.loads((tmp_path / "executor_output.json").read_text())
    assert written["artifacts"]["summary"]["artifacts"][0]["metadata"] == {"outcome": "not deployed", "run_id": "run-1"}


def test_it_needs_a_run_id(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--pipeline", "taxi", "--summary", str(tmp_path / "summary.md")])
    assert ended.value.code == 2
    assert "--run-id" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_it_imports_nothing_heavy(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "summarize", "--pipeline", "taxi", "--run-id", "run-1", "--summary", "summary.md"],
        cwd=tmp_path,
        check=True,
    )
    heavy = "import summarize.cli, sys; print([name for name in ('pandas', 'pyarrow', 'numpy') if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", heavy], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"
