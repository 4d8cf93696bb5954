"""The commands that deliver and run: Kubeflow Pipelines and Cloud Storage are on the loopback."""

import dataclasses
import json
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from servers.kubeflow import Fault, KubeflowServer
from servers.kubeflow.execution import LocalRunner, this_python
from servers.kubernetes import WORKFLOWS
from support import scratch_git, small_repository

from pipeyard import settings as settings_
from pipeyard.deployment import deployer, desired, records, uploads
from pipeyard.deployment.targets import choice
from pipeyard.errors import PipeyardError
from pipeyard.repository import changes
from pipeyard.system import bucket

BOTH = {"count": "count", "show": "show"}
DAILY = {"cron": "0 3 * * *"}


@pytest.fixture
def store(own_prefix):
    """A bucket's prefix of each test's own."""
    return bucket.connect(own_prefix)


@pytest.fixture
def environments(kubeflow, store):
    dev = small_repository.environment(target="kfp", host=kubeflow.url, bucket=store.place)
    return {
        "dev": dev,
        "production": {**dev, "approval": "required"},
        "here": {"target": "local", "pipeline_root": "x"},
    }


@pytest.fixture
def project(tmp_path, environments):
    made = small_repository.make(tmp_path / "project", environments)
    small_repository.build(made)
    return made


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr("pipeyard.deployment.targets.kfp.INTERVAL", 0.01)


def _schedule(environments, **schedule):
    changed = json.loads(json.dumps(environments))
    changed["dev"]["pipelines"]["whole"]["schedule"] = {**DAILY, **schedule}
    return changed


def test_plan_and_deploy_twice_the_second_changes_nothing(pipeyard, kubeflow, store, project, environments):
    small_repository.configure(project, _schedule(environments))
    small_repository.build(project)
    code, out, _ = pipeyard("plan", "--env", "dev", "--exit-code")
    assert code == 3
    assert "+ package whole" in out and "+ version whole" in out and "+ parameter epochs: 3" in out
    assert "+ schedule whole (dev): 0 3 * * * UTC" in out
    assert not kubeflow.store.versions and not store.paths("")  # it only reads

    code, out, err = pipeyard("deploy", "--env", "dev", "--json")
    assert code == 0, err
    (told,) = json.loads(out)
    assert (code, told["changed"]) == (0, True)
    (version,) = kubeflow.store.versions.values()
    assert version["name"] == told["package"] == told["uri"].split("/")[-2]
    assert len(kubeflow.store.recurring_runs) == 1

    before = dict(kubeflow.store.versions), dict(kubeflow.store.recurring_runs)
    written = {path: store.read(path) for path in store.paths("")}
    assert pipeyard("plan", "--env", "dev", "--exit-code") == (0, "whole in dev: nothing changes\n", "")
    code, out, _ = pipeyard("deploy", "--env", "dev", "--json")
    assert (code, json.loads(out)[0]["changed"]) == (0, False)
    assert (dict(kubeflow.store.versions), dict(kubeflow.store.recurring_runs)) == before
    assert {path: store.read(path) for path in store.paths("")} == written  # generations, too


def test_an_optional_parameter_without_value_that_a_step_needs_is_told_before_a_run(pipeyard, kubeflow, project):
    small_repository.build(project, says=None)
    told = "the parameter 'note' has no value, and 'tell' can't start without one. Set it in settings.yaml or by"
    assert f"warning: whole: {told}" in pipeyard("plan", "--env", "dev")[2]
    assert f"warning: whole: {told}" in pipeyard("deploy", "--env", "dev")[2]
    code, _, err = pipeyard("run", "whole", "--env", "dev")
    assert (code, told in err, kubeflow.store.runs) == (1, True, {})
    assert pipeyard("run", "whole", "--env", "dev", "-p", "note=hi")[0] == 0
    assert len(kubeflow.store.runs) == 1


def test_a_later_commit_of_the_same_content_makes_no_version(pipeyard, kubeflow, store, project):
    pipeyard("deploy", "--env", "dev")
    (project.root / "README.md").write_text("more\n")
    later = scratch_git.commit(project.root, "words")
    small_repository.build(project)
    assert pipeyard("plan", "--env", "dev", "--exit-code")[0] == 0
    code, out, _ = pipeyard("deploy", "--env", "dev")
    assert (code, "as it was" in out) == (0, True)
    assert len(kubeflow.store.versions) == 1
    assert records.read(store, "whole", "dev").commit == later


