"""`pipeyard trigger`, and runs that it starts on this machine."""

import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from servers.scheduler import SchedulerServer
from support import trigger_projects
from support.trigger_projects import NEW_FILES, notification

from pipeyard import settings
from pipeyard.compiling import compiler
from pipeyard.deployment.targets import choice, local
from pipeyard.local import runner
from pipeyard.repository.project import Project
from pipeyard.runs import record, run_lock
from pipeyard.triggers import function, scheduler_jobs

ROOT = Path(__file__).parents[3]
CLOUD = {
    "target": "kfp",
    "host": "https://kfp.example.com",
    "bucket": "gs://acme/packages",
    "pipeline_root": "gs://acme/runs",
    "pipelines": {
        "taxi": {"schedule": {"cron": "0 3 * * 1", "enabled": False}},
        "on_server": {"schedule": {"cron": "0 4 * * *"}},
    },
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "compile_apart", compiler.compile_pipeline)  # a process each is 2 s; kfp is here
    taxi = {"parameters": {"source": "x"}, "triggers": [NEW_FILES]}
    return trigger_projects.make(tmp_path / "project", {"taxi": taxi, "on_server": {}}, cloud=CLOUD)


@pytest.fixture
def pipeyard(run_pipeyard, project):
    """Runs `pipeyard trigger`."""
    return lambda *arguments: run_pipeyard("trigger", "--project", str(project.root), *arguments)


@pytest.fixture
def tell(pipeyard, tmp_path):
    """Tells of a new object."""

    def go(name: str, *options: str, generation: int = 1, bucket: str = "landing"):
        file = tmp_path / "event.json"
        file.write_text(notification(name, generation, bucket))
        return pipeyard("--env", "here", "event", str(file), *options)

    return go


def runs_of(project):
    return [record.load(path.parent) for path in sorted((project.root / "runs").glob("*/run.json"))]


def test_a_new_object_runs_the_pipeline_here_with_its_uri_and_once(project, tell):
    code, out, err = tell("taxi/a.csv")
    assert code == 0, err
    (run,) = runs_of(project)
    assert (run.state, run.parameters["source"]) == ("SUCCEEDED", "gs://landing/taxi/a.csv")
    assert run.id.startswith("taxi-new-files-")
    assert f"taxi/new-files: started: 1 new: gs://landing/taxi/a.csv\n  started {run.id} for " in out
    assert (project.root / "runs" / run.id / "report.html").is_file()
    code, out, _ = tell("taxi/a.csv", "--json")
    (told,) = json.loads(out)
    assert (code, told["code"], told["started"]) == (0, "duplicate", {})
    assert len(runs_of(project)) == 1


def test_what_no_trigger_wants_starts_nothing(project, tell):
    for options in ({"name": "other/a.csv"}, {"name": "taxi/a.json"}, {"name": "taxi/a.csv", "bucket": "elsewhere"}):
        code, out, err = tell(**options)
        assert (code, out) == (0, "")
        assert "No trigger of here wants gs://" in err
    assert runs_of(project) == []


def test_a_dry_run_keeps_and_starts_nothing(project, tell):
    for _ in range(2):
        code, out, _ = tell("taxi/a.csv", "--dry-run", "--json")
        (told,) = json.loads(out)
        assert (code, told["code"]) == (0, "started")
        assert told["parameters"] == {"source": "gs://landing/taxi/a.csv"}
    assert not (project.root / "runs").exists()


def test_a_run_that_fails_is_told_and_not_started_again(project, tell):
    code, _, err = tell("taxi/bad.csv")
    assert code == 1
    assert "failed; look at it: pipeyard runs show taxi-new-files-" in err
    code, out, _ = tell("taxi/bad.csv")
    assert (code, len(runs_of(project))) == (0, 1)
    assert "told before" in out


def test_what_was_decided_is_shown_and_its_log_replayed_by_another_policy(project, tell, pipeyard, tmp_path):
    tell("taxi/a.csv")
    tell("taxi/b.csv")
    tell("taxi/b.csv")
    code, out, _ = pipeyard("--env", "here", "show")
    assert code == 0
    assert "taxi/new-files: 0 held, 0 due; lately started: taxi-new-files-" in out
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["started", "started", "duplicate"]
    log = tmp_path / "log.jsonl"
    log.write_text(pipeyard("--env", "here", "show", "taxi/new-files", "--log")[1])
    code, out, err = pipeyard("--env", "here", "replay", str(log))
    assert (code, err) == (0, "3 events, 2 runs, 0 decided otherwise.\n")
    trigger_projects.configure(project.root, {"taxi": {"triggers": [{**NEW_FILES, "daily_cap": 1}]}})
    code, out, err = pipeyard("--env", "here", "replay", str(log))
    assert (code, err) == (1, "3 events, 1 runs, 1 decided otherwise.\n")
    assert "capped" in out and "(was: started)" in out


