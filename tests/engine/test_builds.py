"""Builds of a tiny project: what is built, what is reused, and what a commit's tag promises."""

from concurrent.futures import ThreadPoolExecutor

from projects import finished
from tiny_project import COMPONENTS, dockerfile, unit_test, without_engine


def _digests(built):
    return {name: image["digest"] for name, image in built.images.items()}


def test_a_second_commit_of_the_same_content_gets_its_tag_without_an_engine(make_project, registry, tmp_path):
    project = make_project()
    first = project.build()
    assert first.code == 0, first.said
    assert all(image["built"] for image in first.images.values())
    before = project.head
    after = project.commit({"README.md": "Words.\n", "components/hello/tests/test_hello.py": unit_test() + "\n"})
    second = project.build(**without_engine(tmp_path))
    assert second.code == 0, second.said
    assert not any(image["built"] for image in second.images.values())
    assert _digests(second) == _digests(first)
    for name in COMPONENTS:
        repository = f"{project.prefix.split('/', 1)[1]}/{name}"
        content = second.images[name]["content_tag"]
        assert registry.tags(repository) == sorted([before, after, content])
        assert registry.missing(repository) == []


def test_a_changed_source_builds_its_image_alone(make_project):
    project = make_project()
    first = project.build()
    assert first.code == 0, first.said
    project.commit({"components/hello/src/hello/__main__.py": "print('changed')\n"})
    second = project.build()
    assert {name: image["built"] for name, image in second.images.items()} == {"hello": True, "world": False}
    assert _digests(second)["world"] == _digests(first)["world"]
    assert _digests(second)["hello"] != _digests(first)["hello"]


def test_two_builds_of_one_commit_at_once_publish_the_same(make_project, registry, tmp_path):
    project = make_project()
    started = [project.start_build(f"--output={tmp_path / name}") for name in ("one", "two")]
    with ThreadPoolExecutor() as pool:
        one, two = pool.map(finished, started)
    assert (one.code, two.code) == (0, 0), one.said + two.said
    assert _digests(one) == _digests(two)
    assert _spec(tmp_path / "one", "hello") == _spec(tmp_path / "two", "hello")
    for name in COMPONENTS:
        assert registry.missing(f"{project.prefix.split('/', 1)[1]}/{name}") == []


def _spec(dist, name):
    return (dist / "components" / name / "component.yaml").read_text(encoding="utf-8")


def test_a_rendered_spec_differs_in_its_image_and_the_work_tree_stays_clean(make_project):
    project = make_project()
    built = project.build()
    assert built.code == 0, built.said
    for name in COMPONENTS:
        committed = (project.folder / "components" / name / "component.yaml").read_text(encoding="utf-8")
        image = built.images[name]
        rendered = committed.replace(f"tiny/{name}:dev", f"{image['repository']}@{image['digest']}")
        assert _spec(project.folder / "dist", name) == rendered != committed
    assert project.git("status", "--porcelain") == ""


def test_an_image_whose_tests_fail_is_not_published(make_project, registry):
    project = make_project()
    project.commit({"components/hello/tests/test_hello.py": unit_test(passes=False)})
    built = project.build()
    assert built.code == 1
    assert "building" in built.said
    assert "AssertionError: False is not true" in built.said
    assert project.published() == []
    assert registry.tags(f"{project.prefix.split('/', 1)[1]}/hello") == []


def test_the_images_run_as_pipelines_steps_do(make_project, engine):
    project = make_project()
    project.commit({"components/hello/Dockerfile": dockerfile("hello", "echo made > /made")})
    built = project.build()
    assert built.code == 0, built.said
    image = built.images["hello"]
    name = f"{image['repository']}@{image['digest']}"
    said = engine.client.containers.run(
        name,
        ["python", "-m", "hello", "--text", "there"],
        network_mode="host",
        read_only=True,
        remove=True,
    )
    assert said == b"hello there\n"
    config = engine.client.images.get(name).attrs["Config"]
    assert config["User"] == "65532"
    assert config["Labels"]["org.opencontainers.image.revision"] == project.head
    assert config["Labels"]["dev.pipeyard.source"] == image["source"]