def test_what_was_lost_on_the_server_is_made_again(pipeyard, kubeflow, store):
    pipeyard("deploy", "--env", "dev")
    kubeflow.store.versions.clear()
    code, out, _ = pipeyard("plan", "--env", "dev", "--exit-code")
    assert code == 3 and "~ version whole" in out
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    (version,) = kubeflow.store.versions
    assert records.read(store, "whole", "dev").server["version_id"] == version
    assert pipeyard("plan", "--env", "dev", "--exit-code")[0] == 0


def test_plan_tells_images_parameters_and_steps_without_cache(pipeyard, project, environments):
    pipeyard("deploy", "--env", "dev")
    changed = json.loads(json.dumps(environments))
    changed["dev"]["pipelines"]["whole"]["parameters"] = {"epochs": 4}
    small_repository.configure(project, changed)
    small_repository.build(project, {"show": "other"})
    _, out, _ = pipeyard("plan", "--env", "dev", "--json")
    (plan,) = json.loads(out)
    assert {(each["kind"], each["name"]) for each in plan["changes"]} == {
        ("package", "whole"),
        ("version", "whole"),
        ("image", "show"),
        ("parameter", "epochs"),
    }
    assert plan["steps_without_cache"] == [
        {"step": "count", "reasons": ["n: 3 -> 4"]},
        {"step": "show", "reasons": ["other image", "it follows count"]},
        {"step": "tell", "reasons": ["other image"]},
    ]


def test_a_schedule_is_changed_and_goes_with_the_settings(pipeyard, kubeflow, project, environments):
    for schedule, expected in (({}, 1), ({"cron": "0 4 * * *"}, 1), (None, 0)):
        wanted = environments if schedule is None else _schedule(environments, **schedule)
        small_repository.configure(project, wanted)
        small_repository.build(project)
        assert pipeyard("plan", "--env", "dev", "--exit-code")[0] == 3
        assert pipeyard("deploy", "--env", "dev")[0] == 0
        assert pipeyard("plan", "--env", "dev", "--exit-code")[0] == 0
        assert len(kubeflow.store.recurring_runs) == expected


def test_a_schedule_of_a_pipeline_that_settings_dont_name_is_told_of(pipeyard, project, environments, store):
    small_repository.configure(project, _schedule(environments))
    small_repository.build(project)
    assert pipeyard("deploy", "--env", "dev")[2].count("warning") == 0
    record = records.read(store, "whole", "dev")
    records.move(store, dataclasses.replace(record, pipeline="former"), lambda *_: False)
    for command in ("plan", "deploy"):
        code, _, err = pipeyard(command, "--env", "dev")
        assert code == 0 and "warning: former goes on in dev by its schedule, 0 3 * * *" in err
        assert "warning" not in pipeyard(command, "--env", "dev", "whole")[2]


def test_a_schedule_leaves_the_experiment_that_the_pipeline_left(pipeyard, kubeflow, project, environments):
    for experiment in ("one", "two"):
        wanted = _schedule(environments)
        wanted["dev"]["experiment"] = experiment
        small_repository.configure(project, wanted)
        small_repository.build(project)
        assert pipeyard("deploy", "--env", "dev")[0] == 0
    (left,) = kubeflow.store.recurring_runs.values()
    names = {each["experiment_id"]: each["display_name"] for each in kubeflow.store.experiments.values()}
    assert names[left["experiment_id"]] == "two"


def test_two_deployments_at_once_make_one_version(project, kubeflow, store, environments):
    small_repository.configure(project, _schedule(environments))
    small_repository.build(project)
    place = settings_.load(project.root).environment("dev")
    (wanted,) = desired.read(project, place, (), project.root / "dist")
    failed = []

    def work() -> None:
        try:
            deployer.deploy(bucket.connect(place.bucket), choice.connect(place), wanted, lambda *_: False)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(kubeflow.store.versions) == len(kubeflow.store.pipelines) == 1
    assert deployer.look(store, choice.connect(place), wanted, lambda *_: False).empty
    assert len(kubeflow.store.recurring_runs) == 1