def test_a_binary_cloud_event_has_its_type_in_headers(project, pipeyard, tmp_path):
    (tmp_path / "data.json").write_text(json.dumps({"bucket": "landing", "name": "taxi/a.csv", "generation": "1"}))
    headers = ["ce-type: google.cloud.storage.object.v1.finalized", "ce-id: 1", "ce-source: x"]
    options = [word for header in headers for word in ("-H", header)]
    code, out, _ = pipeyard("--env", "here", "event", str(tmp_path / "data.json"), *options, "--dry-run")
    assert (code, out) == (0, "taxi/new-files: started: 1 new: gs://landing/taxi/a.csv\n")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["tick"], 1, "Which environment? Give --env, one of: cloud, here."),
        (["--env", "her", "tick"], 1, "Did you mean 'here'?"),
        (["--env", "here", "tick", "taxi/new-file"], 1, "Did you mean 'taxi/new-files'?"),
        (["--env", "here", "drift"], 1, "'here' has no trigger of kind drift. Add one under a pipeline's `triggers:`"),
        (["--env", "here", "event", "-", "-H", "x"], 2, "--header 'x' has no ':'"),
        (["--env", "here", "scheduler", "--url", "u", "--account", "a"], 1, "Run `pipeyard trigger --env here tick`"),
        (["--env", "cloud", "scheduler", "--url", "u", "--account", "a"], 1, "Give --location projects/PROJECT/loc"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)
def test_what_is_wrong_is_told_with_what_to_do(pipeyard, arguments, code, told):
    found, _, err = pipeyard(*arguments)
    assert (found, told in err) == (code, True), err


def test_another_pipeline_s_run_starts_one_and_each_run_once(project, tell, pipeyard):
    after = {"name": "after-taxi", "kind": "completion", "pipeline": "taxi"}
    report = {"parameters": {"source": "y"}, "triggers": [after]}
    taxi = {"parameters": {"source": "x"}, "triggers": [NEW_FILES]}
    trigger_projects.make(project.root / "again", {"taxi": taxi, "report": report})
    other = Project(project.root / "again")

    def look(*options):
        code, out, _ = pipeyard("--project", str(other.root), "--env", "here", "completion", "--json", *options)
        assert code == 0
        return json.loads(out)[0]

    assert (look()["code"], look()["reason"]) == ("within", "no run of taxi in here has succeeded")
    event = other.root / "event.json"
    for name, ended in (("taxi/bad.csv", 1), ("taxi/a.csv", 0)):
        event.write_text(notification(name))
        assert pipeyard("--project", str(other.root), "--env", "here", "event", str(event))[0] == ended
    done = next(run for run in runs_of(other) if run.state == "SUCCEEDED")
    told = look()
    assert told["reason"] == f"run {done.id} of taxi in here succeeded; 1 new: run here {done.id}"
    assert [run.pipeline for run in runs_of(other)].count("report") == 1
    assert look()["code"] == "duplicate"
    assert [run.pipeline for run in runs_of(other)].count("report") == 1


def test_metrics_below_their_bound_start_a_run_and_a_tick_looks_too(project, pipeyard):
    metrics = project.root / "metrics.json"
    quality = {"name": "auc", "kind": "quality", "metrics": str(metrics), "min": {"AUC": 0.8}, "cool_down": "1h"}
    trigger_projects.configure(project.root, {"taxi": {"parameters": {"source": "x"}, "triggers": [quality]}})
    metrics.write_text('{"AUC": 0.9}')
    code, out, _ = pipeyard("--env", "here", "quality")
    assert (code, out) == (0, "taxi/auc: within: all of 1 are within their bounds\n  AUC: is 0.9 within 0.8\n")
    metrics.write_text('{"AUC": 0.7}')
    code, out, _ = pipeyard("--env", "here", "tick", "--json")
    (told,) = json.loads(out)
    assert (code, told["code"], told["measured"]) == (0, "started", ["AUC: is 0.7 < 0.8"])
    metrics.write_text('{"AUC": 0.6}')
    assert "cools down until" in pipeyard("--env", "here", "tick")[1]
    assert len(runs_of(project)) == 1


