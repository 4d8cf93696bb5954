"""The tests' server of Kubeflow Pipelines keeps the rules of the real one. Asked through KFP's generated clients."""

import copy
import importlib
import inspect
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import kfp_server_api as api
import pytest
import requests
import urllib3
import yaml
from kubeflow_connections import connect
from servers.kubeflow import KubeflowServer, examples
from servers.kubeflow.cron import next_time
from servers.kubernetes import SCHEDULED_WORKFLOWS, WORKFLOWS

ROOT = Path(__file__).parents[2]
EPOCHS = {"epochs": {"parameterType": "NUMBER_INTEGER"}}
# What it doesn't do: changing what is there, and pipelines from addresses on the network.
_NOT_SERVED = {
    ("PATCH", "/pipelines/{pipeline.pipeline_id}"),
    ("PATCH", "/pipelines/{pipeline_version.pipeline_id}/versions/{pipeline_version.pipeline_version_id}"),
    ("POST", "/pipelines/create"),
    ("POST", "/pipelines/{pipeline_id}/versions"),
}


@pytest.fixture
def server():
    with KubeflowServer() as started:
        yield started


@pytest.fixture
def client(server):
    return connect(server)


@pytest.fixture
def upload(client, tmp_path):
    """Uploads a pipeline, or what else there is in a file, as a version."""
    pipeline = client.pipelines.pipeline_service_create_pipeline(api.V2beta1Pipeline(name="taxi"))

    def go(content, name="one", file="pipeline.yaml", **options):
        path = tmp_path / file
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        where = {"pipelineid": pipeline.pipeline_id, **options}
        return client.uploads.upload_pipeline_version(str(path), name=name, **where)

    return go


def refused(status, told):
    return pytest.raises(api.ApiException, match=rf"(?s)^\({status}\).*{told}")


def archive(*members):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as opened:
        for name, text in members:
            member = tarfile.TarInfo(name)
            member.size = len(text)
            opened.addfile(member, io.BytesIO(text.encode()))
    return written.getvalue()


# Pipelines


def test_names_are_unique_and_limited_in_bytes(client, upload):
    create = client.pipelines.pipeline_service_create_pipeline
    create(api.V2beta1Pipeline(name="x" * 128))
    for name, status, told in [
        ("x" * 129, 500, "cannot exceed 128"),
        ("ä" * 65, 500, "cannot exceed 128"),
        ("a😀", 500, "Incorrect string"),
        ("", 400, "cannot be empty"),
        ("taxi", 409, "exists"),
        ("TAXI", 409, "exists"),
        ("taxi  ", 409, "exists"),
        ("täxi", 409, "exists"),
    ]:
        with refused(status, told):
            create(api.V2beta1Pipeline(name=name))
    upload(examples.pipeline(), "x" * 127)
    with refused(400, "PipelineVersion.Name length cannot exceed 127"):
        upload(examples.pipeline(), "x" * 128)
    with refused(409, "exists"):
        upload(examples.pipeline(content="two"), "X" * 127)
    experiment = client.experiments.experiment_service_create_experiment
    experiment(api.V2beta1Experiment(display_name="x" * 128))
    for name, status, told in [
        ("x" * 129, 500, "cannot exceed 128"),
        ("X" * 128, 409, "exists"),
        ("default", 409, "exists"),
        ("", 500, "non-empty"),
    ]:
        with refused(status, told):
            experiment(api.V2beta1Experiment(display_name=name))


SPEC = yaml.safe_load(examples.pipeline())


