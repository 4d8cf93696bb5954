"""Faults of the CI/CD samples that everybody starts from, each of which must not come back.

A repository is built with `pipeyard build` against a registry on the loopback; the program that builds images is a
stand-in, which runs tests, labels and pushes as Docker does. With a real engine: tests/engine.
"""

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.kubeflow import KubeflowServer
from support.kubeflow_connections import connect
from support.small_repository import SETTINGS, SPEC, Repository

from pipeyard import settings
from pipeyard.compiling import compiler
from pipeyard.component_store import ComponentStore
from pipeyard.errors import PipeyardError
from pipeyard.images import image_lock
from pipeyard.packages import component_specs
from pipeyard.repository import dockerfiles, project
from pipeyard.servers.kubeflow import pipelines

ROOT = Path(__file__).parents[2]
PROJECT = project.find(ROOT)


@pytest.fixture
def repository(tmp_path) -> Iterator[Repository]:
    made = Repository(tmp_path)
    yield made
    made.registry.close()


def test_specs_get_the_commit_s_tag_never_latest_and_never_a_variable_that_nobody_filled_in(repository, monkeypatch):
    done = repository.build("--reference", "tag")
    assert done.exit_code == 0, done.exception
    for name in ("count", "show"):
        image = repository.spec_image(name)
        assert image == f"{repository.registry.host}/team/{name}:{repository.head}"
        assert (
            json.loads(repository.in_registry(image))["labels"]["org.opencontainers.image.revision"] == repository.head
        )
    tags = {tag for (name, tag) in repository.registry.manifests if name.startswith("team/")}
    assert {re.sub("[0-9a-f]{24,}", "*", tag) for tag in tags} == {"*", "src-*", "sha256:*"}
    for unexpanded in ("{_TAG}", "$COMMIT_SHA", "", "latest"):
        monkeypatch.setenv("COMMIT_SHA", unexpanded)
        done = repository.build()
        assert isinstance(done.exception, PipeyardError)
        assert "not a commit's 40 hex digits" in str(done.exception)


def test_nothing_is_compiled_for_images_that_the_registry_has_not(repository):
    done = repository.compile()
    assert "no images were built. Run `pipeyard build`" in str(done.exception)
    repository.registry.refuses = 403
    assert "403" in str(repository.build().exception)
    repository.registry.refuses = 0
    repository.docker.loses_pushes(True)
    assert "was pushed, but the registry hasn't it" in str(repository.build().exception)
    assert not repository.lock.exists()
    assert isinstance(repository.compile().exception, PipeyardError)
    assert not (repository.root / "dist/whole").exists()

    repository.docker.loses_pushes(False)
    assert repository.build().exit_code == 0
    done = repository.compile()
    assert done.exit_code == 0, done.exception
    compiled = (repository.root / "dist/whole/pipeline.yaml").read_text(encoding="utf-8")
    images = set(re.findall(r"image: (\S+)", compiled))
    assert images == {repository.spec_image(name) for name in ("count", "show")}
    assert all(repository.in_registry(image) for image in images)

    # The last commit's lock is no lock of this commit.
    repository.write("components/show/src/show/step.py", "two = 2\n")
    repository.commit("second")
    repository.registry.refuses = 403
    assert repository.build().exit_code != 0
    done = repository.compile()
    assert isinstance(done.exception, PipeyardError)
    assert f"but {repository.head} is checked out. Run `pipeyard build` again" in str(done.exception)


def test_rendered_specs_differ_in_the_image_alone_and_the_work_tree_stays_clean(repository):
    committed = {
        name: (repository.root / f"components/{name}/component.yaml").read_text() for name in ("count", "show")
    }
    assert repository.build().exit_code == 0
    assert repository.compile().exit_code == 0
    assert repository.git("status", "--porcelain") == ""
    for name, text in committed.items():
        rendered = (repository.root / f"dist/components/{name}/component.yaml").read_text(encoding="utf-8")
        assert rendered == text.replace(f"dev/{name}:dev", repository.spec_image(name))
        assert rendered.count("#") == text.count("#") == 3


@pytest.mark.parametrize("name", sorted(PROJECT.components))
def test_rendering_changes_the_image_alone_in_this_repository_s_specs(name):
    text = (PROJECT.components[name].folder / "component.yaml").read_text(encoding="utf-8")
    image = f"host.io/team/{name}@sha256:" + "a" * 64
    changed = [
        line[2:]
        for line in difflib.ndiff(text.splitlines(), component_specs.with_image(text, image).splitlines())
        if line[0] in "+-"
    ]
    before, after = (line.strip() for line in changed)
    assert re.fullmatch(r"image: \S+", before)
    assert after == f"image: {image}"


