"""The tests' server of Kubeflow Pipelines keeps the rules of the real one. Asked through KFP's generated clients."""

import importlib
import inspect
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import kfp_server_api as api
import pytest
import requests
import yaml
from kubeflow_connections import connect
from servers.kubeflow import KubeflowServer, examples

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


def test_names_are_unique_and_limited(client, upload):
    create = client.pipelines.pipeline_service_create_pipeline
    create(api.V2beta1Pipeline(name="x" * 128))
    for name, status, told in [("x" * 129, 400, "longer than 128"), ("", 400, "is empty"), ("taxi", 409, "exists")]:
        with refused(status, told):
            create(api.V2beta1Pipeline(name=name))
    upload(examples.pipeline(), "x" * 127)
    with refused(400, "longer than 127"):
        upload(examples.pipeline(), "x" * 128)
    with refused(409, "exists"):
        upload(examples.pipeline(content="two"), "x" * 127)
    experiment = client.experiments.experiment_service_create_experiment
    experiment(api.V2beta1Experiment(display_name="x" * 128))
    with refused(400, "longer than 128"):
        experiment(api.V2beta1Experiment(display_name="x" * 129))


SPEC = yaml.safe_load(examples.pipeline())


@pytest.mark.parametrize(
    ("content", "file", "told"),
    [
        (archive(("./pipeline.yaml", examples.pipeline())), "x.tar.gz", "first member"),
        (archive(("manifest.json", "{}"), ("pipeline.yaml", examples.pipeline())), "x.tar.gz", "first member"),
        (archive(("pipeline.yaml", examples.pipeline()))[:-30], "x.tar.gz", "tarball"),
        (examples.pipeline(), "x.txt", "format"),
        ("", "x.yaml", "unknown template format"),
        ("a: b: c", "x.yaml", "unknown template format"),
        (json.dumps({**SPEC, "schemaVersion": "2.2.0"}), "x.json", "schemaVersion"),
        (json.dumps({**SPEC, "newField": 1}), "x.json", "unknown template format.*newField"),
        (json.dumps({**SPEC, "pipelineInfo": {"name": "Taxi"}}), "x.json", "lower case"),
        (b"\0" * (32 * 1024 * 1024 + 1), "x.yaml", "too large"),
    ],
)
def test_what_is_no_pipeline_is_refused(server, upload, content, file, told):
    with refused(400, told):
        upload(content, file=file)
    assert server.store.versions == {}


def test_uploads_in_each_form_with_tags(upload):
    plain = upload(examples.pipeline(), "plain", tags='{"commit": "1"}')
    packed = upload(archive(("pipeline.yaml", examples.pipeline()), ("x", "y")), "packed", "x.tar.gz")
    assert plain.pipeline_spec == packed.pipeline_spec == SPEC
    assert plain.tags == {"commit": "1"}
    with refused(400, "has a dot"):
        upload(examples.pipeline(), "dotted", tags='{"a.b": "1"}')
    with refused(400, "Failed to create a pipeline version"):
        upload(examples.pipeline(), "lost", pipelineid="none")
    platform = upload(examples.pipeline() + "---\nplatforms: {kubernetes: {}}\n", "platform")
    assert platform.pipeline_spec["platform_spec"] == {"platforms": {"kubernetes": {}}}


# Lists


def test_lists_come_in_pages_filtered_and_in_order(client, upload):
    pipeline = upload(examples.pipeline(), "0").pipeline_id
    for name in "123":
        upload(examples.pipeline(content=name), name)
    listed = client.pipelines.pipeline_service_list_pipeline_versions
    page = listed(pipeline, page_size=3, sort_by="name desc")
    assert [each.name for each in page.pipeline_versions] == ["3", "2", "1"]
    assert page.total_size == 4
    last = listed(pipeline, page_size=3, sort_by="name desc", page_token=page.next_page_token)
    assert [each.name for each in last.pipeline_versions] == ["0"]
    assert last.next_page_token is None
    wanted = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": "2"}]})
    assert [each.name for each in listed(pipeline, filter=wanted).pipeline_versions] == ["2"]
    with refused(400, "is of another list"):
        listed(pipeline, page_token=page.next_page_token)
    with refused(400, "isn't one"):
        listed(pipeline, page_token="x")
    with refused(400, "isn't one"):
        listed(pipeline, filter="x")
    with refused(400, "no order"):
        listed(pipeline, sort_by="color")


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
        ({"experiment_id": None}, 400, "the experiment is missing"),
        ({"display_name": None}, 400, "name"),
        ({"runtime_config": None}, 400, "epochs is required"),
        ({"runtime_config": {"parameters": {"epochs": True}}}, 400, "requires type NUMBER_INTEGER"),
        ({"runtime_config": {"parameters": {"epochs": 1.5}}}, 400, "requires type NUMBER_INTEGER"),
        ({"pipeline_version_reference": None}, 400, "has to be given"),
        ({"pipeline_spec": SPEC}, 400, "either"),
        ({"pipeline_version_reference": {"pipeline_version_id": "none"}}, 404, "PipelineVersion none"),
    ],
)
def test_runs_that_are_refused(make, repeated, changes, status, told):
    with refused(status, told):
        make(repeated, **changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"max_concurrency": "0"}, "at least 1 and at most 10"),
        ({"max_concurrency": "11"}, "at least 1 and at most 10"),
        ({"trigger": None}, "no schedule"),
        ({"trigger": {"cron_schedule": {"cron": "0 3 * *"}}}, "not a supported format"),
        ({"trigger": {"cron_schedule": {"cron": "0 0 3 * * 7"}}}, "not a supported format"),
        ({"trigger": {"cron_schedule": {"cron": "0 0 25 * * *"}}}, "not a supported format"),
    ],
)
def test_schedules_that_are_refused(make, changes, told):
    with refused(400, told):
        make(True, **changes)


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


def test_an_archived_experiment_takes_no_runs_and_turns_schedules_off(server, client, make):
    made = make(True)
    client.experiments.experiment_service_archive_experiment(made.experiment_id)
    with refused(400, "is archived"):
        make()
    assert server.store.recurring_runs[made.recurring_run_id]["status"] == "DISABLED"
    client.experiments.experiment_service_unarchive_experiment(made.experiment_id)
    assert make().state == "PENDING"


def test_a_run_s_life(client, make):
    run = make().run_id
    calls = client.runs
    with refused(400, "can't be retried"):
        calls.run_service_retry_run(run)
    calls.run_service_terminate_run(run)
    assert calls.run_service_get_run(run).state == "CANCELED"
    with refused(400, "has ended"):
        calls.run_service_terminate_run(run)
    calls.run_service_retry_run(run)
    assert calls.run_service_get_run(run).state in ("RUNNING", "SUCCEEDED")
    calls.run_service_archive_run(run)
    assert calls.run_service_get_run(run).storage_state == "ARCHIVED"
    calls.run_service_unarchive_run(run)
    calls.run_service_delete_run(run)
    with refused(404, "Run .* not found"):
        calls.run_service_get_run(run)


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
        "healthz": "V2beta1GetHealthzResponse",
    }
    for path, kind in kinds.items():
        answer = requests.get(f"{server.url}/apis/v2beta1/{path}", timeout=5).json()
        assert not list(unknown_fields(answer, kind)), path
        assert answer or path == "healthz"


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