def test_an_earlier_commit_doesnt_take_the_place_of_a_later_one(pipeyard, kubeflow, store, project):
    small_repository.build(project, says="old")
    first = scratch_git.git(project.root, "rev-parse", "HEAD").strip()
    (project.root / "README.md").write_text("more\n")
    later = scratch_git.commit(project.root, "words")
    small_repository.build(project, says="new")
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    scratch_git.git(project.root, "checkout", "--quiet", first)
    small_repository.build(project, says="old")
    code, _, err = pipeyard("deploy", "--env", "dev")
    assert code == 1
    assert f"dev has commit {later} of whole, which comes after {first}. Deploy that, or go back on purpose" in err
    assert len(kubeflow.store.versions) == 1
    assert pipeyard("deploy", "--env", "dev", "--rollback")[0] == 0
    assert records.read(store, "whole", "dev").commit == first
    assert uploads.latest(store, "whole")["commit"] == later


def test_a_schedule_that_the_server_cant_have_is_told_before_anything_is_contacted(
    pipeyard, kubeflow, project, environments
):
    small_repository.configure(project, _schedule(environments, timezone="Europe/Berlin"))
    small_repository.build(project)
    code, _, err = pipeyard("deploy", "--env", "dev")
    assert code == 1 and "Write cron in UTC" in err and "settings.yaml:" in err
    assert kubeflow.requests == []


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"epoch": 3}, "the pipeline has no parameter 'epoch'. Did you mean 'epochs'?"),
        ({"epochs": "three"}, "the parameter 'epochs' is text"),
        ({}, "the parameter 'epochs' has no value"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "deploy", "upload"])
def test_a_mistake_in_the_settings_stops_before_anything_is_contacted(
    pipeyard, kubeflow, project, environments, command, parameters, told
):
    environments["dev"]["pipelines"]["whole"]["parameters"] = parameters
    small_repository.configure(project, environments)
    small_repository.build(project)
    code, _, err = pipeyard(command, "--env", "dev")
    assert code == 1
    assert told in err and "settings.yaml:" in err
    assert kubeflow.requests == []


def test_what_is_deployed_to_has_no_default_and_isnt_this_machine(pipeyard):
    for command in ("plan", "deploy", "upload"):
        assert pipeyard(command)[0] == 2
        code, _, err = pipeyard(command, "--env", "here")
        assert code == 1 and "is this machine, where nothing is deployed" in err
    assert "Did you mean 'dev'" in pipeyard("deploy", "--env", "deb")[2]


def test_a_package_of_another_commit_isnt_deployed(pipeyard, kubeflow, project):
    (project.root / "README.md").write_text("more\n")
    scratch_git.commit(project.root, "words")
    code, _, err = pipeyard("deploy", "--env", "dev")
    assert code == 1 and "Run `pipeyard build` again" in err
    assert kubeflow.requests == []


def test_upload_alone_deploys_nothing(pipeyard, kubeflow, store):
    code, out, _ = pipeyard("upload", "--env", "dev")
    assert code == 0 and out.endswith("/workflow.tar.gz uploaded\n")
    assert pipeyard("upload", "--env", "dev")[1].endswith("is there\n")
    assert kubeflow.requests == [] and records.read(store, "whole", "dev") is None
    _, out, _ = pipeyard("plan", "--env", "dev")
    assert "+ version whole" in out and "package" not in out


def test_production_needs_an_approval_of_what_is_deployed(pipeyard, kubeflow, project):
    code, _, err = pipeyard("deploy", "--env", "production")
    assert code == 1
    assert "production needs an approval of whole" in err
    assert kubeflow.requests == []
    _, out, _ = pipeyard("plan", "--env", "production", "--json")
    digest = json.loads(out)[0]["digest"]
    assert f"pipeyard approve --env production whole {digest}" in pipeyard("plan", "--env", "production")[1]

    code, out, _ = pipeyard("approve", "--env", "production", "whole", digest, "--reason", "reviewed")
    assert code == 0 and out.strip().endswith("commit it")
    # What isn't committed is no approval.
    assert pipeyard("deploy", "--env", "production", "--allow-dirty")[0] == 1
    scratch_git.commit(project.root, "approve")
    small_repository.build(project)
    assert "approved by Test <test@localhost>" in pipeyard("plan", "--env", "production")[1]
    assert pipeyard("deploy", "--env", "production")[0] == 0
    assert len(kubeflow.store.versions) == 1

    # It covers nothing else.
    small_repository.build(project, says="two")
    assert pipeyard("deploy", "--env", "production")[0] == 1
    assert len(kubeflow.store.versions) == 1