@pytest.mark.parametrize(
    ("content", "file", "told"),
    [
        (archive(("notes.txt", "x"), ("other.yaml", examples.pipeline())), "x.tar.gz", "Expecting a pipeline.yaml"),
        (archive(("pipeline.yaml", examples.pipeline()))[:-30], "x.tar.gz", "tarball"),
        (archive(), "x.tar.gz", "Expecting a pipeline.yaml"),
        (examples.pipeline(), "x.txt", "format"),
        ("- a", "x.yaml", "unknown template format"),
        ("# nothing", "x.yaml", "unknown template format"),
        (json.dumps({**SPEC, "schemaVersion": "2.2.0"}), "x.json", "2.1.0, not 2.2.0"),
        (json.dumps({**SPEC, "newField": 1}), "x.json", "unknown template format"),
        (json.dumps({**SPEC, "pipelineInfo": {"name": "Taxi"}}), "x.json", "pipeline name"),
        (examples.pipeline() + "---\n" + examples.pipeline(), "x.yaml", "multiple pipeline specs"),
        (b"\0" * (32 * 1024 * 1024 + 1), "x.yaml", "too large"),
    ],
)
def test_what_is_no_pipeline_is_refused(server, upload, content, file, told):
    with refused(400, told):
        upload(content, file=file)
    assert server.store.versions == {}


@pytest.mark.parametrize("content", ["a: b: c", "a: [", b"\x1f\x8b", examples.pipeline() + "---\n]"])
def test_what_is_no_yaml_is_never_answered(upload, content):
    with pytest.raises(urllib3.exceptions.HTTPError):
        upload(content)


def test_an_empty_file_is_the_server_s_fault(upload):
    with refused(500, "empty"):
        upload("")


@pytest.mark.parametrize(
    "members",
    [
        [("./pipeline.yaml", examples.pipeline())],
        [("notes.txt", "x"), ("pipeline.yaml", examples.pipeline())],
        [("other.yml", examples.pipeline())],
    ],
    ids=["below ./", "second", "another name"],
)
def test_the_archive_s_pipeline_is_found(upload, members):
    assert upload(archive(*members), "packed", "any").pipeline_spec == SPEC


def test_uploads_in_each_form_with_tags(upload):
    plain = upload(examples.pipeline(), "plain", tags='{"commit": "1"}')
    packed = upload(archive(("pipeline.yaml", examples.pipeline()), ("x", "y")), "packed", "x.tar.gz")
    assert plain.pipeline_spec == packed.pipeline_spec == SPEC
    assert plain.tags == {"commit": "1"}
    with refused(400, "Failed to create a pipeline version"):
        upload(examples.pipeline(), "lost", pipelineid="none")
    platform = "platforms: {kubernetes: {}}\n"
    with_platform = upload(f"{platform}---\n{examples.pipeline()}---\nplatforms: {{}}\n", "platform")
    assert with_platform.pipeline_spec["platform_spec"] == {"platforms": {"kubernetes": {}}}


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"a.b": "1"}, "must not contain"),
        ({"": "1"}, "cannot be empty"),
        ({"x" * 64: "1"}, "maximum length of 63"),
        ({"pipeline_sha256": "x" * 64}, "maximum length of 63"),
        ({f"k{number}": "1" for number in range(21)}, "maximum of 20"),
        ({"a": 1}, "string keys and values"),
        ([], "string keys and values"),
    ],
)
def test_tags_have_limits(upload, tags, told):
    with refused(400, told):
        upload(examples.pipeline(), tags=json.dumps(tags))
    allowed = {"ä" * 63: "ä" * 63, **{f"k{number}": "" for number in range(19)}}
    assert upload(examples.pipeline(), tags=json.dumps(allowed)).tags == allowed


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("pipelines", {"name": "a", "colour": "red"}),
        ("pipelines", {"name": 1}),
        ("pipelines", []),
        ("experiments", {"display_name": ["a"]}),
        ("runs", {"display_name": "a", "pipeline_spec": SPEC, "pipeline_version_reference": {"pipeline_id": "1"}}),
        ("runs", {"display_name": "a", "runtime_config": {"parameters": []}}),
        ("runs", '{"display_name": "a", "display_name": "b"}'),
        ("runs", '{"runtime_config": {"parameters": {"a": NaN}}}'),
        ("recurringruns", {"display_name": "a", "mode": "SOMETIMES"}),
        ("recurringruns", {"display_name": "a", "max_concurrency": "many"}),
        ("recurringruns", {"trigger": {"cron_schedule": {"cron": "@daily"}, "periodic_schedule": {}}}),
        ("recurringruns", {"trigger": {"cron_schedule": {"cron": "@daily", "start_time": "tomorrow"}}}),
    ],
)
def test_the_gateway_refuses_what_is_no_message_of_the_api(server, kind, body):
    data = body if isinstance(body, str) else json.dumps(body)
    answer = requests.post(f"{server.url}/apis/v2beta1/{kind}", data=data, timeout=5)
    assert (answer.status_code, set(answer.json())) == (400, {"code", "message"})


