"""What runs on Kubeflow Pipelines, or will, without anybody seeing it; Kubernetes below is on the loopback, too.

Kubernetes' answers weren't recorded; those of Kubeflow Pipelines were.
"""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from servers.kubeflow import Fault, KubeflowServer, examples
from servers.kubernetes import SCHEDULED_WORKFLOWS, WORKFLOWS, KubernetesServer
from support import small_repository
from support.kubeflow_connections import Clock, connect

from pipeyard import settings
from pipeyard.errors import PipeyardError
from pipeyard.servers.kubeflow import cluster, doctor, experiments, pipelines, runs, schedules
from pipeyard.settings import Schedule

NAME = "taxi (test)"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(clock):
    with KubeflowServer(now=clock.today) as started:
        yield started


@pytest.fixture
def kubernetes(server):
    with KubernetesServer(server.cluster) as started:
        yield started


@pytest.fixture
def connection(server, kubernetes, clock):
    return connect(server, options=clock.options, kubernetes=kubernetes)


@pytest.fixture
def version(connection, tmp_path):
    return pipelines.ensure_version(connection, examples.package(tmp_path, "a" * 40, examples.pipeline()))


@pytest.fixture
def wanted(connection, version):
    experiment = experiments.ensure(connection, "taxi")
    return schedules.wanted(
        NAME, experiment, version.pipeline_id, Schedule(cron="0 3 * * *"), {}, "gs://b", version.version_id
    )


@pytest.fixture
def examine(connection, clock):
    """Looks, `later` seconds from now by the clock of whoever looks."""
    return lambda later=0, through=connection: doctor.examine(through, {NAME}, clock.today() + timedelta(seconds=later))


def orphan(server, repeated, **more):
    """Makes an object in Kubernetes that has no record, and returns its name."""
    kind, made = (SCHEDULED_WORKFLOWS, server.store.add_recurring_run) if repeated else (WORKFLOWS, None)
    before = {each["metadata"]["name"] for each in server.cluster.all(kind)}
    reference = {"pipeline_id": next(iter(server.store.pipelines))}
    body = {
        "experiment_id": next(iter(server.store.experiments)),
        "display_name": NAME,
        "pipeline_version_reference": reference,
        "trigger": {"cron_schedule": {"cron": "0 0 3 * * *"}},
        "max_concurrency": "1",
        "mode": "ENABLE",
        **more,
    }
    with server.store.database.losing(True), pytest.raises(Exception, match="."):
        (made or server.store.add_run)(body)
    [found] = {each["metadata"]["name"] for each in server.cluster.all(kind)} - before
    return found


def test_where_all_is_well_nothing_is_found(server, connection, version, wanted, examine):
    schedules.ensure(connection, wanted)
    runs.start(connection, wanted.experiment_id, version, "run", {}, "gs://b")
    before = len(server.requests)
    found = examine(3600)
    assert (found.findings, found.unseen) == ((), ())
    assert any("Workflows and ScheduledWorkflows of Kubernetes at http://127" in each for each in found.looked)
    assert {each.split()[0] for each in server.requests[before:]} == {"GET"}


def test_objects_without_a_record_are_found_and_removed(server, connection, version, wanted, examine):
    schedules.ensure(connection, wanted)
    runs.start(connection, wanted.experiment_id, version, "run", {}, "gs://b")
    lost = {orphan(server, repeated=False), orphan(server, repeated=True)}
    found = examine(200)
    assert {each.name for each in found.findings} == lost
    whys = {each.kind: each.why for each in found.findings}
    assert "no record of its run" in whys["Workflow"] and NAME in whys["Workflow"]
    assert "it is turned on, and starts runs" in whys["ScheduledWorkflow"]
    assert len(server.cluster.all(WORKFLOWS)) == len(server.cluster.all(SCHEDULED_WORKFLOWS)) == 2
    told = []
    mended = doctor.mend(connection, found, told.append)
    assert all(each.removed for each in mended.findings)
    assert len(told) == 2 and all(line.startswith("removing ") for line in told)
    assert len(server.cluster.all(WORKFLOWS)) == len(server.cluster.all(SCHEDULED_WORKFLOWS)) == 1
    assert examine(200).findings == ()
    doctor.mend(connection, found, told.append)  # what is gone is gone


def test_a_workflow_that_was_just_started_is_no_finding(server, version, wanted, examine):
    assert version and wanted
    orphan(server, repeated=False)
    assert examine(100).findings == ()
    assert len(examine(151).findings) == 1


