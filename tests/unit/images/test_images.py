"""Names of images, what they are made of, which commit they are of, and the specs that name them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from support.scratch_git import commit, git

from pipeyard.errors import PipeyardError
from pipeyard.images import builders, image_lock, publisher, references, registry, shared, sizes
from pipeyard.packages import component_specs, dist_folder
from pipeyard.repository import changes, commits, dockerfiles, project
from pipeyard.system import retries

DIGEST = "sha256:" + "a" * 64

SPEC = """\
# A comment that stays.
name: one   # and this
implementation:
  container:
    image: pipeyard/one:dev  # kept too
    command: [echo]
"""

DOCKERFILE = """\
ARG PYTHON_IMAGE=python:3.11-slim
ARG TENSORFLOW_IMAGE=tensorflow:dev
FROM ${PYTHON_IMAGE} AS tools
COPY build/tool /tool
FROM ${TENSORFLOW_IMAGE} AS shipped
RUN --mount=type=bind,from=tools,source=/tool,target=/tool \\
    --mount=type=bind,source=components/one/uv.lock,target=/uv.lock \\
    --mount=type=cache,target=/cache /tool
COPY components/one/src src
FROM shipped AS test
COPY components/one/tests tests
RUN python -m pytest
FROM shipped
USER 65532
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python", ("docker.io", "library/python", "", "")),
        ("python:3.11-slim", ("docker.io", "library/python", "3.11-slim", "")),
        ("team/app", ("docker.io", "team/app", "", "")),
        ("127.0.0.1:5000/app:1", ("127.0.0.1:5000", "app", "1", "")),
        (f"eu-docker.pkg.dev/p/r/app:1@{DIGEST}", ("eu-docker.pkg.dev", "p/r/app", "1", DIGEST)),
    ],
)
def test_a_reference_is_read_as_docker_does(text, expected):
    found = references.parse(text)
    assert (found.registry, found.repository, found.tag, found.digest) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host.io/App", "'App' is no repository"),
        ("host.io/app:a b", "'a b' is no tag"),
        ("host.io/app@sha256:12", "is no digest"),
        ("", "is no repository"),
    ],
)
def test_what_is_no_reference_is_named(text, message):
    with pytest.raises(PipeyardError, match=message):
        references.parse(text)