def test_a_pipeline_s_next_version_is_a_version_and_no_other_pipeline(repository):
    import kfp

    server = KubeflowServer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client = kfp.Client(host=server.url)
    made = []
    for source in ("two = 2\n", "three = 3\n"):
        repository.write("components/show/src/show/step.py", source)
        commit = repository.commit(source)
        assert repository.build().exit_code == repository.compile().exit_code == 0
        package = repository.root / "dist/whole/workflow.tar.gz"
        client.upload_pipeline(str(package), pipeline_name=f"sample-{commit}")  # the sample's way
        made += [pipelines.ensure_version(connect(server), package) for _ in range(2)]
    server.close()
    names = [each["name"] for each in server.store.pipelines.values()]
    assert [name for name in names if not name.startswith("sample-")] == ["whole"]
    assert len({each.pipeline_id for each in made}) == 1
    assert [each.created for each in made] == [True, False, True, False]
    assert len({each.version_id for each in made}) == 2
    assert made[-1].name.startswith(repository.head)


def test_settings_refuse_keys_that_stand_twice_and_values_that_the_pipeline_does_not_take(repository):
    done = repository.run("--param", "limi=4")
    assert "there is no parameter 'limi'. Did you mean 'limit'?" in str(done.exception)
    for old, new, message in [
        ("parameters: {limit: 3}", "parameters: {limit: 3, limit: 4}", "the key 'limit' stands twice"),
        ("parameters: {limit: 3}", "parameters: {limt: 3}", "there is no parameter 'limt'. Did you mean 'limit'?"),
        ("parameters: {limit: 3}", "parameters: {limit: many}", "the parameter 'limit'"),
        ("parameters: {limit: 3}", "parameters: {}", "the parameter 'limit' has no value. Set it in settings.yaml"),
        (
            "target: local",
            "target: local, taget: kfp",
            "environments.local.taget: there is no key 'taget' here. Did you mean 'target'?",
        ),
    ]:
        repository.write(settings.FILE, SETTINGS.replace(old, new))
        done = repository.run()
        assert isinstance(done.exception, PipeyardError), message
        assert message in str(done.exception)
    assert not (repository.root / "runs").exists()


def test_tests_run_in_the_image_and_one_that_fails_fails_the_build(repository):
    repository.write("components/show/tests/test_show.py", "def test_it():\n    assert 1 == 2\n")
    repository.commit("broken")
    done = repository.build("--jobs", "1", tests=True)
    assert isinstance(done.exception, PipeyardError)
    assert "building team/show test failed (exit code 1)" in str(done.exception)
    assert "assert 1 == 2" in str(done.exception)
    assert not repository.lock.exists()
    assert not [name for name, _ in repository.registry.manifests if name == "team/show"]
    calls = [_step(call) for call in repository.docker.calls if any("show" in word for word in call)]
    assert calls == ["build test"]  # nothing was built or pushed after it
    repository.write("components/show/tests/test_show.py", "def test_it():\n    assert True\n")
    repository.commit("mended")
    assert repository.build(tests=True).exit_code == 0
    assert [_step(call) for call in repository.docker.calls if any("show" in word for word in call)][1:] == [
        "build test",
        "build",
        "push",
    ]


def _step(call: list[str]) -> str:
    return f"{call[0]} {call[call.index('--target') + 1]}" if "--target" in call else call[0]


@pytest.mark.parametrize("name", sorted(PROJECT.components))
def test_what_tests_run_in_is_what_is_shipped(name):
    stages = dockerfiles.of_component(PROJECT, name)._stages
    tested = next(stage for stage in stages if stage.name == dockerfiles.TEST_STAGE)
    assert tested.base == stages[-1].base
    assert [instruction for instruction, _ in stages[-1].instructions] == ["FROM", "USER"]
    assert ("USER", "65532") in tested.instructions