def test_without_kubernetes_it_is_said_what_was_not_looked_at(server, clock, wanted, examine, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    bare = connect(server, options=clock.options)
    schedules.ensure(bare, wanted)
    found = examine(through=bare)
    assert found.findings == ()
    [line] = found.unseen
    assert "ScheduledWorkflows that no record knows weren't looked for" in line
    assert "Set `kubernetes: {context: NAME}`" in line


@pytest.mark.parametrize(("status", "told"), [(403, "needs the verbs list and delete"), (500, "500")])
def test_a_kubernetes_that_refuses_is_said(kubernetes, wanted, examine, status, told):
    assert wanted
    if status == 403:
        kubernetes.forbidden.add(("list", "*"))
    else:
        kubernetes.faults.append(status)
    assert told in examine().unseen[0]


def test_in_a_context_that_settings_do_not_name_nothing_is_removed(
    server, kubernetes, clock, wanted, examine, monkeypatch, tmp_path
):
    """The context that kubectl uses may be of another cluster, whose objects this server has no records of."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "mine",
        "clusters": [{"name": "c", "cluster": {"server": kubernetes.url}}],
        "users": [{"name": "u", "user": {"token": "sesame"}}],
        "contexts": [{"name": "mine", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    kubernetes.tokens.add("sesame")
    assert wanted
    name = orphan(server, repeated=True)
    bare = connect(server, options=clock.options)
    found = examine(through=bare)
    [finding] = found.findings
    assert (finding.name, "set `kubernetes: {context: NAME}`" in finding.kept) == (name, True)
    told = []
    assert not doctor.mend(bare, found, told.append).findings[0].removed
    assert not told and len(server.cluster.all(SCHEDULED_WORKFLOWS)) == 1
    # Nor does it decide whether something is made again.
    server.faults.append(Fault("POST .*recurringruns$", status=500))
    with pytest.raises(PipeyardError, match="wasn't asked: settings.yaml doesn't say that it is this environment's"):
        schedules.ensure(bare, wanted)


@pytest.mark.parametrize("lost", ["archived", "removed"])
def test_schedules_of_experiments_that_are_not_there_are_found(server, connection, wanted, examine, lost):
    schedules.ensure(connection, wanted)
    if lost == "archived":
        server.store.archive_experiment(wanted.experiment_id, True)
    else:
        server.store.remove_experiment(wanted.experiment_id)
    [finding] = examine().findings
    assert (finding.kind, finding.name) == ("schedule", NAME)
    assert "its experiment was removed or archived" in finding.why
    doctor.mend(connection, examine(), lambda line: None)
    assert server.store.recurring_runs == {} and server.cluster.all(SCHEDULED_WORKFLOWS) == []


def test_of_several_schedules_the_newest_that_is_on_stays(server, connection, clock, wanted, examine):
    made = []
    for cron, enabled in [("0 0 1 * * *", True), ("0 0 2 * * *", True), ("0 0 3 * * *", False)]:
        schedules.ensure(connection, replace(wanted, name="other", cron=cron, enabled=enabled))
        [new] = [each for each in server.store.recurring_runs.values() if each["display_name"] == "other"]
        new["display_name"] = NAME
        made.append(new["recurring_run_id"])
        clock.sleep(10)
    assert {each.key for each in examine().findings} == {made[0], made[2]}
    doctor.mend(connection, examine(), lambda line: None)
    assert list(server.store.recurring_runs) == [made[1]]


# The command


@pytest.fixture
def command(server, kubernetes, tmp_path, run_pipeyard):
    """Runs `pipeyard doctor` in a project of the pipeline `whole`; returns exit code and output."""

    def environment(**more):
        return small_repository.environment(target="kfp", host=server.url, **more)

    places = {
        "dev": environment(kubernetes={"host": kubernetes.url}),
        "bare": environment(kubernetes={"context": "not-there"}),
        "here": {"target": "local", "pipeline_root": "x"},
    }
    root = small_repository.make(tmp_path / "project", places).root
    return lambda *arguments: run_pipeyard("doctor", *arguments, "--project", str(root))


def test_the_command_finds_and_removes(server, connection, command, wanted):
    name = orphan(server, repeated=True)
    schedules.ensure(connection, replace(wanted, name="whole (dev)"))
    server.store.archive_experiment(wanted.experiment_id, True)
    code, out, _ = command("--env", "dev")
    assert code == 3
    assert f"found: ScheduledWorkflow {name}" in out and "found: schedule whole (dev)" in out
    assert len(server.cluster.all(SCHEDULED_WORKFLOWS)) == 2
    code, out, err = command("--env", "dev", "--fix", "--json")
    assert code == 0
    assert f"removing ScheduledWorkflow {name}" in err and "removing schedule whole (dev)" in err
    assert [each["removed"] for each in json.loads(out)["findings"]] == [True, True]
    assert server.cluster.all(SCHEDULED_WORKFLOWS) == []
    code, out, _ = command("--env", "dev")
    assert code == 0
    assert "looked at: schedules of 1 pipelines" in out and "looked at: Workflows" in out


def test_the_command_says_what_it_could_not_look_at(command):
    code, out, err = command("--env", "bare")
    assert code == 4
    assert "warning: Workflows and ScheduledWorkflows that no record knows weren't looked for" in err
    assert "Workflows" not in out
    code, _, err = command("--env", "here")
    assert code == 1 and "has target local" in err


def test_the_page_s_settings_are_settings():
    page = (Path(__file__).parents[3] / "docs/kubeflow.md").read_text(encoding="utf-8")
    lines = re.findall(r"^kubernetes: .*$", page, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        settings.Kubernetes.model_validate(yaml.safe_load(line)["kubernetes"])


@pytest.mark.parametrize(("host", "sure"), [("http://ml-pipeline:8888", True), ("https://kubeflow.example.com", False)])
def test_a_pod_s_own_cluster_is_the_environment_s_if_the_server_is_a_service_of_it(monkeypatch, tmp_path, host, sure):
    (tmp_path / "token").write_text("sesame")
    monkeypatch.setattr(cluster, "_POD", tmp_path)
    monkeypatch.setattr(
        "kubernetes.config.load_incluster_config",
        lambda client_configuration: setattr(client_configuration, "host", "https://10.0.0.1"),
    )
    place = settings.Environment(name="e", target="kfp", host=host, bucket="gs://bucket", pipeline_root="gs://root")
    found = cluster.connect(place)
    assert (found.sure, found.namespace) == (sure, "kubeflow")
    assert found.objects.api_client.configuration.host == "https://10.0.0.1"
    team = place.model_copy(update={"namespace": "team"})
    assert cluster.connect(team).namespace == "team"
