"""From a commit to a model that is served: the whole flow, with real images, on real data, and where it must stop."""

import json
import resource
import urllib.request

import pytest
import yaml
from shop import COMPONENTS, PIPELINE, ROOT, Ended, states, versions

from pipeyard.ci import cloudbuild

ALL = [
    *("copy-source", "toolchain", "unit-tests", "pylint", "advisories", "build-images", "push-images"),
    *("rewrite-specs", "compile", "upload", "deploy", "run"),
]
_NOT_BEGUN = ("QUEUED", "CANCELLED")


@pytest.fixture(scope="module")
def shop(make_shop):
    return make_shop("shop")


@pytest.fixture(scope="module")
def delivered(shop) -> Ended:
    """The first delivery."""
    return shop[0].deliver()


def _versions(server) -> list[str]:
    """Names of the versions of the pipeline, oldest first."""
    return [each["name"] for each in versions(server)]


def _worked() -> float:
    """Seconds of CPU that programs which this one started have taken until they ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _objects(storage, prefix: str) -> set[str]:
    bucket, _, folder = prefix.removeprefix("gs://").partition("/")
    with urllib.request.urlopen(f"{storage.url}/storage/v1/b/{bucket}/o?prefix={folder}/") as answer:
        return {each["name"] for each in json.load(answer).get("items", [])}


def test_what_is_executed_is_this_repository_s_flow(shop):
    for name in cloudbuild.FILES.values():
        here, there = yaml.safe_load((ROOT / name).read_text(encoding="utf-8")), yaml.safe_load(shop[0].text(name))
        limits = [build.pop("timeout") for build in (here, there)]
        limits += [step.pop("timeout") for build in (here, there) for step in build["steps"]]
        assert all(limits)
        _without_settings(here)
        assert here == there


def _without_settings(build: dict) -> None:
    """Takes out what comes from settings.yaml: variables, and secrets of environments."""
    build.pop("availableSecrets", None)
    for entry in build["options"].pop("env", []):
        build["substitutions"].pop(f"_{entry.partition('=')[0]}")
    for step in build["steps"]:
        step.pop("secretEnv", None)


def test_a_commit_becomes_images_a_package_a_version_a_run_and_a_model(shop, delivered, registry, cloud_storage):
    project, server = shop
    assert delivered.status == "SUCCESS", delivered.said
    assert list(delivered.steps) == ALL
    assert set(delivered.steps.values()) == {"SUCCESS"}
    commit = project.head
    for name in COMPONENTS:
        assert commit in registry.tags(f"shop/{name}")
        assert registry.missing(f"shop/{name}") == []
        labels = registry.config(f"shop/{name}", commit)["config"]["Labels"]
        assert labels["org.opencontainers.image.revision"] == commit
    objects = _objects(cloud_storage, project.places.bucket)
    assert any(commit in name and name.endswith("/workflow.tar.gz") for name in objects), objects
    (version,) = _versions(server)
    assert commit[:7] in version
    assert states(server) == ["SUCCEEDED"]
    assert project.served() == ["1"]
    model = json.loads((project.places.folder / "serving/1/model.json").read_text(encoding="utf-8"))
    assert 0 < model["mile"] < 5  # dollars, of rides of which many are noted with no miles
    # The images that run are those that were pushed, and what is in git stayed as it was.
    assert project.git("status", "--porcelain") == ""
    assert project.git("-C", "runs/.ci/workspace", "status", "--porcelain") == ""
    assert project.git("-C", "runs/.ci/workspace", "rev-parse", "HEAD").strip() == commit
    text = json.dumps(versions(server), default=str)
    for name in COMPONENTS:
        assert f"{registry.host}/shop/{name}@sha256:" in text


def test_with_nothing_changed_nothing_is_built_or_deployed(shop, delivered, registry, cloud_storage):
    project, server = shop
    before = (_versions(server), _objects(cloud_storage, project.places.bucket))
    start = _worked()
    ended = project.deliver()
    assert ended.status == "SUCCESS", ended.said
    assert min(ended.seconds, _worked() - start) < 60  # of work: twice what an idle machine needs
    assert (_versions(server), _objects(cloud_storage, project.places.bucket)) == before
    for name in ("unit-tests", "pylint"):
        assert "passed before on this content" in ended.log(name)
    for name in ("build-images", "push-images", "rewrite-specs"):
        assert "built" not in ended.log(name)
        assert "reused" in ended.log(name)


def test_a_commit_of_other_content_is_a_second_version_with_one_new_image(shop, delivered, registry):
    project, server = shop
    first = project.head
    text = project.text("components/push/src/push/__main__.py")
    second = project.commit({"components/push/src/push/__main__.py": text + "\n# Served by number.\n"})
    ended = project.deliver(run="")
    assert ended.status == "SUCCESS", ended.said
    names = _versions(server)
    assert len(names) == 2
    assert second[:7] in names[-1]
    assert registry.manifest("shop/train", first) == registry.manifest("shop/train", second)
    assert registry.manifest("shop/push", first) != registry.manifest("shop/push", second)
    assert len({each["pipeline_id"] for each in versions(server)}) == 1


FAULTS = {
    "unit-tests": ("components/train/tests/test_train.py", "assertEqual(error, 0)", "assertEqual(error, 1)"),
    "pylint": ("components/train/src/train/__main__.py", "fit(rides)\n    for", "fit(rows_of(rides))\n    for"),
    "build-images": ("components/train/Dockerfile", "WORKDIR /app", "WORKDIR /app\nRUN exit 3"),
}


@pytest.mark.parametrize("step", FAULTS)
def test_what_is_wrong_with_the_source_stops_it_before_anything_is_pushed(make_shop, registry, cloud_storage, step):
    project, server = make_shop(f"faulty-{step}")
    name, was, now = FAULTS[step]
    text = project.text(name)
    assert was in text
    project.commit({name: text.replace(was, now)})
    ended = project.deliver()
    assert ended.code == 1
    assert ended.status == "FAILURE", ended.said
    assert ended.steps[step] == "FAILURE", ended.steps
    assert all(ended.steps[each] in _NOT_BEGUN for each in ALL[ALL.index("push-images") :]), ended.steps
    assert _versions(server) == []
    for each in COMPONENTS:
        assert registry.tags(f"faulty-{step}/{each}") == []
    assert _objects(cloud_storage, project.places.bucket) == set()


def test_a_registry_that_refuses_stops_it_at_the_push_and_when_it_is_mended_all_goes_through(
    make_shop, bad_registry, registry, cloud_storage
):
    project, server = make_shop("refused", bad_registry.host)
    bad_registry.break_down("manifests are refused")
    ended = project.deliver()
    assert ended.status == "FAILURE", ended.said
    assert {name for name, status in ended.steps.items() if status == "FAILURE"} == {"push-images"}
    assert all(ended.steps[name] == "QUEUED" for name in ALL[ALL.index("rewrite-specs") :])
    assert "pushing" in ended.log("push-images")
    assert (_versions(server), _objects(cloud_storage, project.places.bucket)) == ([], set())
    assert not any(project.head in registry.tags(f"refused/{name}") for name in COMPONENTS)
    bad_registry.heal()
    ended = project.deliver(run="")
    assert ended.status == "SUCCESS", ended.said
    assert len(_versions(server)) == 1


def test_a_parameter_with_a_typo_stops_it_with_file_line_and_near_miss_before_anything_is_built(shop, delivered):
    project, server = shop
    before = (_versions(server), len(states(server)))
    good = project.text("settings.yaml")
    project.commit({"settings.yaml": good.replace("          source:", "          sauce:", 1)})
    try:
        ended = project.deliver()
    finally:
        project.commit({"settings.yaml": good})
    assert ended.status == "FAILURE", ended.said
    assert ended.steps["toolchain"] == "FAILURE"
    assert {ended.steps[name] for name in ALL[ALL.index("unit-tests") :]} == {"QUEUED"}
    line = good[: good.index("          source:")].count("\n") + 1
    log = ended.log("toolchain")
    assert f"settings.yaml:{line}: the pipeline has no parameter 'sauce'. Did you mean 'source'?" in log
    assert (_versions(server), len(states(server))) == before


def test_a_run_that_fails_fails_the_build_with_the_step_and_its_log(make_shop):
    project, server = make_shop("failing-run")
    settings = project.text("settings.yaml")
    project.commit({"settings.yaml": settings.replace("/data.csv", "/no-such.csv")})
    ended = project.deliver()
    assert {name for name, status in ended.steps.items() if status != "SUCCESS"} == {"run"}, ended.said
    assert len(_versions(server)) == 1
    assert states(server) == ["FAILED"]
    assert "train" in ended.log("run")
    assert "/k8s/pod/logs" in ended.log("run")
    assert project.served() == []


def test_branches_are_tested_and_compiled_and_reach_nothing(make_shop, registry, cloud_storage):
    project, server = make_shop("branch")
    project.git("checkout", "--quiet", "-b", "feature")
    ended = project.deliver("--trigger", "development")
    assert ended.status == "SUCCESS", ended.said
    assert list(ended.steps) == ["copy-source", "toolchain", "unit-tests", "pylint", "advisories", "compile"]
    assert f"dist/{PIPELINE}/workflow.tar.gz" in ended.log("compile")
    assert server.requests == []
    assert registry.tags("branch/train") == []
    assert _objects(cloud_storage, project.places.bucket) == set()


def test_a_tag_goes_to_production_only_with_an_approval(shop, delivered):
    project, server = shop
    before = len(_versions(server))
    project.git("tag", "--force", "v1.0.0")
    ended = project.deliver("--trigger", "tag")
    assert ended.status == "FAILURE", ended.said
    (failed,) = [name for name, status in ended.steps.items() if status == "FAILURE"]
    assert failed in ("upload", "deploy")
    assert "approv" in ended.log(failed)
    assert len(_versions(server)) == before


def test_an_environment_that_isn_t_there_and_uncommitted_changes_stop_it_at_once(shop, delivered):
    project, _ = shop
    ended = project.deliver("--trigger", "main", "--substitution=_ENVIRONMENT=tets")
    assert ended.steps["toolchain"] == "FAILURE"
    assert "Did you mean 'test'?" in ended.log("toolchain")
    assert {ended.steps[name] for name in ALL[2:]} == {"QUEUED"}
    (project.folder / "new").write_text("", encoding="utf-8")
    try:
        ended = project.deliver("--file", "cloudbuild.yaml")
    finally:
        (project.folder / "new").unlink()
    assert ended.steps["copy-source"] == "FAILURE"
    assert "aren't committed" in ended.log("copy-source")


def test_the_trigger_definitions_say_what_a_push_starts(shop, delivered):
    project, _ = shop
    start = project.head
    project.commit({"docs/new.md": "Words.\n"})
    told = json.loads(
        project.pipeyard("ci", "starts", f"--since={start}", "--branch=main", "--json", check=True).stdout
    )
    assert not any(each["starts"] for each in told.values())
    project.commit({"components/train/src/train/more.py": ""})
    told = json.loads(
        project.pipeyard("ci", "starts", f"--since={start}", "--branch=main", "--json", check=True).stdout
    )
    assert [name for name, each in told.items() if each["starts"]] == ["main"]