def test_an_approval_under_a_wrong_name_is_told(pipeyard, project):
    _, out, _ = pipeyard("plan", "--env", "production", "--json")
    digest = json.loads(out)[0]["digest"]
    assert pipeyard("approve", "--env", "production", "whole", digest[:10])[0] == 1
    path = project.root / "approvals" / "production" / f"whole-{digest[:16]}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"environment: dev\npipeline: whole\ndigest: {digest}\n")
    scratch_git.commit(project.root, "approve")
    small_repository.build(project)
    assert "isn't an approval of what it is named after" in pipeyard("deploy", "--env", "production")[2]
    assert "takes deployments without an approval" in pipeyard("approve", "--env", "dev", "whole", digest)[2]


@pytest.mark.parametrize(("typed", "code", "versions"), [("production\n", 0, 1), ("yes\n", 1, 0)])
def test_on_a_terminal_it_asks(project, kubeflow, shared_storage, typed, code, versions):
    import os
    import pty

    leader, follower = pty.openpty()
    program = Path(sys.executable).with_name("pipeyard")
    process = subprocess.Popen(
        [str(program), "deploy", "--env", "production"],
        cwd=project.root,
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(leader, typed.encode())
    _, err = process.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    assert process.returncode == code, err
    assert "Type production to approve" in err
    assert len(kubeflow.store.versions) == versions


def test_run_starts_what_is_deployed_and_waits_for_its_end(pipeyard, kubeflow, store):
    code, _, err = pipeyard("run", "whole", "--env", "dev")
    assert code == 1 and "whole isn't deployed to dev. Run `pipeyard deploy --env dev whole`." in err
    pipeyard("deploy", "--env", "dev")
    code, out, _ = pipeyard("run", "whole", "--env", "dev", "--param", "epochs=5")
    assert (code, kubeflow.store.runs[out.strip()]["runtime_config"]["parameters"]) == (0, {"epochs": 5})
    code, out, err = pipeyard("run", "whole", "--env", "dev", "--wait", "--json")
    told = json.loads(out)
    assert (code, told["state"], told["parameters"]) == (0, "SUCCEEDED", {"epochs": 3})
    reference = kubeflow.store.runs[told["run"]]["pipeline_version_reference"]
    assert reference["pipeline_version_id"] == records.read(store, "whole", "dev").server["version_id"]
    assert "SUCCEEDED" in err
    code, _, err = pipeyard("run", "whole", "--env", "dev", "--param", "epoch=5")
    assert code == 1 and "Did you mean 'epochs'" in err


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "SKIPPED"])
def test_run_fails_unless_the_run_succeeded(pipeyard, kubeflow, state):
    pipeyard("deploy", "--env", "dev")
    kubeflow.states[:] = [state]
    code, out, err = pipeyard("run", "whole", "--env", "dev", "--wait", "--json")
    assert (code, json.loads(out)["state"]) == (4 if state == "CANCELED" else 1, state)
    assert state in err


def test_a_run_that_somebody_stops_has_an_exit_code_of_its_own(pipeyard, kubeflow):
    pipeyard("deploy", "--env", "dev")
    kubeflow.states[:] = ["RUNNING", "CANCELING", "CANCELING", "FAILED"]
    code, out, err = pipeyard("run", "whole", "--env", "dev", "--wait", "--json")
    told = json.loads(out)
    assert (code, told["state"], told["terminated"]) == (4, "FAILED", True)
    assert "FAILED after" in err and "somebody stopped it" in err


def test_a_key_that_is_too_long_is_refused_before_anything_is_made(pipeyard, kubeflow):
    pipeyard("deploy", "--env", "dev")
    code, _, err = pipeyard("run", "whole", "--env", "dev", "--key", "k" * 250)
    assert code == 1 and "has 256 bytes; the server takes 128. Choose a shorter --key" in err
    assert kubeflow.cluster.all(WORKFLOWS) == [] and kubeflow.store.runs == {}


