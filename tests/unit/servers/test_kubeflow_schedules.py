"""Schedules in Kubeflow Pipelines, against a server with the real one's rules."""

import threading
from dataclasses import replace
from datetime import datetime

import pytest
from croniter import croniter
from servers.kubeflow import Fault, KubeflowServer, Refused, examples, made_then_500, made_then_silence
from servers.kubeflow import cron as server_cron
from servers.kubernetes import SCHEDULED_WORKFLOWS
from support.kubeflow_connections import connect

from pipeyard.errors import PipeyardError
from pipeyard.servers.kubeflow import cron, experiments, pipelines, schedules
from pipeyard.settings import Schedule

START = datetime(2026, 1, 1)


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
    anew = ["disable"] if change == {"enabled": False} else ["disable", "make", "enable", "remove"]
    assert verbs(server) == ["make", "enable", *anew]


def verbs(server):
    """What was asked of schedules, in order, apart from questions."""
    asked = [each for each in server.requests if "recurringruns" in each and not each.startswith("GET")]
    kinds = {"POST": "make", "DELETE": "remove"}
    return [each.rpartition(":")[2] if ":" in each else kinds[each.split()[0]] for each in asked]


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
    with pytest.raises(PipeyardError, match="making the schedule 'taxi' failed: 400 .*epochs is not optional"):
        schedules.ensure(connection, replace(wanted, parameters={}))
    assert [each["status"] for each in server.store.recurring_runs.values()] == ["ENABLED"]
    assert schedules.differences(connection, wanted) == []


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("where", ["POST .*recurringruns$", ":disable", ":enable", "DELETE .*recurringruns"])
def test_connections_that_break_make_no_second_schedule(server, watched, wanted, where, cut):
    schedules.ensure(watched, wanted)
    server.faults.append(Fault(where, cut=cut))
    changed = replace(wanted, cron="0 0 5 * * *")
    schedules.ensure(watched, changed)
    assert server.faults[0].times == 0
    assert live(server) == [(changed.cron, True)]
    assert [each["trigger"]["cron_schedule"]["cron"] for each in server.store.recurring_runs.values()] == [changed.cron]


def live(server):
    """Cron of each schedule in Kubernetes that starts runs, and whether the server has a record of it."""
    return [
        (each["spec"]["trigger"]["cronSchedule"]["cron"], each["metadata"]["uid"] in server.store.recurring_runs)
        for each in server.cluster.all(SCHEDULED_WORKFLOWS)
        if each["spec"]["enabled"]
    ]