@pytest.fixture
def tree(tmp_path):
    files = {
        "components/one/component.yaml": SPEC,
        "components/one/Dockerfile": DOCKERFILE,
        "components/one/pyproject.toml": "",
        "components/one/uv.lock": "",
        "components/one/src/one/step.py": "",
        "components/one/tests/test_one.py": "",
        "build/tool": "",
        "images/tensorflow/Dockerfile": "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\n",
        "pipelines/.keep": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def _dockerfile(tree):
    return dockerfiles.Dockerfile("one", tree / "components/one/Dockerfile", tree)


def test_an_image_is_made_of_what_its_shipped_stages_take(tree):
    assert _dockerfile(tree).inputs == [
        "build/tool",
        "components/one/Dockerfile",
        "components/one/src",
        "components/one/uv.lock",
    ]
    assert _dockerfile(tree).bases == {"PYTHON_IMAGE": "python", "TENSORFLOW_IMAGE": "tensorflow"}
    assert _dockerfile(tree).has_tests


def test_the_digest_follows_content_and_nothing_else(tree):
    before = _dockerfile(tree).digest({"PYTHON_IMAGE": "p@1"})
    assert _dockerfile(tree).digest({"PYTHON_IMAGE": "p@1"}) == before
    assert _dockerfile(tree).digest({"PYTHON_IMAGE": "p@2"}) != before
    (tree / "components/one/tests/test_one.py").write_text("x = 1\n", encoding="utf-8")
    cache = tree / "components/one/src/one/__pycache__"
    cache.mkdir()
    (cache / "step.pyc").write_bytes(b"1")
    assert _dockerfile(tree).digest({"PYTHON_IMAGE": "p@1"}) == before
    (tree / "components/one/src/one/step.py").write_text("x = 1\n", encoding="utf-8")
    assert _dockerfile(tree).digest({"PYTHON_IMAGE": "p@1"}) != before


@pytest.mark.parametrize(
    ("instruction", "message"),
    [("COPY gone /x", "takes 'gone', which isn't there"), ("ADD https://host/x /x", "can't be followed to files")],
)
def test_files_that_can_t_be_followed_are_refused(tree, instruction, message):
    (tree / "components/one/Dockerfile").write_text(f"FROM scratch\n{instruction}\n", encoding="utf-8")
    with pytest.raises(PipeyardError, match=message):
        _dockerfile(tree).digest({})


def test_a_base_that_nobody_can_pin_is_found(tree):
    path = tree / "components/one/Dockerfile"
    path.write_text(f"FROM python:3.11 AS a\nFROM b@{DIGEST}\nFROM a\nFROM scratch\n", encoding="utf-8")
    assert _dockerfile(tree).unpinned == ["python:3.11"]


def test_every_dockerfile_of_this_repository_can_be_followed():
    here = project.find(Path(__file__))
    for name, component in here.components.items():
        file = dockerfiles.Dockerfile(name, component.folder / "Dockerfile", here.root)
        assert f"components/{name}/src" in file.inputs
        assert not [path for path in file.inputs if path.endswith("tests")]
        assert file.has_tests
        assert file.unpinned == []
        assert len(file.digest({})) == 64


def test_a_rendered_spec_differs_by_its_image_alone():
    rendered = component_specs.with_image(SPEC, f"host/one@{DIGEST}")
    changed = [pair for pair in zip(SPEC.splitlines(), rendered.splitlines(), strict=True) if pair[0] != pair[1]]
    assert changed == [("    image: pipeyard/one:dev  # kept too", f"    image: host/one@{DIGEST}  # kept too")]


CONTAINER = "name: x  # kept\nimplementation:\n  container:\n    image: {}\n    command: [a]  # kept too\n"


@pytest.mark.parametrize(
    "written",
    [
        ">-\n      a/b:1",
        ">\n      a/b:1",
        "|\n      a/b:1\n",
        "'a/b:1'",
        '"a/b:1"  # of old',
        "&image a/b:1",
        "!!str a/b:1",
        "a/b:1  # of old",
        "\n      a/b:1",
    ],
)
def test_an_image_is_replaced_however_it_is_written(written):
    rendered = component_specs.with_image(CONTAINER.format(written), f"host/one@{DIGEST}")
    comment = "  # of old" if "#" in written else ""
    lines = [line for line in rendered.splitlines() if line.strip()]
    told = yaml.safe_load(rendered)
    assert told["implementation"]["container"] == {"image": f"host/one@{DIGEST}", "command": ["a"]}
    assert lines[0] == "name: x  # kept"
    assert lines[-2].endswith(f"host/one@{DIGEST}{comment}")
    assert lines[-1] == "    command: [a]  # kept too"


SHARED = "metadata: {{annotations: {{image: {}}}}}\n"


@pytest.mark.parametrize(
    ("text", "comments"),
    [
        (SHARED.format("&image a/b:1") + CONTAINER.format("*image"), 2),
        (
            SHARED.format("a/b:1")
            + "x-base: &base {image: a/b:1}\n"
            + CONTAINER.format("c").replace("image: c", "<<: *base"),
            0,
        ),
        (CONTAINER.format("&image a/b:1") + SHARED.format("*image"), 0),
        (
            SHARED.format("a/b:1") + "x-base: &base {image: a/b:1, command: [a]}\nname: x\n"
            "implementation: {container: *base}\n",
            0,
        ),
        (CONTAINER.format("&image a/b:1").replace("[a]", "[&a a, *a]") + SHARED.format("a/b:1"), 2),
    ],
)
def test_where_an_image_is_shared_the_others_keep_it(text, comments):
    before = yaml.safe_load(text)
    rendered = component_specs.with_image(text, f"host/one@{DIGEST}")
    after = yaml.safe_load(rendered)
    assert after["metadata"] == {"annotations": {"image": "a/b:1"}}
    assert after.get("x-base") == before.get("x-base")
    assert after["implementation"]["container"].pop("image") == f"host/one@{DIGEST}"
    assert after["implementation"]["container"].pop("command") == before["implementation"]["container"].pop("command")
    assert rendered.count("# kept") == comments


@pytest.mark.parametrize("text", ["name: x\n", "implementation: {container: {command: [a]}}\n", "[1]\n"])
def test_a_spec_without_image_is_refused(text):
    with pytest.raises(PipeyardError, match="has no implementation.container.image"):
        component_specs.with_image(text, "x")


@pytest.fixture
def repository(tree):
    git(tree, "init", "--quiet")
    commit(tree)
    return tree


def test_a_clean_tree_is_tagged_with_its_commit(repository):
    git = changes.git_of(repository)
    head = git(["rev-parse", "HEAD"]).strip()
    assert commits.current(git, {}) == commits.Commit(head, head)
    assert commits.current(git, {"COMMIT_SHA": head}).tag == head


@pytest.mark.parametrize(
    ("value", "message"),
    [("", "is '', not a commit's 40 hex digits"), ("b" * 40, "but .* is checked out"), ("main", "not a commit")],
)
def test_another_commit_than_what_is_checked_out_is_refused(repository, value, message):
    with pytest.raises(PipeyardError, match=message):
        commits.current(changes.git_of(repository), {"COMMIT_SHA": value})


def test_a_dirty_tree_is_refused_or_marked_by_its_content(repository):
    git = changes.git_of(repository)
    (repository / "new.txt").write_text("1", encoding="utf-8")
    with pytest.raises(PipeyardError, match=r"aren't committed \(new.txt\).*--allow-dirty"):
        commits.current(git, {})
    first = commits.current(git, {}, allow_dirty=True)
    assert first.dirty
    assert "-dirty-" in first.tag
    (repository / "build/tool").write_text("2", encoding="utf-8")
    assert commits.current(git, {}, allow_dirty=True).tag != first.tag


def _lock():
    image = image_lock.Image(repository="host.io/one", tag="c", content_tag="src-1", source="s", digest=DIGEST, bytes=1)
    return image_lock.Lock(commit="c", bases={}, images={"one": image})


def test_dist_gets_rendered_specs_and_then_the_lock(tree):
    here = project.Project(tree)
    out = tree / "dist"
    (out / "components" / "gone").mkdir(parents=True)
    specs = dist_folder.render(here, _lock(), out)
    assert [component_specs.image_of(spec) for spec in specs] == [f"host.io/one@{DIGEST}"]
    assert image_lock.read(out / image_lock.FILE) == _lock()
    assert not (out / "components" / "gone").exists()
    specs = dist_folder.render(here, _lock(), out, "tag")
    assert [component_specs.image_of(spec) for spec in specs] == ["host.io/one:c"]


def test_a_spec_that_can_t_be_rendered_leaves_the_last_build(tree):
    here = project.Project(tree)
    dist_folder.render(here, _lock(), tree / "dist")
    (tree / "components/one/component.yaml").write_text("name: one\n", encoding="utf-8")
    with pytest.raises(PipeyardError, match="components/one/component.yaml has no"):
        dist_folder.render(here, _lock(), tree / "dist")
    assert image_lock.read(tree / "dist" / image_lock.FILE) == _lock()


def test_a_missing_or_damaged_lock_says_what_to_do(tmp_path):
    with pytest.raises(PipeyardError, match="Run `pipeyard build` first"):
        image_lock.read(tmp_path / image_lock.FILE)
    (tmp_path / image_lock.FILE).write_text('{"version": 1}', encoding="utf-8")
    with pytest.raises(PipeyardError, match="is damaged"):
        image_lock.read(tmp_path / image_lock.FILE)


def test_a_base_holds_what_all_locks_agree_in():
    one = "a==1 \\\n    --hash=sha256:1\nb==1 \\\n    --hash=sha256:2\n"
    two = "b==1 \\\n    --hash=sha256:2\na==2 \\\n    --hash=sha256:3\nc==1\n"
    assert shared.common([one, two]) == "b==1 \\\n    --hash=sha256:2\n"


BASES = {
    "images/tools/Dockerfile": "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\n",
    "images/arrow/Dockerfile": "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\nCOPY images/arrow/requirements.txt /\n",
    "images/tensorflow/Dockerfile": (
        "ARG ARROW_IMAGE\nARG TOOLS_IMAGE\nFROM ${TOOLS_IMAGE} AS tools\n"
        "FROM ${ARROW_IMAGE}\nCOPY images/tensorflow/requirements.txt /\n"
    ),
    "components/two/component.yaml": "name: two\n",
    "components/two/Dockerfile": "ARG ARROW_IMAGE\nFROM ${ARROW_IMAGE}\n",
}


@pytest.fixture
def tree_with_bases(tree):
    for name, text in BASES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    return project.Project(tree)


def test_images_below_are_those_whose_layers_an_image_has(tree_with_bases):
    below = {
        name: dockerfiles.below(tree_with_bases, dockerfiles.of_component(tree_with_bases, name))
        for name in ("one", "two")
    }
    assert below == {"one": ["tensorflow", "arrow", "python"], "two": ["arrow", "python"]}


def test_an_image_that_is_built_on_itself_is_refused(tree_with_bases):
    path = tree_with_bases.root / "images/arrow/Dockerfile"
    path.write_text("ARG TENSORFLOW_IMAGE\nFROM ${TENSORFLOW_IMAGE}\n", encoding="utf-8")
    with pytest.raises(PipeyardError, match="images/tensorflow is built on itself"):
        dockerfiles.below(tree_with_bases, dockerfiles.of_component(tree_with_bases, "one"))


def test_a_base_leaves_out_what_the_base_below_it_holds(tree_with_bases, tmp_path):
    uv = tmp_path / "uv"
    locked = {"one": "a==1\nb==1\nc==1\n", "two": "a==1\nc==2\n"}
    for name, text in locked.items():
        (tree_with_bases.components[name].folder / "exported").write_text(text, encoding="utf-8")
    uv.write_text("#!/bin/sh\ncat exported\n", encoding="utf-8")
    uv.chmod(0o755)
    found = {path.parent.name: text.splitlines() for path, text in shared.expected(tree_with_bases, str(uv)).items()}
    assert found == {
        "arrow": ["# Generated by `pipeyard lock`: what the locks of one, two agree in.", "a==1"],
        "tensorflow": ["# Generated by `pipeyard lock`: what the locks of one agree in.", "b==1", "c==1"],
    }


def test_of_two_builds_into_one_folder_at_once_one_is_there_whole(tree):
    here = project.Project(tree)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: dist_folder.render(here, _lock(), tree / "dist"), range(40)))
    assert (tree / "dist" / image_lock.FILE).read_text(encoding="utf-8") == _lock().text()
    assert component_specs.image_of(tree / "dist/components/one/component.yaml") == str(
        _lock().images["one"].reference()
    )