def test_a_version_that_was_removed_is_to_be_deployed_again(pipeyard, kubeflow):
    pipeyard("deploy", "--env", "dev")
    kubeflow.store.versions.clear()
    code, _, err = pipeyard("run", "whole", "--env", "dev")
    assert code == 1 and "Deploy again (`pipeyard deploy --env dev`)" in err
    assert kubeflow.cluster.all(WORKFLOWS) == []
    pipeyard("deploy", "--env", "dev")
    assert pipeyard("run", "whole", "--env", "dev")[0] == 0


@pytest.mark.parametrize("command", ["plan", "deploy"])
def test_pipelines_that_are_one_to_the_server_are_refused_before_anything_is_contacted(
    pipeyard, kubeflow, store, project, environments, command
):
    folder = project.root / "pipelines" / "Whole"
    folder.mkdir(parents=True)
    (folder / "pipeline.py").touch()
    environments["dev"]["pipelines"]["Whole"] = {}
    small_repository.configure(project, environments)
    code, _, err = pipeyard(command, "--env", "dev", "whole")
    assert code == 1 and "The pipelines 'Whole' and 'whole' are one to the server" in err
    assert kubeflow.requests == [] and store.paths("") == []


def test_a_failed_run_prints_the_steps_and_their_logs(pipeyard, kubeflow, project, environments, tmp_path):
    """The server really runs them."""
    with KubeflowServer(execute=LocalRunner(tmp_path / "runs", this_python())) as server:
        environments["dev"]["host"] = server.url
        small_repository.configure(project, environments)
        small_repository.build(project, command=("sh", "-c", "echo no rows >&2; exit 3"))
        assert pipeyard("deploy", "--env", "dev")[0] == 0
        code, out, err = pipeyard("run", "whole", "--env", "dev", "--wait", "--json")
        told = json.loads(out)
        assert (code, told["state"]) == (1, "FAILED")
        assert [each["name"] for each in told["failed"]] == ["count", "tell"]
        assert "count failed: the server does not tell why" in err
        for step in told["failed"]:
            with urllib.request.urlopen(step["log_url"]) as log:
                assert b"no rows" in log.read()
            assert "executor-logs" in step["look"] and f"pipeline/runid={told['run']}" in step["look"]
            assert f"Its log: {step['log_url']} ; or {step['look']}" in err


def test_run_gives_up_in_time_and_says_that_the_run_goes_on(pipeyard, kubeflow):
    pipeyard("deploy", "--env", "dev")
    kubeflow.states[:] = ["RUNNING"]
    code, _, err = pipeyard("run", "whole", "--env", "dev", "--wait", "--timeout", "0.2")
    assert code == 1 and "hasn't ended in 0.2 s" in err and "It goes on" in err


def test_the_same_key_starts_one_run(pipeyard, kubeflow):
    pipeyard("deploy", "--env", "dev")
    runs = {pipeyard("run", "whole", "--env", "dev", "--key", "build-7")[1] for _ in range(2)}
    assert len(runs) == len(kubeflow.store.runs) == 1


def test_run_without_the_cache(pipeyard, kubeflow):
    pipeyard("deploy", "--env", "dev")
    _, out, _ = pipeyard("run", "whole", "--env", "dev", "--no-cache")
    spec = kubeflow.store.runs[out.strip()]["pipeline_spec"]
    tasks = spec["root"]["dag"]["tasks"]
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks.values())


def test_run_tells_of_settings_that_arent_deployed(pipeyard, project, environments):
    environments["dev"]["pipelines"]["whole"]["parameters"] = {"epochs": "3"}  # as a variable gives it
    small_repository.configure(project, environments)
    small_repository.build(project)
    pipeyard("deploy", "--env", "dev")
    code, _, err = pipeyard("run", "whole", "--env", "dev")
    assert code == 0 and "warning" not in err
    environments["dev"]["pipelines"]["whole"]["parameters"] = {"epochs": 9}
    small_repository.configure(project, environments)
    _, _, err = pipeyard("run", "whole", "--env", "dev")
    assert "settings.yaml has other values of epochs, which aren't deployed" in err


