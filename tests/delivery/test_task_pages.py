"""docs/tasks/: each page followed to its end, with an engine, a registry and servers of this machine.

What is Google's own is a program that notes what it is asked.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from engine.sandbox import programs
from servers.scheduler import SchedulerServer
from servers.storage import BUCKET
from servers.vertex import PROJECT, REGION, VertexServer
from shop import DATA, PIPELINE, PIPEYARD, ROOT, states, versions
from support.statistics_artifacts import artifact
from task_pages import OF_SERVING, Walk, stand_in, terminal

from pipeyard.triggers import statistics
from stepkit import served

PAGES = (
    KUBEFLOW := "tasks/first-deploy-to-kubeflow.md",
    VERTEX := "tasks/first-deploy-to-vertex.md",
    CLOUD_BUILD := "tasks/deploy-from-cloud-build.md",
    SCHEDULE := "tasks/run-on-a-schedule.md",
    NEW_FILES := "tasks/run-on-new-files.md",
    DRIFT := "tasks/retrain-when-data-drifts.md",
)

# What `gcloud storage cp FILE URI` does.
_UPLOAD = """\
[ "$1 $2" = "storage cp" ] || exit 0
path=${4#gs://}
to="$STORAGE_EMULATOR_HOST/upload/storage/v1/b/${path%%/*}/o?uploadType=media&name=${path#*/}"
curl -sS --fail -o /dev/null --data-binary "@$3" "$to"
"""


def _settings(folder: Path, vertex: VertexServer) -> dict:
    """Returns settings with the environments and variables of this repository's that pages speak of.

    Args:
        folder: for models and artifacts.
    """
    pipeline = {"parameters": {"source": str(DATA), "serving_uri": f"{folder}/serving"}}
    common = {"registry": "${IMAGE_REGISTRY}", "pipelines": {PIPELINE: pipeline}}
    kubeflow = {"target": "kfp", "pipeline_root": f"{folder}/artifacts", **common}
    cloud = {"target": "vertex", "host": vertex.url, "project": "${GCP_PROJECT}", "region": REGION, **common}
    variables = yaml.safe_load((ROOT / "settings.yaml").read_text(encoding="utf-8"))["variables"]
    bucket = "gs://${PIPELINE_BUCKET}/%s"
    return {
        "variables": variables,
        "environments": {
            "dev": {**kubeflow, "host": "${KFP_DEV_HOST}", "bucket": bucket % "dev/packages"},
            "test": {**kubeflow, "host": "${KFP_TEST_HOST}", "bucket": bucket % "test/packages"},
            "production": {
                **kubeflow,
                "host": "${KFP_PRODUCTION_HOST}",
                "bucket": bucket % "production/packages",
                "approval": "required",
            },
            "vertex": {
                **cloud,
                "bucket": bucket % "vertex/packages",
                "pipeline_root": bucket % "vertex/runs",
                "approval": "required",
            },
        },
    }


@pytest.fixture(scope="module")
def vertex():
    with VertexServer() as server:
        yield server


@pytest.fixture(scope="module")
def scheduler():
    with SchedulerServer() as server:
        yield server


@pytest.fixture(scope="module")
def shop(make_shop, vertex):
    """The small project with this repository's environments, as committed, and Kubeflow Pipelines."""
    project, server = make_shop("pages")
    settings = _settings(project.places.folder, vertex)
    project.commit(
        {
            "settings.yaml": yaml.safe_dump(settings),
            "pyproject.toml": "",
            "triggers/event/main.py": (ROOT / "triggers/event/main.py").read_text(encoding="utf-8"),
        }
    )
    for name in ("cloudbuild", "jenkins", "github"):
        project.pipeyard("ci", name, check=True)
    project.commit({})
    return project, server


@pytest.fixture(scope="module")
def walk(shop, vertex, scheduler, tmp_path_factory):
    """Somebody in the project's folder."""
    project, server = shop
    places = project.places
    own = tmp_path_factory.mktemp("programs")
    origin = tmp_path_factory.mktemp("origin")
    project.git("init", "--quiet", "--bare", str(origin))
    project.git("remote", "add", "origin", str(origin))
    project.git("push", "--quiet", "--set-upstream", "origin", "main")
    stand_in("gcloud", own, _UPLOAD)
    port = programs.free_port()
    toolchain = {"PIPEYARD_PYTHON_IMAGE": places.python_image, "PIPEYARD_BUILDER_OPTIONS": "--network=host"}
    given = "".join(f" -s {name.replace('PIPEYARD', '')}={value}" for name, value in toolchain.items())
    instead = {
        "https://kfp.example.com": server.url,
        "BUCKET": BUCKET,
        "PIPELINE_BUCKET": "PIPELINE_BUCKET",
        "HOST/PATH": places.registry,
        "projects/PROJECT/locations/REGION": f"projects/{PROJECT}/locations/{REGION}",
        "GCP_PROJECT=PROJECT": f"GCP_PROJECT={PROJECT}",
        "https://europe-west1-kfp.pkg.dev/PROJECT/pipelines": vertex.repository,
        "chicago_taxi": PIPELINE,
        "--target on_event": f"--target on_event --host 127.0.0.1 --port {port}",
        "http://localhost:8080": f"http://127.0.0.1:{port}",
        "--trigger main": f"--trigger main{given}",
        "trigger package": f"trigger --project {ROOT} package",  # it packs the toolchain, whose source is here
        "pipeyard sync": f"pipeyard sync --project {ROOT}",  # these components are here, too
        "components/": f"{ROOT}/components/",
        "pipelines/chicago_taxi/schema.pbtxt": f"{ROOT}/pipelines/chicago_taxi/schema.pbtxt",
        "--apply": f"--apply --api {scheduler.url}",
    }
    setup = {"TOOLCHAIN": str(PIPEYARD.parents[1]), **toolchain}
    walk = Walk(project.folder, instead, terminal(own, {**places.variables, **setup}), own)
    subprocess.run(["make", "setup"], cwd=project.folder, env=walk.variables, check=True)
    yield walk
    walk.stop()


@pytest.fixture(scope="module")
def on_kubeflow(walk):
    """The pipeline is deployed to Kubeflow Pipelines, as the first page says."""
    return walk.follow(KUBEFLOW)


def _asked(walk, what: str) -> list[str]:
    """Returns what Google's program was asked that begins so."""
    notes = Path(walk.variables["PATH"].partition(os.pathsep)[0]) / "gcloud.notes"
    return [line for line in notes.read_text(encoding="utf-8").splitlines() if line.startswith(what)]


def test_no_page_is_left_out():
    assert {f"tasks/{path.name}" for path in (ROOT / "docs/tasks").iterdir()} == {*PAGES, *OF_SERVING}


def test_first_deployment_to_kubeflow(shop, on_kubeflow):
    project, server = shop
    assert [project.head[:7] in each["name"] for each in versions(server)] == [True]
    assert states(server) == ["SUCCEEDED"]
    assert project.served() == ["1"]
    assert "SUCCEEDED" in on_kubeflow[-1][1]


def test_first_deployment_to_vertex(walk, shop, vertex):
    said = walk.follow(VERTEX)
    (template,) = vertex.templates
    (job,) = vertex.jobs.values()
    assert job["templateUri"] == f"{vertex.repository}/{template}"
    assert job["serviceAccount"].startswith("trainer@")
    assert "SUCCEEDED" in said[-1][1]
    # Approved before it was built anew: same content, nothing else to approve.
    assert shop[0].git("log", "-1", "--format=%s") == f"Approve {PIPELINE}\n"


def test_on_a_schedule(walk, shop, scheduler, on_kubeflow):
    _, server = shop
    said = walk.follow(SCHEDULE)
    plan = next(text for line, text in said if " plan " in line)
    assert "+ schedule" in plan and "0 9 * * 1" in plan
    first, second = [text for line, text in said if " deploy " in line]
    assert "schedule" in first
    assert any(each.startswith("POST") and "recurringruns" in each for each in server.requests)
    # In the end it is Cloud Scheduler's, and the server's is off.
    assert "schedule" in second
    (schedule,) = server.store.recurring_runs.values()
    assert schedule["status"] == "DISABLED"
    jobs = {name.rpartition("/")[2]: job for name, job in scheduler.jobs.items()}
    assert set(jobs) == {"pipeyard-dev-tick", f"pipeyard-dev-{PIPELINE}"}
    assert jobs[f"pipeyard-dev-{PIPELINE}"]["schedule"] == "0 9 * * 1"


def test_on_new_files(walk, shop, on_kubeflow):
    project, server = shop
    before = len(states(server))
    said = dict(walk.follow(NEW_FILES))
    trips = f"gs://{BUCKET}/incoming/{PIPELINE}/trips.csv"
    (run,) = list(server.store.runs.values())[before:]
    assert run["runtime_config"]["parameters"]["source"] == trips
    asked = next(text for line, text in said.items() if "--dry-run" in line)
    assert f"{PIPELINE}/new-trips: started" in asked
    answers = [json.loads(text)["told"][0]["code"] for line, text in walk.said if line.startswith("curl")]
    assert answers == ["started", "duplicate"]
    assert (project.folder / "dist/function/main.py").is_file()
    assert [line.split()[1] for line in _asked(walk, "")][-3:] == ["deploy", "buckets", "subscriptions"]


@pytest.fixture
def rides(cloud_storage, tmp_path):
    """In Cloud Storage: new rides, and a model that was trained when hardly a ride cost anything."""
    bucket = cloud_storage.files()
    version = f"{BUCKET}/dev/serving/{PIPELINE}/1"
    learned = Path(artifact(tmp_path, train={"fare": [(0.0, 0.5, 100)]}))
    bucket.put_file(str(learned / statistics.FILE), f"{version}/{served.STATISTICS}")
    bucket.pipe_file(f"{version}/{served.SAVED_MODEL}", b"")
    bucket.put_file(str(DATA), f"{BUCKET}/data/{PIPELINE}/newest.csv")


def test_when_data_drifts(walk, shop, on_kubeflow, rides):
    _, server = shop
    before = len(states(server))
    said = walk.follow(DRIFT)
    asked, fired, again = [text for line, text in said if " drift " in line]
    for told in (asked, fired):
        assert f"{PIPELINE}/drift: started" in told
        assert "fare (train): Kolmogorov-Smirnov" in told
    assert f"{PIPELINE}/drift: duplicate" in again
    assert len(states(server)) == before + 1
    recorded = said[-1][1].splitlines()[1:]
    assert [line.split()[2] for line in recorded] == ["started"]


def test_from_cloud_build(walk, shop, on_kubeflow):
    project, server = shop
    said = dict(walk.follow(CLOUD_BUILD))
    assert "Build SUCCESS" in next(text for line, text in said.items() if " ci run " in line)
    assert states(server)[-1] == "SUCCEEDED"
    assert len(versions(server)) == 1  # of the content that is deployed to dev; here both are one server
    assert project.git("ls-remote", "origin", "main").split()[0] == project.head
    imported = [line.rpartition("/")[2] for line in _asked(walk, "builds triggers import")]
    assert imported == ["development.yaml", "main.yaml", "tag.yaml"]
    starts = next(text for line, text in said.items() if " ci starts " in line)
    assert re.search(r"^main +starts ", starts, re.MULTILINE)