@pytest.mark.parametrize("size", ["x", "1.5", "1_0", " 1", str(2**31)])
def test_the_gateway_refuses_a_page_s_size_that_is_none(server, size):
    answer = requests.get(f"{server.url}/apis/v2beta1/runs", params={"page_size": size}, timeout=5)
    assert (answer.status_code, set(answer.json())) == (400, {"code", "message"})


def test_paths_are_cleaned_but_for_a_slash_at_the_end(server):
    def status(path):
        request = requests.Request("GET", server.url).prepare()
        request.url = f"{server.url}/apis/v2beta1/{path}"
        with requests.Session() as session:
            return session.send(request, timeout=5).status_code

    assert [status(each) for each in ("runs", "./runs", "../v2beta1/runs", "runs/", "nothing")] == [200] * 3 + [404] * 2


def test_fields_may_be_in_camel_case_and_null_is_absent(server):
    body = {"displayName": "taxi", "description": None}
    answer = requests.post(f"{server.url}/apis/v2beta1/experiments", json=body, timeout=5).json()
    assert answer["display_name"] == "taxi"
    assert "description" not in answer


# Lists


def test_lists_come_in_pages_filtered_and_in_order(client, upload):
    pipeline = upload(examples.pipeline(), "0").pipeline_id
    for name in "123":
        upload(examples.pipeline(content=name), name)
    listed = client.pipelines.pipeline_service_list_pipeline_versions
    page = listed(pipeline, page_size=3, sort_by="name desc")
    assert [each.name for each in page.pipeline_versions] == ["3", "2", "1"]
    assert page.total_size == 4
    for same in ({"sort_by": "name desc"}, {}):
        last = listed(pipeline, page_size=3, page_token=page.next_page_token, **same)
        assert [each.name for each in last.pipeline_versions] == ["0"]
        assert last.next_page_token is None
    with refused(400, "does not match"):
        listed(pipeline, page_token=page.next_page_token, sort_by="name")
    with refused(400, "Invalid package token"):
        listed(pipeline, page_token="x")
    with refused(400, "failed to parse valid filter"):
        listed(pipeline, filter="x")
    for order in ("color", "name up", "name asc desc"):
        with refused(400, "[Ii]nvalid sort"):
            listed(pipeline, sort_by=order)
    with refused(400, "greater than 0"):
        listed(pipeline, page_size=-1)


@pytest.mark.parametrize(
    ("predicate", "names"),
    [
        ({"operation": "EQUALS", "key": "display_name", "string_value": "TAXI-B "}, ["Taxi-b"]),
        ({"operation": 1, "key": "name", "stringValue": "taxi-a"}, ["taxi-a"]),
        ({"operation": "NOT_EQUALS", "key": "name", "string_value": "taxi-a"}, ["Taxi-b", "c"]),
        ({"operation": "IN", "key": "name", "string_values": {"values": ["C", "taxi-a"]}}, ["c", "taxi-a"]),
        ({"operation": "IS_SUBSTRING", "key": "name", "string_value": "AXI"}, ["Taxi-b", "taxi-a"]),
        ({"operation": "IS_SUBSTRING", "key": "name", "string_value": "t_xi"}, ["Taxi-b", "taxi-a"]),
        ({"operation": "GREATER_THAN", "key": "created_at", "timestamp_value": "2020-01-01T00:00:00Z"}, None),
        ({"operation": "LESS_THAN_EQUALS", "key": "created_at", "timestamp_value": "2020-01-01T00:00:00Z"}, []),
        ({"operation": "EQUALS", "key": "tags.team", "string_value": "ml"}, ["c"]),
    ],
)
def test_filters_compare_as_the_database_does(server, predicate, names):
    for name, tags in (("taxi-a", {}), ("Taxi-b", {}), ("c", {"team": "ML"})):
        server.store.add_pipeline({"name": name, "tags": tags})
    query = {"filter": json.dumps({"predicates": [predicate]})}
    found = requests.get(f"{server.url}/apis/v2beta1/pipelines", params=query, timeout=5).json()
    expected = ["Taxi-b", "c", "taxi-a"] if names is None else names
    assert sorted(each["name"] for each in found.get("pipelines", [])) == expected