def _outcome(name, *layers):
    image = image_lock.Image(repository=f"h.io/{name}", tag="c", content_tag="s", source="s", digest=DIGEST, bytes=1)
    manifest = registry.Manifest(DIGEST, b"{}", "")
    return publisher.ImageOutcome(name, image, True, manifest, [registry.Layer(layer, 1, True) for layer in layers])


def test_sizes_on_disk_count_a_shared_layer_once():
    asked = []

    def unpacked(image, layer):
        asked.append((image.name, layer.digest))
        return {"base": 100, "one": 10, "two": 1}[layer.digest]

    found = sizes.measure(unpacked, [_outcome("one", "base", "one"), _outcome("two", "base", "two")])
    assert found == sizes.Sizes({"one": 110, "two": 101}, 111)
    assert len(asked) == 3


def test_a_size_that_the_registry_doesn_t_tell_is_unknown():
    def unpacked(image, layer):
        if layer.digest == "lost":
            raise registry.RegistryError("gone")
        return 1

    found = sizes.measure(unpacked, [_outcome("one", "lost"), _outcome("two", "base")])
    assert found == sizes.Sizes({"one": None, "two": 1}, None)
    assert sizes.measure(unpacked, [_outcome("index"), _outcome("two", "base")]) == sizes.Sizes(
        {"index": None, "two": 1}, None
    )


