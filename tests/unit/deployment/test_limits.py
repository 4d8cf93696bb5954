"""Deadlines and retries of settings.yaml: read, deployed, run on this machine."""

import json
import time
from pathlib import Path

import pytest
from servers.kubeflow import KubeflowServer
from servers.kubeflow.execution import LocalRunner, this_python
from servers.vertex import PROJECT, REGION, VertexServer
from support import scratch_git, small_repository, trigger_projects

from pipeyard import settings
from pipeyard.compiling import compiler
from pipeyard.deployment import records
from pipeyard.deployment.targets import choice
from pipeyard.errors import PipeyardError
from pipeyard.packages import archives
from pipeyard.runs import record
from pipeyard.servers.kubeflow import server_versions
from pipeyard.settings import fit
from pipeyard.system import bucket

TEXT = """\
defaults:
  deadline: 1d
  retries: {count: 1, show: 1}
environments:
  dev:
    target: local
    pipeline_root: runs
    deadline: 6h
    retries: {show: 2, elsewhere: 3}
    pipelines:
      whole:
        retries: {count: 4}
      other:
        deadline: 90s
        retries: 0
"""
IMAGES = {"count": "host.io/count@sha256:1", "show": "host.io/show@sha256:2"}


def _dev(tmp_path: Path, text: str = TEXT) -> settings.Environment:
    (tmp_path / settings.FILE).write_text(text, encoding="utf-8")
    return settings.load(tmp_path, {"N": "3"}).environment("dev")


def _refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(PipeyardError) as error:
        _dev(tmp_path, text)
    return str(error.value)


# -- settings --


def test_the_nearest_setting_counts_step_by_step(tmp_path):
    dev = _dev(tmp_path)
    assert (dev.deadline_of("whole"), dev.deadline_of("other")) == (6 * 3600, 90)
    text = small_repository.text(IMAGES)
    assert fit.retries(dev, "whole", text) == {"count": 4, "show": 2}
    assert fit.retries(dev, "other", text) == {"*": 0}
    assert dev.timeout == 3 * 3600  # how long is waited is another thing


def test_a_number_is_for_all_steps_and_a_variable_may_hold_it(tmp_path):
    dev = _dev(tmp_path, "variables: {N: how often}\n" + TEXT.replace("{show: 2, elsewhere: 3}", "${N}"))
    assert fit.retries(dev, "whole", small_repository.text(IMAGES)) == {"*": 3, "count": 4}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("deadline: 6h", "deadline: 0", "settings.yaml:8: environments.dev.deadline: no run has such a deadline."),
        ("deadline: 6h", "deadline: soon", "settings.yaml:8: environments.dev.deadline: this is no length of time."),
        ("retries: 0", "retries: many", "settings.yaml:15: environments.dev.pipelines.other.retries: these are no"),
        ("retries: 0", "retries: true", "settings.yaml:15: environments.dev.pipelines.other.retries: these are no"),
        ("count: 4", "count: -1", "settings.yaml:12: environments.dev.pipelines.whole.retries: these are no retries."),
        ("count: 4", "a//b: 1", "settings.yaml:12: environments.dev.pipelines.whole.retries: a key names no step."),
        ("retries: {show: 2", "retires: {show: 2", "there is no key 'retires' here. Did you mean 'retries'?"),
    ],
)
def test_what_is_no_limit_is_told_with_its_line(tmp_path, before, after, told):
    assert told in _refusal(tmp_path, TEXT.replace(before, after))


def test_a_step_that_the_pipeline_has_not_is_told_with_its_line_and_near_misses(tmp_path):
    dev = _dev(tmp_path, TEXT.replace("count: 4", "cuont: 4"))
    with pytest.raises(PipeyardError) as error:
        fit.retries(dev, "whole", small_repository.text(IMAGES))
    assert "Retries of whole in the environment 'dev' don't fit the pipeline:" in str(error.value)
    assert "settings.yaml:12: the pipeline has no step 'cuont'. Did you mean 'count'?" in str(error.value)


def test_a_step_for_every_pipeline_that_none_has_is_told_with_its_line(tmp_path):
    from pipeyard import ir

    (told,) = fit.unused(_dev(tmp_path), {"whole": ir.parse(small_repository.text(IMAGES))})
    assert told.startswith("settings.yaml:9: no pipeline has a step 'elsewhere'. There are: 'count', 'show', 'tell'.")