def test_a_trigger_that_can_t_look_hinders_no_other(project, pipeyard):
    quality = {"name": "auc", "kind": "quality", "metrics": "/nowhere.json", "min": {"AUC": 0.8}}
    taxi = {"parameters": {"source": "x"}, "triggers": [quality, NEW_FILES]}
    trigger_projects.configure(project.root, {"taxi": taxi})
    code, out, err = pipeyard("--env", "here", "tick")
    assert code == 1
    assert "taxi/new-files: nothing: nothing waits" in out
    assert "No metrics at '/nowhere.json'" in err


def test_a_trigger_whose_state_is_damaged_keeps_no_event_from_the_others(project, pipeyard, tell):
    first = {**NEW_FILES, "name": "first"}
    trigger_projects.configure(project.root, {"taxi": {"parameters": {"source": "x"}, "triggers": [first, NEW_FILES]}})
    damaged = project.root / "runs/.triggers/here/taxi/first.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    code, out, err = tell("taxi/a.csv")
    assert code == 1
    assert "taxi/new-files: started: 1 new: gs://landing/taxi/a.csv" in out
    assert "taxi/first: failed: The trigger's state can't be read" in out and "Move it away" in err
    damaged.unlink()
    code, out, _ = tell("taxi/a.csv")  # as it comes again
    assert code == 0
    assert "taxi/first: started" in out and "taxi/new-files: duplicate" in out


def test_a_run_that_another_process_is_at_is_no_failure(project, tell, monkeypatch):
    tell("taxi/a.csv")
    (run,) = runs_of(project)
    going_on = run.model_copy(update={"state": record.State.RUNNING, "ended_at": None})
    going_on.save(project.root / "runs" / run.id)
    going = local.LocalRun(run.id, "", {}, project.root / "runs" / run.id)
    monkeypatch.setattr(local.OnThisMachine, "start", lambda *_: going)
    code, out, err = tell("taxi/b.csv")
    assert (code, err) == (0, "")
    assert f"started {run.id}" in out


def test_a_run_of_the_key_that_was_killed_goes_on_and_one_that_works_is_left_alone(project):
    here = settings.load(project.root).environment("here")
    folder = project.root / "runs" / "taxi-k"

    def start(source="gs://landing/a"):
        return choice.runs(here, project).start("taxi", {"source": source}, "k").run_id

    assert start() == "taxi-k"
    first = record.load(folder)
    assert first.state == "SUCCEEDED"
    killed = first.model_copy(update={"state": record.State.RUNNING, "ended_at": None, "tasks": []})
    killed.save(folder)
    with (folder / run_lock.FILE).open("w") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        assert start() == "taxi-k"
        assert record.load(folder).state == "RUNNING"
    assert start("gs://landing/other") == "taxi-k"
    again = record.load(folder)
    assert (again.state, again.parameters["source"]) == ("SUCCEEDED", "gs://landing/a")
    assert again.started_at > first.started_at


def test_of_two_with_one_key_the_second_finds_the_first_s_run(project, monkeypatch):
    here = settings.load(project.root).environment("here")
    source = {"source": "gs://landing/a"}
    run = runner.run

    def begin_meanwhile(*arguments, **options):
        monkeypatch.setattr(runner, "run", run)
        assert choice.runs(here, project).start("taxi", source, "k").run_id == "taxi-k"
        return run(*arguments, **options)

    monkeypatch.setattr(runner, "run", begin_meanwhile)
    assert choice.runs(here, project).start("taxi", source, "k").run_id == "taxi-k"
    assert [path.name for path in (project.root / "runs").glob("taxi-*")] == ["taxi-k"]


SCHEDULER = [
    "--url",
    "https://f.example.com",
    "--account",
    "t@acme.example.com",
    "--location",
    "projects/p/locations/r",
]


def test_cloud_scheduler_s_jobs_are_those_that_the_server_has_not(pipeyard, tmp_path):
    from croniter import croniter

    folder = tmp_path / "jobs"
    code, out, _ = pipeyard("--env", "cloud", "scheduler", *SCHEDULER, "-o", str(folder))
    names = ["pipeyard-cloud-taxi.json", "pipeyard-cloud-tick.json"]
    assert (code, sorted(Path(line).name for line in out.splitlines())) == (0, names)
    taxi, tick = (json.loads((folder / name).read_text()) for name in names)
    assert taxi["name"] == "projects/p/locations/r/jobs/pipeyard-cloud-taxi"
    assert (taxi["schedule"], taxi["timeZone"]) == ("0 3 * * 1", "UTC")
    assert taxi["httpTarget"]["oidcToken"]["audience"] == "https://f.example.com"
    assert tick["httpTarget"]["headers"]["ce-type"] == "dev.pipeyard.tick"
    assert croniter.is_valid(tick["schedule"])


