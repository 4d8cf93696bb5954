"""All images of this repository, built from nothing, and a pipeline whose steps run in them."""

import json
import subprocess
from pathlib import Path

import pytest
from projects import PIPEYARD, finished

from pipeyard.packages import component_specs
from pipeyard.repository import project
from pipeyard.repository.dependency_graph import loaded_components
from pipeyard.runs.record import Run, State

ROOT = Path(__file__).parents[2]
COMPONENTS = sorted(project.find(ROOT).components)

# What an image of a component has besides the component; and whether it can write where it shouldn't.
LOOK = """
import json, os, pathlib, shutil, sys
caches = ["/root/.cache", "/tmp/.cache", "/var/lib/apt/lists", "/var/cache/apt/archives", "/opt/venv/.cache"]
found = [folder for folder in caches if any(path.is_file() for path in pathlib.Path(folder).glob("**/*"))]
programs = [name for name in ("gcc", "cc", "g++", "clang", "make", "uv") if shutil.which(name)]
site = pathlib.Path(sys.prefix).glob("lib/python3*/site-packages")
cuda = [path.name for folder in site for path in folder.glob("nvidia*")]
writable = [folder for folder in ("/", "/app", "/opt/venv", "/usr/local") if os.access(folder, os.W_OK)]
print(json.dumps({"caches": found, "programs": programs, "cuda": cuda, "writable": writable, "user": os.getuid()}))
"""


pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="session")
def whole(begun):
    """A copy of this repository, and its build from nothing."""
    copy, process = begun
    built = finished(process)
    assert built.code == 0, built.said
    return copy, built


def _repository(name):
    return f"whole/{name}"


def test_everything_is_built_and_published(whole, registry):
    copy, built = whole
    assert sorted(built.images) == COMPONENTS
    for name, image in built.images.items():
        assert image["built"]
        assert sorted(registry.tags(_repository(name))) == sorted([copy.head, image["content_tag"]])
        assert registry.missing(_repository(name)) == []


def test_specs_differ_in_their_images_alone_and_the_work_tree_is_clean(whole):
    copy, built = whole
    for name, image in built.images.items():
        path = Path("components") / name / "component.yaml"
        committed, rendered = ((copy.folder / place / path).read_text(encoding="utf-8") for place in (".", "dist"))
        old = component_specs.image_of(copy.folder / path)
        new = f"{image['repository']}@{image['digest']}"
        assert [
            pair for pair in zip(committed.splitlines(), rendered.splitlines(), strict=True) if len(set(pair)) > 1
        ] == [(f"    image: {old}", f"    image: {new}")]
    assert copy.git("status", "--porcelain") == ""


@pytest.mark.parametrize("name", COMPONENTS)
def test_an_image_says_what_it_is_and_ran_its_tests(whole, registry, name):
    copy, built = whole
    config = registry.config(_repository(name), copy.head)["config"]
    assert int(config["User"]) > 0
    assert not config.get("Entrypoint")
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == name
    assert labels["org.opencontainers.image.revision"] == copy.head
    assert labels["dev.pipeyard.source"] == built.images[name]["source"]
    assert len(labels["dev.pipeyard.spec"]) == 64
    log = (copy.folder / "dist" / "logs" / f"{name}.log").read_text(encoding="utf-8")
    assert f"RUN python -m pytest -p no:cacheprovider -o tmp_path_retention_policy=failed components/{name}" in log
    assert "[100%]" in log


@pytest.mark.parametrize("name", COMPONENTS)
def test_an_image_holds_no_more_than_it_needs_and_runs_without_rights(whole, engine, name):
    _, built = whole
    image = f"{built.images[name]['repository']}@{built.images[name]['digest']}"

    def run(*command):
        return engine.client.containers.run(
            image,
            command,
            network_mode="none",
            read_only=True,
            tmpfs={"/tmp": "mode=1777"},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            remove=True,
        )

    look = json.loads(run("python", "-c", LOOK))
    assert look == {"caches": [], "programs": [], "cuda": [], "writable": [], "user": 65532}
    assert b"usage: " in run("python", "-m", name, "--help")


def test_sizes_are_told_and_within_the_goals(whole):
    _, built = whole
    sizes = {name: image["disk_bytes"] for name, image in built.images.items()}
    goals = built.summary["disk_goals"]
    over = {name: size for name, size in sizes.items() if size > goals.get(name, goals["each"])}
    assert over == {}
    assert max(sizes.values()) < built.summary["disk_bytes"] <= goals["together"]


def _run(copy, *options):
    done = subprocess.run(
        [
            str(PIPEYARD),
            "run",
            "chicago_taxi",
            "--no-cache",
            "--no-check",
            "--param=epochs=2",
            "--json",
            f"--project={copy.folder}",
            *options,
        ],
        cwd=copy.folder,
        env={key: value for key, value in copy.variables.items() if key != "COMMIT_SHA"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    run = Run.model_validate_json(done.stdout)
    assert {task.state for task in run.tasks} == {State.SUCCEEDED}
    return run


def _metrics(run):
    task = next(task for task in run.tasks if task.component == "evaluate")
    return json.loads(Path(task.output_artifacts["metrics"].uri).read_text(encoding="utf-8"))


def test_chicago_taxi_in_containers_has_the_metrics_that_it_has_on_the_host(whole):
    copy, built = whole
    contained = _run(copy, "--runner=docker", "--network=host")
    images = {task.component: task.image for task in contained.tasks}
    loaded = loaded_components(ROOT / "pipelines/chicago_taxi/pipeline.py", COMPONENTS)
    assert images == {name: f"{built.images[name]['repository']}@{built.images[name]['digest']}" for name in loaded}
    found = _metrics(contained)
    assert found["AUC"] > 0.7
    on_host = _metrics(_run(copy))
    champion = on_host.pop("baseline")
    assert on_host == found
    del found["analysis"]  # of a candidate alone
    assert champion == found  # what ran in containers has deployed the champion
    assert list((copy.folder / "serving" / "chicago_taxi").iterdir())