@pytest.mark.parametrize(
    "predicate",
    [
        {"operation": "EQUALS", "key": "colour", "string_value": "red"},
        {"operation": "EQUALS", "key": "", "string_value": "red"},
        {"operation": "OPERATION_UNSPECIFIED", "key": "name", "string_value": "a"},
        {"operation": "IN", "key": "name", "string_value": "a"},
        {"operation": "EQUALS", "key": "name", "string_values": {"values": ["a"]}},
        {"operation": "IS_SUBSTRING", "key": "name", "int_value": 1},
        {"operation": "EQUALS", "key": "name", "string_value": "a", "int_value": 1},
        {"operation": "EQUALS", "key": "name", "colour": "a"},
    ],
)
def test_filters_that_are_refused(server, predicate):
    query = {"filter": json.dumps({"predicates": [predicate]})}
    answer = requests.get(f"{server.url}/apis/v2beta1/experiments", params=query, timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


# Runs and recurring runs


@pytest.fixture
def make(client, upload):
    """Makes a run, or a recurring run, of a pipeline with the parameter `epochs`."""
    version = upload(examples.pipeline(parameters=EPOCHS))
    experiment = client.experiments.experiment_service_create_experiment(
        api.V2beta1Experiment(display_name="taxi")
    ).experiment_id
    reference = api.V2beta1PipelineVersionReference(
        pipeline_id=version.pipeline_id, pipeline_version_id=version.pipeline_version_id
    )
    common = {
        "experiment_id": experiment,
        "display_name": "first",
        "pipeline_version_reference": reference,
        "runtime_config": api.V2beta1RuntimeConfig(parameters={"epochs": 1}),
    }
    recurring = {
        "trigger": api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron="0 0 3 * * *")),
        "max_concurrency": "1",
        "mode": "ENABLE",
    }

    def go(repeated=False, **changes):
        if repeated:
            create = client.recurring_runs.recurring_run_service_create_recurring_run
            return create(api.V2beta1RecurringRun(**{**common, **recurring, **changes}))
        return client.runs.run_service_create_run(api.V2beta1Run(**{**common, **changes}))

    return go


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"experiment_id": "none"}, 404, "Experiment none not found"),
        ({"display_name": None}, 500, "name"),
        ({"runtime_config": None}, 400, "epochs is not optional"),
        ({"runtime_config": {"parameters": {"epochs": True}}}, 400, "requires type NUMBER_INTEGER"),
        ({"runtime_config": {"parameters": {"epochs": None}}}, 400, "requires type NUMBER_INTEGER"),
        ({"runtime_config": {"parameters": {"epochs": 1, "x": 1}}}, 400, "not required by pipeline: x"),
        ({"pipeline_version_reference": None}, 500, "empty pipeline spec"),
        ({"pipeline_spec": SPEC}, 400, "oneof"),
        ({"pipeline_version_reference": {"pipeline_version_id": "none"}}, 500, "PipelineVersion none"),
    ],
)
def test_runs_that_are_refused(server, make, repeated, changes, status, told):
    with refused(status, told):
        make(repeated, **changes)
    assert not server.cluster.all(WORKFLOWS) + server.cluster.all(SCHEDULED_WORKFLOWS)


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("changes", [{"display_name": "x" * 256}, {"display_name": "😀"}, {"description": "x" * 256}])
def test_what_the_database_does_not_take_is_made_in_kubernetes_all_the_same(server, make, repeated, changes):
    with refused(500, "Data too long|Incorrect string"):
        make(repeated, **changes)
    assert len(server.cluster.all(SCHEDULED_WORKFLOWS if repeated else WORKFLOWS)) == 1
    assert not server.store.runs
    assert not server.store.recurring_runs