def test_options_of_one_kind_of_run_arent_taken_for_the_other(pipeyard):
    code, _, err = pipeyard("run", "whole", "--env", "dev", "--resume")
    assert code == 2 and "--resume applies to runs on this machine; dev is on kfp" in err
    code, _, err = pipeyard("run", "whole", "--env", "here", "--key", "x")
    assert code == 2 and "--key and --timeout apply to runs on a server" in err


def test_a_deployment_that_broke_off_is_completed_by_the_next(pipeyard, kubeflow, store, project, environments):
    """The server goes away at each of its requests in turn; what is there afterwards is as if it never had."""
    small_repository.configure(project, _schedule(environments))
    small_repository.build(project)
    place = settings_.load(project.root).environment("dev")
    (wanted,) = desired.read(project, place, (), project.root / "dist")
    broken = ("GET .*/names/", "POST .*/pipelines$", "upload_version", "POST .*/experiments", "POST .*/recurringruns")
    for where in broken:
        kubeflow.faults[:] = [Fault(where, status=400)]
        with pytest.raises(PipeyardError):
            deployer.deploy(store, choice.connect(place), wanted, lambda *_: False)
        assert kubeflow.faults[0].times == 0
        assert records.read(store, "whole", "dev") is None  # it is recorded last
    kubeflow.faults.clear()
    deployer.deploy(store, choice.connect(place), wanted, lambda *_: False)
    assert len(kubeflow.store.versions) == len(kubeflow.store.recurring_runs) == 1
    assert deployer.look(store, choice.connect(place), wanted, lambda *_: False).empty


def test_a_package_that_is_gone_is_told(pipeyard, store, project, shared_storage):
    pipeyard("deploy", "--env", "dev")
    record = records.read(store, "whole", "dev")
    moved = records.move(store, records.Record(**{**vars(record), "package": "gone"}), lambda *_: False)
    assert moved.package == "gone"
    with pytest.raises(PipeyardError, match="isn't in .* any more. Run `pipeyard deploy --env dev whole` again"):
        choice.runs(settings_.load(project.root).environment("dev")).start("whole")


def test_commits_are_ordered_by_git(project):
    from pipeyard.commands import delivery_options

    small_repository.configure(project, {})
    git = changes.git_of(project.root)
    precedes = delivery_options.order_of_commits(project)
    head, first = git(["rev-parse", "HEAD"]).strip(), git(["rev-parse", "HEAD~1"]).strip()
    assert precedes(first, head)
    assert not precedes(head, first) and not precedes(head, head) and not precedes(first, "unknown")


def test_a_build_of_one_commit_alone_knows_that_a_later_one_was_deployed(tmp_path):
    """CI's clones have a commit without its history, and what was pushed since isn't in them."""
    from pipeyard.commands import delivery_options
    from pipeyard.repository import project as projects

    source = tmp_path / "source"

    def committed(name: str) -> str:
        (source / "components" / name).touch()
        return scratch_git.commit(source, name)

    (source / "components").mkdir(parents=True)
    scratch_git.git(source, "init", "--quiet")
    before, built = committed("one"), committed("two")
    scratch_git.git(tmp_path, "clone", "--quiet", "--depth=1", source.as_uri(), "clone")
    later = committed("three")
    git = changes.git_of(tmp_path / "clone")
    with pytest.raises(PipeyardError):
        git(["cat-file", "-e", later])
    precedes = delivery_options.order_of_commits(projects.Project(tmp_path / "clone"))
    assert precedes(built, later) and precedes(before, built)
    assert not precedes(later, built)
    scratch_git.git(tmp_path / "clone", "remote", "set-url", "origin", str(tmp_path / "gone"))
    assert not precedes(built, "0" * 40)


def test_a_run_of_what_is_deployed_takes_no_secret_for_a_parameter(kubeflow, pipeyard):
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    before = len(kubeflow.store.runs)
    given = ("--param", "note=postgresql://user:hunter2@host/db")
    code, out, err = pipeyard("run", small_repository.NAME, "--env", "dev", *given)
    assert (code, len(kubeflow.store.runs)) == (1, before)
    assert "--param note: the parameter 'note': a password is in the URL. Leave it out" in err
    assert "hunter2" not in out + err