def test_where_limits_come_from_is_told(tmp_path):
    dev = _dev(tmp_path)
    found = {each.key: (each.value, each.source) for each in settings.provenance(dev, "whole")}
    assert found["deadline"] == (21600.0, "settings.yaml:8 (dev)")
    assert found["retries.count"] == (4, "settings.yaml:12 (dev, pipeline whole)")
    assert found["retries.show"] == (2, "settings.yaml:9 (dev)")
    found = {each.key: (each.value, each.source) for each in settings.provenance(dev, "other")}
    assert found["deadline"] == (90.0, "settings.yaml:14 (dev, pipeline other)")
    assert found["retries.*"] == (0, "settings.yaml:15 (dev, pipeline other)")
    assert "retries.count" not in found
    found = {each.key: (each.value, each.source) for each in settings.provenance(dev)}
    assert found["retries.count"] == (1, "settings.yaml:3 (defaults)")
    assert found["pipelines.other.retries.*"] == (0, "settings.yaml:15 (dev, pipeline other)")


# -- deployments --


@pytest.fixture
def store(own_prefix):
    return bucket.connect(own_prefix)


@pytest.fixture
def environments(kubeflow, store):
    dev = small_repository.environment(target="kfp", host=kubeflow.url, bucket=store.place)
    return {"dev": dev, "slow": json.loads(json.dumps(dev))}


@pytest.fixture
def project(tmp_path, environments):
    made = small_repository.make(tmp_path / "project", environments)
    small_repository.build(made)
    return made


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr("pipeyard.deployment.targets.kfp.INTERVAL", 0.01)
    monkeypatch.setattr(server_versions, "read", lambda server: "2.17.1")


@pytest.fixture
def limit(project, environments):
    """Commits limits of an environment, and builds."""

    def go(name: str, **limits):
        for key in ("deadline", "retries"):
            environments[name].pop(key, None)
        environments[name].update(limits)
        small_repository.configure(project, environments)
        small_repository.build(project)

    return go


def test_two_deadlines_on_one_server_are_two_versions_of_one_pipeline(pipeyard, kubeflow, store, limit, project):
    limit("dev", deadline="1h")
    limit("slow", deadline="6h", retries={"count": 2})
    for name in ("dev", "slow"):
        assert pipeyard("deploy", "--env", name)[0] == 0
        assert pipeyard("plan", "--env", name, "--exit-code") == (0, f"whole in {name}: nothing changes\n", "")
    assert len(kubeflow.store.pipelines) == 1
    assert len(kubeflow.store.versions) == 2
    kept = {name: records.read(store, "whole", name) for name in ("dev", "slow")}
    assert kept["dev"].server["pipeline_id"] == kept["slow"].server["pipeline_id"]
    for name, seconds in (("dev", 3600), ("slow", 6 * 3600)):
        spec = kubeflow.store.versions[kept[name].server["version_id"]]["pipeline_spec"]
        kubernetes = spec["platform_spec"]["platforms"]["kubernetes"]
        assert kubernetes["pipelineConfig"] == {"activeDeadlineSeconds": seconds}
        assert kubernetes["deploymentSpec"]["executors"]["exec-count"] == {"activeDeadlineSeconds": str(seconds)}
        package = records.package_of(store, kept[name])
        assert package.sha256 == kept[name].pipeline_sha256
        assert kept[name].package == package.version
        # A run is of the recorded version, whatever is checked out and set by now.
        run = pipeyard("run", "whole", "--env", name)[1].strip()
        reference = kubeflow.store.runs[run]["pipeline_version_reference"]
        assert reference["pipeline_version_id"] == kept[name].server["version_id"]
    count = spec["pipeline_spec"]["root"]["dag"]["tasks"]["count"]
    assert (count["retryPolicy"]["maxRetryCount"], count["retryPolicy"]["backoffMaxDuration"]) == (2, "21600s")


def test_without_limits_the_package_of_the_build_is_deployed_byte_for_byte(pipeyard, store, project):
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    kept = records.read(store, "whole", "dev")
    built = (project.root / "dist/whole" / archives.WORKFLOW).read_bytes()
    assert store.read(f"whole/{kept.package}/{archives.WORKFLOW}")[0] == built
    assert kept.run.keys() == {"pipeline_root", "experiment"}


def test_the_package_of_the_build_knows_no_environment(pipeyard, limit, project):
    limit("dev", deadline="1h")
    before = (project.root / "dist/whole" / archives.WORKFLOW).read_bytes()
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    assert (project.root / "dist/whole" / archives.WORKFLOW).read_bytes() == before