FAILURES = {
    "500": made_then_500("POST .*recurringruns$"),
    "silence": made_then_silence("POST .*recurringruns$", recorded=False),
    "cut": Fault("POST .*recurringruns$", cut="after", made="unrecorded"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_schedule_that_was_made_and_not_recorded_never_runs_beside_the_one_before(server, quiet, wanted, failure):
    schedules.ensure(quiet, wanted)
    server.faults.append(replace(FAILURES[failure]))
    changed = replace(wanted, cron="0 0 5 * * *")
    told = "isn't known whether it was done.*kubectl get scheduledworkflows.*pipeyard doctor --env test --fix"
    with pytest.raises(PipeyardError, match=told):
        schedules.ensure(quiet, changed)
    assert verbs(server).count("make") == 2  # the one before, and this: it isn't repeated
    assert live(server) == [(wanted.cron, True)]
    assert len(server.cluster.all(SCHEDULED_WORKFLOWS)) == 2  # what was made is turned off
    schedules.ensure(quiet, changed)
    assert live(server) == [(changed.cron, True)]


def test_a_database_that_goes_while_a_schedule_is_changed(server, clock, quiet, wanted, monkeypatch):
    schedules.ensure(quiet, wanted)
    changed = replace(wanted, cron="0 0 5 * * *")
    make = quiet.recurring_runs.recurring_run_service_create_recurring_run

    def going(*arguments, **options):
        server.database_away(45)
        return make(*arguments, **options)

    monkeypatch.setattr(quiet.recurring_runs, "recurring_run_service_create_recurring_run", going)
    with pytest.raises(PipeyardError, match="isn't known whether it was done"):
        schedules.ensure(quiet, changed)
    assert 45 <= clock.now < 300
    assert live(server) == [(wanted.cron, True)]


def test_kubernetes_shows_that_nothing_was_made_so_that_it_is_made_again(server, watched, clock, wanted):
    server.faults.append(Fault("POST .*recurringruns$", status=500))
    schedules.ensure(watched, wanted)
    assert verbs(server) == ["make", "make", "enable"]
    assert live(server) == [(wanted.cron, True)]
    assert len(server.cluster.all(SCHEDULED_WORKFLOWS)) == 1


def test_a_server_that_fails_again_while_it_is_asked_what_it_made_is_waited_for(server, watched, wanted):
    schedules.ensure(watched, wanted)
    server.faults += [
        Fault("POST .*recurringruns$", status=500),
        Fault("GET .*recurringruns/", status=500, times=5),
    ]
    changed = replace(wanted, cron="0 0 5 * * *")
    schedules.ensure(watched, changed)
    assert live(server) == [(changed.cron, True)]
    assert verbs(server).count("make") == 3


def test_kubernetes_shows_what_was_made_so_that_it_is_not_made_again(server, watched, wanted):
    server.faults.append(made_then_500("POST .*recurringruns$"))
    with pytest.raises(PipeyardError, match="has ScheduledWorkflow taxi.*, without a record"):
        schedules.ensure(watched, wanted)
    assert verbs(server) == ["make"]
    assert live(server) == []


def test_a_schedule_that_was_recorded_though_the_answer_was_500_is_taken(server, quiet, wanted):
    server.faults.append(Fault("POST .*recurringruns$", status=500, made="recorded"))
    schedules.ensure(quiet, wanted)
    assert verbs(server) == ["make", "enable"]
    assert live(server) == [(wanted.cron, True)]


@pytest.mark.parametrize("lost", ["moved", "archived", "removed"])
def test_there_is_one_schedule_whatever_becomes_of_its_experiment(server, connection, wanted, lost):
    schedules.ensure(connection, wanted)
    if lost == "archived":
        server.store.archive_experiment(wanted.experiment_id, True)
        [key] = server.store.recurring_runs
        server.store.enable(key, True)  # as somebody can, who looks at archived ones
    if lost == "removed":
        server.store.remove_experiment(wanted.experiment_id)  # its recurring runs go on
    moved = replace(wanted, experiment_id=experiments.ensure(connection, "other"))
    assert schedules.ensure(connection, moved)
    [made] = server.store.recurring_runs.values()
    assert made["experiment_id"] == moved.experiment_id
    assert live(server) == [(wanted.cron, True)]
    assert schedules.differences(connection, moved) == []
    assert schedules.remove(connection, "taxi")
    assert live(server) == []


def test_with_several_users_a_schedule_is_looked_for_in_its_namespace(wanted, tmp_path):
    package = examples.package(tmp_path, "b" * 40, examples.pipeline(parameters=EPOCHS))
    with KubeflowServer(several_users=True) as server:
        for namespace in ("red", "blue"):
            through = connect(server, namespace)
            version = pipelines.ensure_version(through, package)
            experiment = experiments.ensure(through, "taxi")
            ids = {"pipeline_id": version.pipeline_id, "version_id": version.version_id}
            there = replace(wanted, experiment_id=experiment, **ids)
            assert schedules.ensure(through, there) and schedules.ensure(through, there) == []
        assert sorted(each["namespace"] for each in server.store.recurring_runs.values()) == ["blue", "red"]
        assert schedules.remove(connect(server, "red"), "taxi")
        assert [each["namespace"] for each in server.store.recurring_runs.values()] == ["blue"]


def test_a_schedule_s_name_that_does_not_fit_is_refused(wanted):
    with pytest.raises(PipeyardError, match="The schedule's name .* has 129 bytes; the server takes 128"):
        schedules.wanted("x" * 129, "e", "p", Schedule(cron="0 3 * * *"), {}, "")


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
    create = schedules._create  # where another comes in between
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
    assert schedules.remove(connection, "taxi") == ["schedule taxi: removed (0 0 3 * * *)"]
    assert schedules.remove(connection, "taxi") == []
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
        "0 0 * * 5-1",
        "0 0 */3 * 1",
        "0 0 1-7 * */2",
        "0 0 */5 * *",
        "0 0 * * 0-7",
        "0 0 * JAN/2 *",
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