def test_jobs_are_made_and_then_changed_to_be_as_defined(pipeyard):
    with SchedulerServer() as server:
        command = ["--env", "cloud", "scheduler", *SCHEDULER, "--apply", "--api", server.url]
        code, out, _ = pipeyard(*command)
        assert (code, out.count(" was made\n")) == (0, 2)
        assert [line.split()[0] for line in out.splitlines()] == list(server.jobs)
        assert pipeyard(*command)[1].count(" is as defined\n") == 2
        assert server.asked == ["PATCH", "PATCH", "POST", "PATCH", "POST", "PATCH", "PATCH"]
        server.refuses = True
        code, _, err = pipeyard(*command)
        assert (code, "jobs/pipeyard-cloud-tick was refused: 403 not you. The account needs" in err) == (1, True)


def test_the_committed_jobs_are_those_of_the_environment_on_vertex(monkeypatch):
    places = {"GCP_PROJECT": "PROJECT", "PIPELINE_BUCKET": "bucket", "IMAGE_REGISTRY": "host/path", "MLFLOW_URL": "url"}
    vertex = settings.load(ROOT, places).environment("vertex")
    account = "triggers@PROJECT.iam.gserviceaccount.com"
    made = scheduler_jobs.jobs(vertex, "https://FUNCTION", account, "", scheduler_jobs.EVERY)
    committed = {path.stem: path.read_text() for path in (ROOT / "triggers/schedule").glob("*.json")}
    assert committed == made


# Answers a request with what is packed, and says where pipeyard is from.
_ANSWER = """
import json
from pathlib import Path
import functions_framework
import pipeyard.triggers.cloud_function

client = functions_framework.create_app("on_event", "main.py").test_client()
headers = {"ce-type": "dev.pipeyard.tick", "ce-id": "1", "ce-source": "x", "ce-specversion": "1.0"}
answer = client.post("/", headers=headers)
wheel = str(Path(pipeyard.triggers.cloud_function.__file__).parents[2])
print(json.dumps([wheel, answer.status_code, answer.get_json()["message"]]))
"""


def test_the_function_s_source_has_what_it_needs(tmp_path):
    folder = tmp_path / "function"
    written = function.write(Project(ROOT), folder)
    assert {path.name for path in folder.iterdir()} == {"main.py", "settings.yaml", "requirements.txt", "wheels"}
    wheels = [path for path in written if path.suffix == ".whl"]
    names = {name for wheel in wheels for name in zipfile.ZipFile(wheel).namelist()}
    ours = (
        "pipeyard/triggers/cloud_function.py",
        "pipeyard_components/store.py",
        "rollout/policy.py",
        "stepkit/uris.py",
    )
    assert names.issuperset(ours)
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert [f"./wheels/{wheel.name}" for wheel in wheels] == lines[:1]
    pinned = {line.partition("==")[0] for line in lines[1:]}
    assert {"functions-framework", "kfp", "google-cloud-storage", "google-cloud-aiplatform"} <= pinned
    assert "pytest" not in pinned
    assert str(ROOT) not in "\n".join(lines)
    done = subprocess.run(
        [sys.executable, "-c", _ANSWER],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, wheels)), "PIPEYARD_ENVIRONMENT": "local"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [str(wheels[0]), 200, "no trigger of local wants tick"]
    (folder / "mine.py").touch()
    with pytest.raises(Exception, match="has other things in it .mine.py."):
        function.write(Project(ROOT), folder)


def test_a_schedule_s_event_starts_one_run_however_often_the_job_tries(project, pipeyard, tmp_path):
    trigger_projects.configure(
        project.root, {"taxi": {"parameters": {"source": "x"}, "schedule": {"cron": "0 3 * * *", "enabled": False}}}
    )
    now = datetime.now(UTC)
    event = {"specversion": "1.0", "type": "dev.pipeyard.schedule", "source": "cron", "id": "taxi"}
    (tmp_path / "event.json").write_text(json.dumps({**event, "time": now.isoformat(), "data": {"pipeline": "taxi"}}))
    codes = []
    for _ in range(2):
        _, out, _ = pipeyard("--env", "here", "event", str(tmp_path / "event.json"), "--json")
        codes.append(json.loads(out)[0]["code"])
    assert (codes, len(runs_of(project))) == (["started", "duplicate"], 1)