def test_a_registry_doesn_t_say_how_long_is_waited(monkeypatch):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(429)
            self.send_header("Retry-After", "3600")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with pytest.raises(registry.RegistryError, match="429"):
                registry.Registry(policy=replace(retries.REGISTRY, attempts=2)).manifest(
                    references.parse(f"127.0.0.1:{server.server_port}/one:1")
                )
        finally:
            server.shutdown()
            thread.join()
    assert max(slept) <= 8


def test_goals_are_read_and_those_for_nothing_refused(tree):
    here = project.Project(tree)
    assert sizes.goals(here) == {}
    path = tree / "pyproject.toml"
    path.write_text("[tool.pipeyard.image-goals]\neach = 1.9e9\none = 5\n", encoding="utf-8")
    assert sizes.goals(here) == {"each": 1_900_000_000, "one": 5}
    path.write_text("[tool.pipeyard.image-goals]\neahc = 1\n", encoding="utf-8")
    with pytest.raises(PipeyardError, match="eahc isn't understood"):
        sizes.goals(here)


def test_without_a_builder_all_that_was_tried_is_named(monkeypatch, tmp_path):
    broken = tmp_path / "podman"
    broken.write_text("#!/bin/sh\necho no cgroups >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipeyardError, match=r"docker: not on PATH; .*podman: no cgroups; buildah: not on PATH"):
        builders.detect()
    with pytest.raises(PipeyardError, match="No builder 'dokcer'.*docker"):
        builders.detect("dokcer")


def test_a_builder_that_fails_shows_the_end_of_its_log_and_passing_faults_are_tried_again(tmp_path):
    program = tmp_path / "docker"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = version ] || echo x >> {tmp_path}/calls\n'
        f'[ "$1" = push ] && [ $(wc -l < {tmp_path}/calls) -ge 2 ] && exit 0\n'
        'echo "received unexpected HTTP status: 503 Service Unavailable"; exit 1\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    builder = builders.Builder("docker", str(program), "1")
    image = references.parse("127.0.0.1:1/one:1")
    builder.push(image, tmp_path / "log")
    assert (tmp_path / "calls").read_text(encoding="utf-8").count("x") == 2
    with pytest.raises(builders.BuilderError, match=r"building one failed \(exit code 1\).*\n.*503.*\n.*whole log"):
        builder.build(builders.Job(tmp_path / "Dockerfile", tmp_path, image, tmp_path / "log2"))