def test_plan_shows_deadline_and_retries_and_no_step_loses_its_cache(pipeyard, limit):
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    limit("dev", deadline="1h30m", retries={"count": 2})
    code, out, _ = pipeyard("plan", "--env", "dev", "--exit-code")
    assert code == 3
    assert "  + run deadline: 1h30m\n" in out and "  + run retries of count: 2\n" in out
    assert "~ version whole" in out and "loses its cache" not in out
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    limit("dev", deadline="2h", retries={"*": 1})
    out = pipeyard("plan", "--env", "dev")[1]
    assert "  ~ run deadline: 1h30m -> 2h\n" in out
    assert "  ~ run retries of count: 2 -> 1\n" in out and "  + run retries of tell: 1\n" in out
    limit("dev")
    out = pipeyard("plan", "--env", "dev")[1]
    assert "  - run deadline: 1h30m\n" in out and "  - run retries of count: 2\n" in out


def test_run_tells_of_limits_that_arent_deployed(pipeyard, limit):
    limit("dev", deadline="1h", retries={"count": 1})
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    assert "other values" not in pipeyard("run", "whole", "--env", "dev")[2]
    limit("dev", deadline="2h", retries={"show": 1})
    told = pipeyard("run", "whole", "--env", "dev")[2]
    assert (
        "settings.yaml has other values of deadline, retries of count, retries of show, which aren't deployed" in told
    )


def test_going_back_goes_back_to_the_former_version(pipeyard, kubeflow, limit, project, store):
    limit("dev", deadline="1h")
    earlier = scratch_git.git(project.root, "rev-parse", "HEAD").strip()
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    former = records.read(store, "whole", "dev")
    limit("dev", deadline="2h")
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    assert len(kubeflow.store.versions) == 2
    scratch_git.git(project.root, "checkout", "-q", earlier)
    small_repository.build(project)
    assert pipeyard("deploy", "--env", "dev")[0] == 1
    assert pipeyard("deploy", "--env", "dev", "--rollback")[0] == 0
    assert records.read(store, "whole", "dev").server == former.server
    assert len(kubeflow.store.versions) == 2


def test_a_schedule_starts_the_version_with_the_deadline(pipeyard, kubeflow, environments, limit, store):
    environments["dev"]["pipelines"]["whole"]["schedule"] = {"cron": "0 3 * * *"}
    limit("dev", deadline="1h")
    assert pipeyard("deploy", "--env", "dev")[0] == 0
    (schedule,) = kubeflow.store.recurring_runs.values()
    version = records.read(store, "whole", "dev").server["version_id"]
    assert schedule["pipeline_version_reference"]["pipeline_version_id"] == version


def test_an_approval_is_of_the_limits_too(project, limit):
    from pipeyard.deployment import desired

    def digest():
        place = settings.load(project.root).environment("dev")
        wanted = desired.read(project, place, [], project.root / "dist")[0]
        return wanted.digest

    digests = [digest()]
    for limits in ({"deadline": "1h"}, {"deadline": "2h"}, {"deadline": "2h", "retries": 1}):
        limit("dev", **limits)
        digests.append(digest())
    assert len(set(digests)) == 4


def test_plan_refuses_retries_of_a_step_that_there_is_not(pipeyard, kubeflow, limit):
    limit("dev", pipelines={"whole": {"parameters": {"epochs": 3}, "retries": {"cuont": 1}}})
    code, _, err = pipeyard("plan", "--env", "dev")
    assert code == 1
    assert "the pipeline has no step 'cuont'. Did you mean 'count'?" in err and "settings.yaml:" in err
    assert kubeflow.requests == []


def test_plan_and_deploy_warn_where_the_server_is_too_old_for_a_deadline(pipeyard, limit, monkeypatch):
    limit("dev", deadline="1h")
    monkeypatch.setattr(server_versions, "read", lambda server: "2.16.1")
    for command in ("plan", "deploy"):
        code, _, err = pipeyard(command, "--env", "dev")
        assert code == 0
        assert "warning: whole: the server, 2.16.1, can't do this (before 2.17.0): `deadline` of a whole run" in err
        assert "ignores **all** of the Kubernetes settings" in err
    told = json.loads(pipeyard("plan", "--env", "dev", "--json")[1])
    assert "`deadline` of a whole run" in told[0]["warnings"][0]