@pytest.mark.parametrize("repeated", [False, True])
def test_runs_that_are_taken(make, repeated):
    assert make(repeated, experiment_id=None).experiment_id
    assert make(repeated, runtime_config={"parameters": {"epochs": 1.5}}).runtime_config.parameters == {"epochs": 1.5}
    assert make(repeated, display_name="x" * 255).display_name == "x" * 255
    pipeline = make(repeated).pipeline_version_reference.pipeline_id
    taken = make(repeated, pipeline_version_reference={"pipeline_id": pipeline}).pipeline_version_reference
    assert (taken.pipeline_version_id is None) == repeated
    version = make(repeated).pipeline_version_reference.pipeline_version_id
    taken = make(repeated, pipeline_version_reference={"pipeline_version_id": version}).pipeline_version_reference
    assert (taken.pipeline_id, taken.pipeline_version_id) == (pipeline, version)


@pytest.mark.parametrize(
    "changes",
    [
        {"componentRef": {"name": "none"}},
        {"dependentTasks": ["none"]},
        {"inputs": {"parameters": {"x": {"taskOutputParameter": {"producerTask": "none"}}}}},
        {"dependentTasks": ["say"]},
    ],
)
def test_a_dag_that_cannot_be_compiled_is_refused_when_it_is_run(client, upload, changes):
    spec = copy.deepcopy(SPEC)
    spec["root"]["dag"]["tasks"]["say"] |= changes
    version = upload(json.dumps(spec), file="x.json")
    with refused(500, "compile|validate workflow"):
        client.runs.run_service_create_run(
            api.V2beta1Run(
                display_name="a", pipeline_version_reference={"pipeline_version_id": version.pipeline_version_id}
            )
        )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"max_concurrency": "0"}, "at least 1 and at most 10"),
        ({"max_concurrency": "11"}, "at least 1 and at most 10"),
        ({"trigger": {"periodic_schedule": {"interval_second": "0"}}}, "period schedule interval"),
        ({"trigger": {"periodic_schedule": {}}}, "period schedule interval"),
        ({"trigger": {"cron_schedule": {}}}, "not a supported format"),
    ],
)
def test_schedules_that_are_refused(make, changes, told):
    with refused(400, told):
        make(True, **changes)


@pytest.mark.parametrize(
    "cron",
    [
        *("", "nonsense", "0 3 * *", "0 0 9 * * 1 2026", "TZ=UTC 0 0 9 * * 1", "CRON_TZ=UTC 0 0 9 * * 1"),
        *("0 0 3 * * 7", "0 0 25 * * *", "60 0 0 * * *", "0 60 0 * * *", "0 0 0 32 * *", "0 0 0 0 * *", "0 0 0 * 13 *"),
        *("0 0 9 L * *", "0 0 9 15W * *", "0 0 9 * * 1#2", "0 0 9 * * 5-1", "0 0 9 * * FRI-MON", "0 0 9 * * MONDAY"),
        *("0 */0 * * * *", "0 1-2-3 * * * *", "0 1/2/3 * * * *", "0 -1 * * * *", "0 a * * * *", "0 1.5 * * * *"),
        *("@never", "@every", "@every 1", "@every 1d", "@every one hour", "@Daily"),
    ],
)
def test_cron_that_is_refused(make, cron):
    with refused(400, "not a supported format"):
        make(True, trigger={"cron_schedule": {"cron": cron}})


