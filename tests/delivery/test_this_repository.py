"""This very commit of this repository, delivered by its own cloudbuild.yaml and settings.yaml, unchanged.

Its images are built from nothing, and Kubeflow Pipelines runs those. Only what a build is given says that the registry,
the bucket and the server are on this machine.
"""

import dataclasses
import functools
import json
import subprocess
from pathlib import Path

import fsspec
import pytest
import yaml
from servers.kubeflow import KubeflowServer
from servers.kubeflow.execution import LocalRunner
from servers.storage import BUCKET
from shop import DATA, PIPEYARD, ROOT, Ended, states, substitutions, versions

from pipeyard.local import containers
from pipeyard.local import engine as engines
from pipeyard.repository import project
from pipeyard.repository.dependency_graph import loaded_components
from pipeyard.repository.project import last_segment

pytestmark = [pytest.mark.whole_delivery, pytest.mark.timeout(7200)]

PREFIX = "pipeyard"
COMPONENTS = sorted(project.find(ROOT).components)
# What settings.yaml has in the environment that is delivered to; and what those load.
PIPELINES = sorted(yaml.safe_load((ROOT / "settings.yaml").read_text())["environments"]["test"]["pipelines"])
LOADED = sorted(
    set().union(*(loaded_components(ROOT / "pipelines" / name / "pipeline.py", COMPONENTS) for name in PIPELINES))
)


@dataclasses.dataclass(frozen=True)
class Place:
    """A clone, and the servers that it is delivered to."""

    clone: Path
    server: KubeflowServer
    bucket: fsspec.AbstractFileSystem
    given: dict[str, str]
    variables: dict[str, str]

    @property
    def commit(self) -> str:
        return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=self.clone, text=True).strip()

    def deliver(self) -> Ended:
        """As the trigger of main would."""
        options = ("--trigger", "main", "--ref", "main", *substitutions(self.given))
        command = [str(PIPEYARD), "ci", "run", "--json", *options]
        done = subprocess.run(
            command, cwd=self.clone, env=self.variables, check=False, stdout=subprocess.PIPE, text=True
        )
        return Ended.of(done)

    @property
    def objects(self) -> dict[str, str]:
        """Object to its generation."""
        return {name: str(each.get("generation")) for name, each in self.bucket.find(BUCKET, detail=True).items()}


@pytest.fixture(scope="module")
def place(engine, registry, base_image, cloud_storage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    bucket = cloud_storage.files()
    bucket.put_file(str(DATA), f"{BUCKET}/data/chicago_taxi/{DATA.name}")
    docker = engines.Engine(engine.client)
    found = project.find(clone)

    def host(image: str):
        images = {last_segment(image): image}
        return dataclasses.replace(
            containers.image_hosts(found, images, docker, print)(image), env=cloud_storage.variables
        )

    runner = LocalRunner(
        folder / "kubeflow", functools.cache(host), launchers=functools.partial(containers.Containers, docker, "host")
    )
    with KubeflowServer(execute=runner) as server:
        given = {
            "_KFP_TEST_HOST": server.url,
            "_PIPELINE_BUCKET": BUCKET,
            "_IMAGE_REGISTRY": f"{registry.host}/{PREFIX}",
            # Containers get the folder of a database, too: one of its own, which pytest hasn't locked up.
            "_MLFLOW_URL": f"sqlite:///{folder}/models/registry.db",
            "_PYTHON_IMAGE": f"{registry.host}/{base_image}",
            "_BUILDER_OPTIONS": "--network=host",
            "_RUN": "chicago_taxi",
        }
        yield Place(clone, server, bucket, given, {**engine.variables, **cloud_storage.variables})


@pytest.fixture(scope="module")
def delivered(place) -> Ended:
    return place.deliver()


def test_the_commit_becomes_images_packages_versions_a_run_and_a_model(place, delivered, registry):
    assert delivered.status == "SUCCESS", delivered.said
    assert set(delivered.steps.values()) == {"SUCCESS"}
    for name in COMPONENTS:
        assert place.commit in registry.tags(f"{PREFIX}/{name}")
        assert registry.missing(f"{PREFIX}/{name}") == []
    for name in PIPELINES:
        uploaded = [key for key in place.objects if key.startswith(f"{BUCKET}/test/packages/{name}/{place.commit}")]
        assert any(key.endswith("/workflow.tar.gz") for key in uploaded), place.objects
    assert len(versions(place.server)) == len(PIPELINES)
    assert all(place.commit[:7] in each["name"] for each in versions(place.server))
    assert states(place.server) == ["SUCCEEDED"]
    assert f"{BUCKET}/test/serving/chicago_taxi/1/saved_model.pb" in place.objects
    text = json.dumps(versions(place.server), default=str)
    for name in LOADED:
        assert f"{registry.host}/{PREFIX}/{name}@sha256:" in text


def test_again_nothing_is_built_or_deployed(place, delivered, registry):
    tags = {name: registry.tags(f"{PREFIX}/{name}") for name in COMPONENTS}
    before = (versions(place.server), place.objects)
    ended = place.deliver()
    assert ended.status == "SUCCESS", ended.said
    assert (versions(place.server), place.objects) == before
    assert {name: registry.tags(f"{PREFIX}/{name}") for name in COMPONENTS} == tags
    for name in ("build-images", "push-images", "rewrite-specs"):
        assert "built" not in ended.log(name)
