"""Schedules in Kubeflow Pipelines, against a server with the real one's rules."""

import threading
from dataclasses import replace
from datetime import datetime

import pytest
from croniter import croniter
from kubeflow_connections import connect
from servers.kubeflow import Fault, KubeflowServer, Refused, examples
from servers.kubeflow import cron as server_cron

from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import cron, experiments, pipelines, schedules
from pipeyard.settings import Schedule

START = datetime(2026, 1, 1)


@pytest.fixture
def server():
    with KubeflowServer(largest_page=2) as started:
        yield started


@pytest.fixture
def connection(server):
    return connect(server)


@pytest.fixture
def wanted(connection, tmp_path):
    """The schedule of a version that prints `one`; every day at 3:00."""
    package = examples.package(tmp_path, "a" * 40, examples.pipeline(content="one", parameters=EPOCHS))
    version = pipelines.ensure_version(connection, package)
    experiment = experiments.ensure(connection, "taxi")
    return schedules.wanted(
        "taxi",
        experiment,
        version.pipeline_id,
        Schedule(cron="0 3 * * *"),
        {"epochs": 2},
        "gs://bucket/root",
        version.version_id,
    )


EPOCHS = {"epochs": {"parameterType": "NUMBER_INTEGER"}}


def test_a_schedule_is_made_once(server, connection, wanted):
    assert schedules.differences(connection, wanted) == ["schedule taxi: new (0 0 3 * * *)"]
    assert schedules.ensure(connection, wanted) == ["schedule taxi: new (0 0 3 * * *)"]
    before = len(server.requests)
    assert schedules.ensure(connection, wanted) == schedules.differences(connection, wanted) == []
    assert {each.split()[0] for each in server.requests[before:]} == {"GET"}
    assert [each["status"] for each in server.store.recurring_runs.values()] == ["ENABLED"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cron": "0 0 4 * * *"}, "cron: '0 0 3 * * *' to '0 0 4 * * *'"),
        ({"enabled": False}, "enabled: True to False"),
        ({"max_concurrent_runs": 10}, "max_concurrent_runs: 1 to 10"),
        ({"catch_up": True}, "catch_up: False to True"),
        ({"parameters": {"epochs": 3}}, "parameters: {'epochs': 2} to {'epochs': 3}"),
        ({"service_account": "trainer"}, "service_account: 'pipeline-runner' to 'trainer'"),
    ],
)
def test_a_schedule_that_changed_is_made_anew_and_the_old_one_removed(server, connection, wanted, change, told):
    schedules.ensure(connection, wanted)
    changed = replace(wanted, **change)
    assert schedules.ensure(connection, changed) == [f"schedule taxi: {told}"]
    assert len(server.store.recurring_runs) == 1
    assert schedules.differences(connection, changed) == []
    kinds = [each.rpartition(":")[2] for each in server.requests if "recurringruns" in each]
    assert kinds.index("disable") < len(kinds) - 1 - kinds[::-1].index("POST /apis/v2beta1/recurringruns")


def test_a_schedule_follows_the_latest_version_or_keeps_to_one(server, connection, wanted, tmp_path):
    schedules.ensure(connection, wanted)
    schedules.ensure(connection, replace(wanted, name="following", version_id=""))
    later = examples.package(tmp_path, "b" * 40, examples.pipeline(content="two", parameters=EPOCHS))
    two = pipelines.ensure_version(connection, later)
    server.store.versions[two.version_id]["created_at"] = "2099-01-01T00:00:00Z"
    pinned, following = server.store.recurring_runs.values()
    assert "pipeline_version_id" not in following["pipeline_version_reference"]
    commands = []
    for each in (pinned, following):
        _, spec = server.store.due(each["recurring_run_id"])
        commands.append(spec["deploymentSpec"]["executors"]["exec-say"]["container"]["command"][-1])
    assert commands == ["one", "two"]


def test_a_schedule_that_the_server_refuses_leaves_the_one_before_in_force(server, connection, wanted):
    schedules.ensure(connection, wanted)
    with pytest.raises(PipeyardError, match="making the schedule 'taxi' failed: 400 .*epochs is required"):
        schedules.ensure(connection, replace(wanted, parameters={}))
    assert [each["status"] for each in server.store.recurring_runs.values()] == ["ENABLED"]
    assert schedules.differences(connection, wanted) == []


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("where", ["POST .*recurringruns$", ":disable", "DELETE .*recurringruns"])
def test_connections_that_break_make_no_second_schedule(server, connection, wanted, where, cut):
    schedules.ensure(connection, wanted)
    server.faults.append(Fault(where, cut=cut))
    changed = replace(wanted, cron="0 0 5 * * *")
    schedules.ensure(connection, changed)
    assert server.faults[0].times == 0
    assert [each["trigger"]["cron_schedule"]["cron"] for each in server.store.recurring_runs.values()] == [changed.cron]


