"""`pipeyard build --until`: one build in steps of a CI server, each of which leaves what the next one needs."""

import json

import click
import pytest
from support.small_repository import Repository

from pipeyard.errors import PipeyardError

ENVIRONMENTS = """\
environments:
  local: {target: local, pipeline_root: runs}
  test:
    target: kfp
    host: http://127.0.0.1:1
    bucket: gs://bucket
    pipeline_root: gs://bucket/runs
    registry: REGISTRY
"""


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path)
    yield made
    made.registry.close()


def _pushed(repository: Repository) -> set[str]:
    return {name for name, _ in repository.registry.manifests if name.startswith("team/")}


def test_building_tests_and_keeps_images_and_pushes_none(repository):
    done = repository.build("--until", "build", "--json", tests=True)
    assert done.exit_code == 0, done.exception
    assert _pushed(repository) == set()
    assert {call[0] for call in repository.docker.calls} == {"build"}
    assert sum("--target" in call for call in repository.docker.calls) == 2
    assert [each["built"] for each in json.loads(done.stdout)["images"]] == [True, True]
    assert not (repository.root / "dist" / "components").exists()


def test_images_that_others_are_built_on_are_pushed_by_content_alone(repository):
    repository.write("images/arrow/Dockerfile", "ARG PYTHON_IMAGE=python\nFROM ${PYTHON_IMAGE}\n")
    repository.write("images/arrow/src/a.py", "")
    path = repository.root / "components/show/Dockerfile"
    repository.write("components/show/Dockerfile", path.read_text().replace("PYTHON_IMAGE", "ARROW_IMAGE"))
    repository.commit("on arrow")
    done = repository.build("--until", "build")
    assert done.exit_code == 0, done.exception
    assert _pushed(repository) == {"team/arrow"}
    assert not any(tag == repository.head for _, tag in repository.registry.manifests)


def test_pushing_tags_the_commit_and_renders_no_spec(repository):
    repository.build("--until", "build")
    done = repository.build("--until", "push", "--json")
    assert done.exit_code == 0, done.exception
    for name in ("count", "show"):
        assert ("team/" + name, repository.head) in repository.registry.manifests
    assert not repository.lock.exists()
    assert "no images were built" in str(repository.compile().exception)


def test_rendering_after_the_push_builds_nothing_and_says_the_same_digests(repository):
    repository.build("--until", "build")
    pushed = {each["image"] for each in json.loads(repository.build("--until", "push", "--json").stdout)["images"]}
    calls = len(repository.docker.calls)
    assert repository.build().exit_code == 0
    assert len(repository.docker.calls) == calls
    assert {repository.spec_image(name) for name in ("count", "show")} == pushed
    assert repository.compile().exit_code == 0


def test_with_nothing_changed_no_step_builds(repository):
    for until in ("build", "push", "specs"):
        repository.build("--until", until)
    calls = len(repository.docker.calls)
    told = json.loads(repository.build("--until", "build", "--json").stdout)
    assert [each["built"] for each in told["images"]] == [False, False]
    assert len(repository.docker.calls) == calls


def test_a_failing_push_fails_that_step_and_tags_nothing(repository):
    assert repository.build("--until", "build").exit_code == 0
    repository.registry.refuses = 403
    done = repository.build("--until", "push")
    assert isinstance(done.exception, PipeyardError)
    assert "403" in str(done.exception)
    assert _pushed(repository) == set()


def test_the_registry_may_be_an_environment_s(repository):
    host = repository.registry.host
    repository.write("settings.yaml", ENVIRONMENTS.replace("REGISTRY", f"{host}/team"))
    repository.commit("environments")
    done = repository.build("--registry", "", "--env", "test")
    assert done.exit_code == 0, done.exception
    assert repository.spec_image("show").startswith(f"{host}/team/show@")


@pytest.mark.parametrize(
    ("options", "told"),
    [([], "Give --registry HOST/PATH, or --env"), (["--env", "local"], "The environment local has no registry")],
)
def test_without_a_registry_it_says_how_to_give_one(repository, options, told):
    done = repository.build("--registry", "", *options)
    assert done.exit_code == click.UsageError.exit_code
    assert told in done.stderr