@pytest.mark.parametrize(
    ("cron", "due"),
    [
        ("0 9 * * 1", "2026-01-01T00:09:00"),  # minute 9 of each hour on the first day of a month
        ("* * * * *", "2026-01-01T00:00:01"),
        ("0 0 9 * * mon", "2026-01-05T09:00:00"),
        ("0 0 9 ? * MON-FRI", "2026-01-01T09:00:00"),
        ("0 0 9 13 * 5", "2026-01-02T09:00:00"),  # either day is enough
        ("0 0 9 13 * *", "2026-01-13T09:00:00"),
        ("0 50/5 * * * *", "2026-01-01T00:50:00"),
        ("0 0 9 31 2 *", None),
        ("0 0 0 29 feb ?", "2028-02-29T00:00:00"),
        ("@weekly", "2026-01-04T00:00:00"),
        ("@yearly", "2027-01-01T00:00:00"),
        ("@every 1h30m", "2026-01-01T01:30:00"),
        ("@every 10ms", "2026-01-01T00:00:01"),
        ("0 0 */8,9 * * *", "2026-01-01T08:00:00"),
        ("0 0 9 * * 1,,3", "2026-01-05T09:00:00"),
    ],
)
def test_cron_is_due_as_robfig_s_is(make, cron, due):
    assert make(True, trigger={"cron_schedule": {"cron": cron}}).trigger.cron_schedule.cron == cron
    found = next_time(cron, datetime(2026, 1, 1))
    assert (found and found.isoformat()) == due


def test_a_schedule_s_times_are_told_in_seconds_of_utc(server, make):
    trigger = {"cron_schedule": {"cron": "@daily", "start_time": "2026-01-01T01:00:00.5+01:00"}}
    made = make(True, trigger=trigger).recurring_run_id
    shown = requests.get(f"{server.url}/apis/v2beta1/recurringruns/{made}", timeout=5).json()["trigger"]
    assert shown == {"cron_schedule": {"cron": "@daily", "start_time": "2026-01-01T00:00:00Z"}}
    [schedule] = server.cluster.all(SCHEDULED_WORKFLOWS)
    assert schedule["spec"]["trigger"] == {"cronSchedule": {"cron": "@daily", "startTime": "2026-01-01T00:00:00Z"}}


def test_a_schedule_without_a_trigger_or_a_mode_is_taken(make):
    assert make(True, trigger=None).trigger is None
    assert make(True, mode=None).status == "DISABLED"


def test_a_schedule_starts_as_many_runs_at_a_time_as_it_may(server, client, make):
    made = make(True)
    run = server.run_due(made.recurring_run_id)
    assert run["recurring_run_id"] == made.recurring_run_id
    with pytest.raises(Exception, match="1 runs of .* are going on"):
        server.run_due(made.recurring_run_id)
    server.set_state(run["run_id"], "SUCCEEDED")
    assert server.run_due(made.recurring_run_id)["run_id"] != run["run_id"]
    client.recurring_runs.recurring_run_service_disable_recurring_run(made.recurring_run_id)
    with pytest.raises(Exception, match="is disabled"):
        server.run_due(made.recurring_run_id)


def test_an_archived_experiment_takes_runs_and_schedules_and_its_own_are_turned_off(server, client, make):
    made, run = make(True), make()
    experiment = client.experiments
    experiment.experiment_service_archive_experiment(made.experiment_id)
    get = client.recurring_runs.recurring_run_service_get_recurring_run
    assert get(made.recurring_run_id).status == "DISABLED"
    assert client.runs.run_service_get_run(run.run_id).storage_state == "ARCHIVED"
    with refused(400, "Unarchive the experiment first"):
        client.runs.run_service_unarchive_run(run.run_id)
    assert make().storage_state == "AVAILABLE"
    assert make(True).status == "ENABLED"
    client.recurring_runs.recurring_run_service_enable_recurring_run(made.recurring_run_id)
    assert server.run_due(made.recurring_run_id)["experiment_id"] == made.experiment_id
    client.recurring_runs.recurring_run_service_disable_recurring_run(made.recurring_run_id)
    experiment.experiment_service_unarchive_experiment(made.experiment_id)
    assert get(made.recurring_run_id).status == "DISABLED"
    assert client.runs.run_service_get_run(run.run_id).storage_state == "ARCHIVED"
    experiment.experiment_service_archive_experiment("none")