def test_ci_fails_if_a_suite_fails_and_runs_the_others(tmp_path):
    tree, programs = tmp_path / "tree", tmp_path / "programs"
    (tree / ".ci").mkdir(parents=True)
    programs.mkdir()
    shutil.copy(ROOT / "Makefile", tree)
    shutil.copy(ROOT / ".ci/run", tree / ".ci/run")
    pipeyard = '#!/bin/sh\n[ "$1" != affected ] || echo "test/component/bad test/component/good"\n'
    _program(tree / ".venv/bin/pipeyard", pipeyard)
    _program(tree / ".tools/bin/uv", "#!/bin/sh\n")
    for name in ("pyproject.toml", "uv.lock", ".venv/.lock-digest"):  # made last: the toolchain is set up
        (tree / name).touch()
    for name in ("chromium", "java", "mvn", "apt-get"):
        _program(programs / name, "#!/bin/sh\n")
    for name in ("bad", "good"):
        (tree / "components" / name).mkdir(parents=True)
        (tree / "components" / name / ".venv").symlink_to(sys.prefix)
        test = f"def test_it():\n    assert {name != 'bad'}\n"
        (tree / "components" / name / f"test_{name}.py").write_text(test, encoding="utf-8")

    def ci() -> subprocess.CompletedProcess:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        environment = {**kept, "PATH": f"{programs}:{os.environ['PATH']}", "SINCE": "main", "JOBS": "1"}
        return subprocess.run([tree / ".ci/run"], env=environment, capture_output=True, text=True, check=False)

    done = ci()
    assert done.returncode != 0
    assert "1 failed" in done.stdout
    assert "1 passed" in done.stdout
    (tree / "components/bad/test_bad.py").write_text("def test_it():\n    assert True\n", encoding="utf-8")
    done = ci()
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout


def _program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)


def test_what_is_changed_while_it_is_built_is_not_pushed(repository):
    source = repository.root / "components/count/src/count/step.py"
    edit = f"def test_it():\n    from pathlib import Path\n    Path({str(source)!r}).write_text('two = 2\\n')\n"
    repository.write("components/count/tests/test_count.py", edit)
    repository.commit("a test during which somebody edits")
    done = repository.build(tests=True)
    assert isinstance(done.exception, PipeyardError)
    assert "What count is made of was changed while it was built" in str(done.exception)
    assert not [name for name, _ in repository.registry.manifests if name == "team/count"]
    assert not repository.lock.exists()


def test_what_is_built_is_the_commit_that_is_checked_out_not_the_newest_of_a_branch(repository, monkeypatch):
    old = repository.head
    repository.write("components/show/src/show/step.py", "two = 2\n")
    new = repository.commit("second")
    repository.git("checkout", "--quiet", old)
    monkeypatch.setenv("COMMIT_SHA", old)
    assert repository.build().exit_code == 0
    image = json.loads(repository.in_registry(f"{repository.registry.host}/team/show:{old}"))
    assert image["content"] == {"step.py": "one = 1\n"}
    assert image_lock.read(repository.lock).commit == old
    assert not [tag for _, tag in repository.registry.manifests if tag == new]
    monkeypatch.setenv("COMMIT_SHA", new)
    done = repository.build()
    assert isinstance(done.exception, PipeyardError)
    assert f"$COMMIT_SHA is {new}, but {old} is checked out" in str(done.exception)
    assert not [tag for _, tag in repository.registry.manifests if tag == new]


@pytest.mark.parametrize("name", sorted(PROJECT.components))
def test_every_output_of_this_repository_s_components_has_a_type(name):
    outputs = PROJECT.components[name].spec.get("outputs", [])
    assert [each["name"] for each in outputs if not each.get("type")] == []
    loaded = ComponentStore(local_search_paths=[ROOT / "components"]).load_component(name)
    values = {"String", "Integer", "Float", "Boolean", "JsonArray", "JsonObject"}
    typed = loaded.component_spec.outputs or {}
    for each in outputs:
        found = typed[re.sub(r"\W+", "_", each["name"]).lower()].type
        assert (found not in {"system.Artifact@0.0.1"}) or each["type"] not in values


@pytest.mark.parametrize("name", sorted(PROJECT.pipelines))
def test_every_pipeline_compiles_on_kfp_2(name):
    assert "schemaVersion: 2.1.0" in compiler.compile_pipeline(PROJECT.pipelines[name]).text


def test_an_output_without_a_type_is_refused_where_a_value_is_taken(repository):
    spec = SPEC.format(name="count").replace("{name: rows, type: Integer}", "{name: rows}")
    repository.write("components/count/component.yaml", spec)
    with pytest.raises(PipeyardError, match="Argument type 'system.Artifact@0.0.1' is incompatible with"):
        compiler.compile_pipeline(repository.root / "pipelines/whole")
