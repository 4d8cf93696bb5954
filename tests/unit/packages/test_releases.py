"""What is shipped: archives, their bytes, and pipelines that mean what they connect."""

import gzip
import io
import json
import tarfile
import threading

import pytest
import yaml

from pipeyard.compiling import compiler
from pipeyard.component_store import ComponentNotFoundError
from pipeyard.errors import PipeyardError
from pipeyard.packages import archives, builds, packages
from pipeyard.repository.project import Project

TEXT = "pipelineInfo: {name: one}\nschemaVersion: 2.1.0\n"

MAKES = """\
name: makes
metadata: {annotations: {pipeyard.dev/output-types: '{"data": "Examples"}'}}
outputs:
- {name: data, type: Dataset}
- {name: schema, type: Schema}
implementation: {container: {image: "dev/makes:dev", command: [echo], args: [{outputPath: data}, {outputPath: schema}]}}
"""

TAKES = """\
name: takes
metadata: {annotations: {pipeyard.dev/input-types: '{"data": "Examples"}'}}
inputs:
- {name: data, type: Dataset}
- {name: schema, type: Schema, optional: true}
implementation: {container: {image: "dev/takes:dev", command: [echo], args: [{inputPath: data}, {inputPath: schema}]}}
"""

PIPELINE = """\
from pathlib import Path
from kfp import dsl
from pipeyard.component_store import ComponentStore
store = ComponentStore(local_search_paths=[Path(__file__).parents[2] / "components"])
components = store.load_components("makes", "takes")

@dsl.pipeline(name="inner")
def _inner(given: dsl.Input[dsl.Artifact]):
    components.takes(data=given)

@dsl.pipeline(name="whole")
def whole():
    made = components.makes()
    with dsl.ParallelFor([1]):
        {edge}
"""


@pytest.fixture
def project(tmp_path):
    for name, spec in {"makes": MAKES, "takes": TAKES}.items():
        (tmp_path / "components" / name).mkdir(parents=True)
        (tmp_path / "components" / name / "component.yaml").write_text(spec, encoding="utf-8")
    (tmp_path / "settings.yaml").write_text("environments: {}\n", encoding="utf-8")
    return Project(tmp_path)


def _pipeline(project, edge):
    folder = project.root / "pipelines" / "whole"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pipeline.py").write_text(PIPELINE.replace("{edge}", edge), encoding="utf-8")
    return folder


def test_the_archive_is_as_kfp_takes_it_and_says_what_it_is_of():
    described = archives.manifest("one", TEXT, "c" * 40, {"b": "i@2", "a": "i@1"}, b"settings")
    packed = archives.workflow(TEXT, described)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["pipeline.yaml", "manifest.json"]
        assert {(member.mtime, member.uid, member.gid, member.mode) for member in archive} == {(0, 0, 0, 0o644)}
        assert archive.extractfile("pipeline.yaml").read().decode() == TEXT
        assert json.loads(archive.extractfile("manifest.json").read())["commit"] == "c" * 40
    assert gzip.decompress(packed) and packed[4:8] == b"\0\0\0\0"  # no time in the header
    assert archives.workflow(TEXT, described) == packed


def test_vertex_gets_one_json_document_or_nothing():
    assert json.loads(archives.vertex(TEXT)) == yaml.safe_load(TEXT)
    with pytest.raises(PipeyardError, match="which Vertex AI refuses"):
        archives.vertex(f"{TEXT}---\nplatforms: {{kubernetes: {{}}}}\n")