def test_a_deleted_experiment_s_runs_and_schedules_go_on(server, client, make):
    made, run = make(True), make()
    client.experiments.experiment_service_delete_experiment(made.experiment_id)
    assert client.runs.run_service_get_run(run.run_id).experiment_id == made.experiment_id
    assert server.run_due(made.recurring_run_id)["recurring_run_id"] == made.recurring_run_id
    listed = client.recurring_runs.recurring_run_service_list_recurring_runs
    assert [each.recurring_run_id for each in listed().recurring_runs] == [made.recurring_run_id]
    with refused(404, "Experiment .* not found"):
        listed(experiment_id=made.experiment_id)
    client.recurring_runs.recurring_run_service_delete_recurring_run(made.recurring_run_id)
    assert listed().recurring_runs is None
    [default] = client.experiments.experiment_service_list_experiments().experiments
    with refused(400, "default experiment"):
        client.experiments.experiment_service_delete_experiment(default.experiment_id)


def test_a_pinned_schedule_keeps_its_version_and_another_takes_the_latest(server, client, make):
    pinned = make(True)
    reference = pinned.pipeline_version_reference
    latest = make(True, pipeline_version_reference={"pipeline_id": reference.pipeline_id})
    client.pipelines.pipeline_service_delete_pipeline_version(reference.pipeline_id, reference.pipeline_version_id)
    assert server.run_due(pinned.recurring_run_id)["run_id"]
    with pytest.raises(Exception, match="PipelineVersion of pipeline"):
        server.run_due(latest.recurring_run_id)
    with refused(500, "PipelineVersion"):
        make()


def test_the_pipeline_s_id_in_a_version_s_address_is_ignored(client, make):
    version = make().pipeline_version_reference.pipeline_version_id
    get = client.pipelines.pipeline_service_get_pipeline_version
    assert get("none", version).pipeline_version_id == version


def test_a_pipeline_with_versions_is_deleted_with_cascade_alone(server, make):
    address = f"{server.url}/apis/v2beta1/pipelines/{make().pipeline_version_reference.pipeline_id}"
    assert requests.delete(address, timeout=5).status_code == 400
    assert requests.delete(f"{address}?cascade=true", timeout=5).status_code == 200
    assert not server.store.versions


def test_a_run_s_life(server, client, make):
    run = make().run_id
    calls = client.runs
    with refused(409, "can't be retried"):
        calls.run_service_retry_run(run)
    server.set_state(run, "RUNNING")
    calls.run_service_terminate_run(run)
    with refused(400, "Row not found"):
        calls.run_service_terminate_run(run)
    assert calls.run_service_get_run(run).state == "CANCELING"
    ended = calls.run_service_get_run(run)
    assert ended.state == "FAILED"
    assert [each.state for each in ended.state_history] == ["PENDING", "RUNNING", "FAILED"]
    with refused(400, "Row not found"):
        calls.run_service_terminate_run(run)
    calls.run_service_retry_run(run)
    assert calls.run_service_get_run(run).state in ("PENDING", "RUNNING", "SUCCEEDED")
    calls.run_service_archive_run(run)
    assert calls.run_service_get_run(run).storage_state == "ARCHIVED"
    calls.run_service_unarchive_run(run)
    calls.run_service_delete_run(run)
    with refused(404, "Run .* not found"):
        calls.run_service_get_run(run)


def test_what_is_asked_for_again_and_again_succeeds(client, make):
    run = make().run_id
    states = [client.runs.run_service_get_run(run).state for _ in range(4)]
    assert states == ["PENDING", "RUNNING", "SUCCEEDED", "SUCCEEDED"]