def test_a_deployment_that_was_interrupted_is_completed_by_the_next(server, connection, wanted):
    schedules.ensure(connection, wanted)
    changed = replace(wanted, cron="0 0 5 * * *")
    server.faults.append(Fault("DELETE", status=500, times=99))
    with pytest.raises(PipeyardError, match="removing the schedule 'taxi' failed: 500"):
        schedules.ensure(connection, changed)
    assert len(server.store.recurring_runs) == 2
    server.faults.clear()
    assert schedules.ensure(connection, changed) != []
    assert [each["trigger"]["cron_schedule"]["cron"] for each in server.store.recurring_runs.values()] == [changed.cron]


@pytest.mark.parametrize("before", [[], ["0 0 1 * * *"]], ids=["new", "changed"])
def test_deployments_at_once_leave_one_schedule(server, connection, wanted, before):
    for each in before:
        schedules.ensure(connection, replace(wanted, cron=each))
    threads = [threading.Thread(target=schedules.ensure, args=(connect(server), wanted)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.store.recurring_runs) == 1
    assert schedules.differences(connection, wanted) == []


def test_of_different_schedules_that_are_made_at_once_the_newest_stays(server, connection, wanted, monkeypatch):
    schedules.ensure(connection, wanted)
    create = schedules._create  # pylint: disable=protected-access  # where another comes in between
    other = replace(wanted, cron="0 0 4 * * *")

    def interrupted(connected, schedule):
        monkeypatch.setattr(schedules, "_create", create)
        schedules.ensure(connect(server), other)
        for each in server.store.recurring_runs.values():
            each["created_at"] = "2026-01-01T00:00:00Z"
        return create(connected, schedule)

    monkeypatch.setattr(schedules, "_create", interrupted)
    newest = replace(wanted, cron="0 0 5 * * *")
    schedules.ensure(connection, newest)
    assert schedules.differences(connection, newest) == []
    assert [each["status"] for each in server.store.recurring_runs.values()] == ["ENABLED"]


def test_a_schedule_is_removed(server, connection, wanted):
    schedules.ensure(connection, wanted)
    schedules.ensure(connection, replace(wanted, name="other"))
    assert schedules.remove(connection, wanted.experiment_id, "taxi") == ["schedule taxi: removed (0 0 3 * * *)"]
    assert schedules.remove(connection, wanted.experiment_id, "taxi") == []
    assert [each["display_name"] for each in server.store.recurring_runs.values()] == ["other"]


@pytest.mark.parametrize(
    "crontab",
    [
        "30 6 * * 1",
        "*/15 * * * *",
        "0 9 * * 5-7",
        "0 22-2 * * *",
        "0 0 1 * 7",
        "0 0 * nov-feb sat-sun",
        "0 0 1-7 * 1",
        "5 4 * * sun",
        "0 0 ? * 3",
    ],
)
def test_six_fields_are_due_when_the_five_are(crontab):
    times = croniter(crontab, START)
    now = START
    for _ in range(100):
        now = server_cron.next_time(cron.six_fields(crontab), now)
        assert now == times.get_next(datetime)


def test_five_fields_would_be_taken_for_others():
    assert server_cron.next_time("30 6 * * 1", START) == datetime(2026, 1, 1, 0, 6, 30)  # a Thursday
    assert server_cron.next_time(cron.six_fields("30 6 * * 1"), START) == datetime(2026, 1, 5, 6, 30)
    with pytest.raises(Refused, match="not a supported format"):
        server_cron.check("0 0 9 * * 7")


def test_what_kubeflow_has_no_schedule_for_is_refused():
    with pytest.raises(PipeyardError, match="time zone 'Europe/Berlin'.*have none. Write `cron:` in UTC"):
        cron.six_fields("0 3 * * *", "Europe/Berlin")
    with pytest.raises(PipeyardError, match="has 6 fields. Write five"):
        cron.six_fields("0 0 3 * * *")