def test_what_is_deployed_is_retried_and_stopped_by_what_runs_it(pipeyard, kubeflow, environments, project, tmp_path):
    """The server really runs them; on a cluster it would be Argo."""
    tries = tmp_path / "tries"
    with KubeflowServer(execute=LocalRunner(tmp_path / "runs", this_python())) as server:
        environments["dev"].update(host=server.url, deadline="10m", retries={"count": 2})
        small_repository.configure(project, environments)
        small_repository.build(project, command=("sh", "-c", f"echo try >> {tries}; exit 3"))
        assert pipeyard("deploy", "--env", "dev")[0] == 0
        assert pipeyard("run", "whole", "--env", "dev", "--wait")[0] == 1
        assert len(tries.read_text().splitlines()) == 3 + 1  # `count` three times, `tell` once

        environments["dev"].update(deadline="2s", retries={})
        small_repository.configure(project, environments)
        small_repository.build(project, command=("sleep", "100"))
        assert pipeyard("deploy", "--env", "dev")[0] == 0
        began = time.monotonic()
        code, out, _ = pipeyard("run", "whole", "--env", "dev", "--wait", "--json")
        assert (code, json.loads(out)["state"]) == (1, "FAILED")
        assert time.monotonic() - began < 60


# -- Vertex AI --


@pytest.fixture
def vertex():
    with VertexServer() as started:
        yield started


@pytest.fixture
def cloud(vertex, own_prefix, tmp_path):
    environment = small_repository.environment(
        target="vertex", host=vertex.url, project=PROJECT, region=REGION, bucket=own_prefix
    )
    return {"dev": environment}


def test_a_deadline_on_vertex_is_refused_by_plan_with_its_line_and_the_fix(cloud, vertex, tmp_path, run_pipeyard):
    cloud["dev"]["pipelines"]["whole"]["deadline"] = "1h"
    made = small_repository.make(tmp_path / "project", cloud)
    small_repository.build(made)
    text = (made.root / settings.FILE).read_text().splitlines()
    line = next(number for number, each in enumerate(text, 1) if "deadline" in each)
    for command in ("plan", "deploy"):
        code, _, told = run_pipeyard(command, "--env", "dev", "--project", str(made.root))
        assert code == 1
        assert f"settings.yaml:{line}: 'dev' is on Vertex AI, which stops no run at a deadline. Take it out" in told
    assert vertex.requests == []


def test_retries_reach_vertex(cloud, vertex, tmp_path, run_pipeyard):
    cloud["dev"]["retries"] = {"count": 3}
    made = small_repository.make(tmp_path / "project", cloud)
    small_repository.build(made)
    for arguments in (["deploy"], ["run", "whole"]):
        code, _, err = run_pipeyard(*arguments, "--env", "dev", "--project", str(made.root))
        assert code == 0, err
    (job,) = vertex.jobs.values()
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    assert tasks["count"]["retryPolicy"]["maxRetryCount"] == 3
    assert "retryPolicy" not in tasks["show"]


# -- on this machine --


@pytest.fixture
def here(tmp_path, monkeypatch, run_pipeyard):
    """Runs a pipeline of one step here with limits; returns the exit code, what is printed, and the run's record."""
    monkeypatch.setattr(compiler, "compile_apart", compiler.compile_pipeline)

    def go(source: str, **limits):
        made = trigger_projects.make(tmp_path / "here", {"taxi": limits})
        spec = made.root / "components/read/component.yaml"
        hang = 'if "hang" in source:\n          import time; time.sleep(60)\n      if "bad"'
        spec.write_text(spec.read_text().replace('if "bad"', hang))
        arguments = ["run", "taxi", "--env", "here", "-p", f"source={source}", "--project", str(made.root)]
        code, _, err = run_pipeyard(*arguments)
        (folder,) = (made.root / "runs").glob("taxi-*")
        return code, err, record.load(folder)

    return go


def test_a_run_here_is_stopped_at_its_deadline_which_the_message_names_with_what_ran(here):
    code, err, run = here("hang", deadline="3s", retries=2)
    assert (code, run.state) == (1, "FAILED")
    assert "read failed: the run's deadline of 3 s passed." in err
    (task,) = run.tasks
    assert len(task.attempts) == 1


def test_a_step_here_is_retried(here):
    code, _, run = here("bad", retries={"read": 2})
    assert code == 1
    assert [each.exit_code for each in run.tasks[0].attempts] == [1, 1, 1]


def test_a_run_here_that_ends_in_time_succeeds(here):
    code, _, run = here("fine", deadline="1h")
    assert (code, run.state) == (0, "SUCCEEDED")
    assert run.error == ""


def test_what_a_trigger_starts_here_has_the_limits_too(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "compile_apart", compiler.compile_pipeline)
    made = trigger_projects.make(tmp_path / "here", {"taxi": {"retries": {"read": 1}}})
    place = settings.load(made.root).environment("here")
    choice.runs(place, made).start("taxi", {"source": "bad"}, "k")
    run = record.load(made.root / "runs" / "taxi-k")
    assert len(run.tasks[0].attempts) == 2