def test_a_server_that_restarts_has_all_that_it_had(server, client, make):
    run = make().run_id
    server.go_down()
    server.come_up()
    assert client.runs.run_service_get_run(run).run_id == run


# The API


def test_every_call_of_the_generated_clients_is_served_but_for_those_that_are_known_not_to_be(server):
    unknown = set()
    for method, path in calls_of("pipeline", "pipeline_upload", "experiment", "run", "recurring_run", "healthz"):
        answer = requests.request(method, f"{server.url}/apis/v2beta1{re.sub('{.*?}', 'x', path)}", json={}, timeout=5)
        if answer.status_code == 501:
            unknown.add((method, path))
    assert unknown == _NOT_SERVED


def test_answers_have_no_field_that_the_api_has_not(server, client, make):
    recurring = make(True)
    run = make()
    server.set_state(run.run_id, "FAILED", "no", [{"task_id": "1", "display_name": "a", "child_tasks": []}])
    kinds = {
        "pipelines": "V2beta1ListPipelinesResponse",
        f"pipelines/{run.pipeline_version_reference.pipeline_id}": "V2beta1Pipeline",
        f"pipelines/{run.pipeline_version_reference.pipeline_id}/versions": "V2beta1ListPipelineVersionsResponse",
        "experiments": "V2beta1ListExperimentsResponse",
        "runs": "V2beta1ListRunsResponse",
        f"runs/{run.run_id}": "V2beta1Run",
        "recurringruns": "V2beta1ListRecurringRunsResponse",
        f"recurringruns/{recurring.recurring_run_id}": "V2beta1RecurringRun",
    }
    for path, kind in kinds.items():
        answer = requests.get(f"{server.url}/apis/v2beta1/{path}", timeout=5).json()
        assert not list(unknown_fields(answer, kind)), path
        assert answer


def test_health_tells_the_version_that_a_test_wants():
    with KubeflowServer(version="2.14.0") as server:
        answer = requests.get(f"{server.url}/apis/v2beta1/healthz", timeout=5).json()
    # The generated clients don't know the first two.
    assert set(answer) == {"commit_sha", "tag_name", "multi_user", "pipeline_store"}
    assert answer["tag_name"] == "2.14.0"


def calls_of(*services: str) -> Iterator[tuple[str, str]]:
    for service in services:
        module = importlib.import_module(f"kfp_server_api.api.{service}_service_api")
        found = re.findall(r"'/apis/v2beta1(/[^']*)', '(\w+)'", inspect.getsource(module))
        assert found
        yield from ((method, path) for path, method in found)


def unknown_fields(value: object, kind: str) -> Iterator[str]:
    """Yields what of an answer isn't in the API's definition of its kind."""
    if listed := re.fullmatch(r"list\[(.*)\]", kind):
        for each in value:
            yield from unknown_fields(each, listed[1])
    elif mapped := re.fullmatch(r"dict\(\w+, (.*)\)", kind):
        for each in value.values():
            yield from unknown_fields(each, mapped[1])
    elif isinstance(value, dict) and kind != "object":
        model = getattr(api, kind)
        fields = {model.attribute_map[name]: of for name, of in model.openapi_types.items()}
        for key, each in value.items():
            if key not in fields:
                yield f"{kind}.{key}"
            else:
                yield from unknown_fields(each, fields[key])


@pytest.mark.parametrize("page", ["ci.md", "kubeflow.md"])
def test_as_the_program_that_the_page_shows_it_serves_until_it_is_stopped(page, tmp_path):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (line,) = re.findall(r"^\.venv/bin/python (-m tests\.servers\.kubeflow .*)$", text, re.MULTILINE)
    command = [sys.executable, *line.replace("--port 8888", "--port 0").split(), f"--runs={tmp_path}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        try:
            url = program.stdout.readline().strip()
            assert requests.get(f"{url}/apis/v2beta1/pipelines", timeout=10).status_code == 200
        finally:
            program.terminate()
        assert program.wait(10) == 0