def test_an_edge_that_means_the_same_compiles(project):
    compiled = compiler.compile_pipeline(_pipeline(project, 'components.takes(data=made.outputs["data"])'))
    assert not compiled.warnings


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ('components.takes(data=made.outputs["schema"])', r"makes\.schema is Schema, but takes\.data takes Examples"),
        ('_inner(given=made.outputs["schema"])', r"makes\.schema is Schema, but takes\.data takes Examples"),
        (
            'components.takes(data=made.outputs["data"], schema=made.outputs["data"])',
            r"makes\.data is Examples, but takes\.schema takes Schema",
        ),
    ],
)
def test_an_edge_of_another_meaning_is_refused_though_kfp_compiles_it(project, edge, message):
    # kfp itself refuses a Dataset input for a generic artifact, so the consumer takes any artifact here.
    for name in ("makes", "takes"):
        spec = project.root / "components" / name / "component.yaml"
        spec.write_text(spec.read_text(encoding="utf-8").replace("type: Dataset", "type: Artifact"), encoding="utf-8")
    with pytest.raises(PipeyardError, match=message):
        compiler.compile_pipeline(_pipeline(project, edge))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("command: [echo], ", "", "it has no `command`"),
        ("args: [", "fileOutputs: {data: /tmp/x}, args: [", "`fileOutputs` is dropped"),
    ],
)
def test_constructs_that_backends_break_on_are_refused(project, old, new, message):
    spec = project.root / "components" / "makes" / "component.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(PipeyardError, match=message):
        compiler.compile_pipeline(_pipeline(project, 'components.takes(data=made.outputs["data"])'))


def test_what_goes_wrong_is_told_alike_in_a_process_of_its_own(project):
    folder = _pipeline(project, "pass")
    (folder / "pipeline.py").write_text(PIPELINE.replace('"takes")', '"taks")'), encoding="utf-8")
    with pytest.raises(ComponentNotFoundError, match="No component 'taks'") as caught:
        compiler.compile_apart(folder)
    assert caught.value.tried
    (folder / "pipeline.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", encoding="utf-8")
    with pytest.raises(PipeyardError, match="the process that compiled it was killed"):
        compiler.compile_apart(folder)


def test_a_package_has_the_images_of_its_build(project, tmp_path):
    _pipeline(project, 'components.takes(data=made.outputs["data"])')
    specs = tmp_path / "rendered"
    for name in ("makes", "takes"):
        (specs / name).mkdir(parents=True)
        text = (project.root / "components" / name / "component.yaml").read_text(encoding="utf-8")
        (specs / name / "component.yaml").write_text(text.replace(f"dev/{name}:dev", f"host.io/{name}@sha256:1"))
    images = {"makes": "host.io/makes@sha256:1", "takes": "host.io/takes@sha256:1", "other": "host.io/other@sha256:1"}
    package, warnings = builds.package(project, "whole", builds.Build("c" * 40, images, specs))
    assert not warnings
    written = builds.write(package, tmp_path / "dist" / "whole")
    assert written[-1].name == "workflow.tar.gz"
    with tarfile.open(written[-1]) as archive:
        text = archive.extractfile("pipeline.yaml").read().decode()
        described = json.loads(archive.extractfile("manifest.json").read())
    assert "dev/makes:dev" not in text
    assert described["images"] == {name: images[name] for name in ("makes", "takes")}


def test_of_packages_that_are_written_at_once_a_reader_sees_one_whole(tmp_path):
    def made(number):
        text = f"{TEXT}# {number}\n"
        described = archives.manifest("one", text, "dev", {}, b"")
        return {
            archives.PIPELINE: text,
            archives.WORKFLOW: archives.workflow(text, described),
            **({archives.VERTEX: f'{{"number": {number}}}'} if number % 2 else {}),
        }

    build, several, folder = builds.Build("dev", {}, tmp_path), [made(number) for number in range(4)], tmp_path / "one"
    builds.write(several[0], folder)
    wanted = [{name: _bytes(content) for name, content in each.items()} for each in several]
    barrier = threading.Barrier(5)

    def write(package):
        barrier.wait()
        for _ in range(20):
            builds.write(package, folder)

    threads = [threading.Thread(target=write, args=(package,)) for package in several]
    for thread in threads:
        thread.start()
    barrier.wait()
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen.append(packages.package_files(folder, build))
    assert seen
    assert not [found for found in [*seen, packages.package_files(folder, build)] if found not in wanted]
    assert not list(folder.glob(".*"))


def _bytes(content):
    return content.encode() if isinstance(content, str) else content
