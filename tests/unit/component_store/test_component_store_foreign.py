"""Components that others wrote for kfp 1: those of Google's package, and those that kfp 2 refuses."""

import subprocess
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl

from pipeyard.component_store import ComponentStore
from pipeyard.errors import PipeyardError
from pipeyard.repository import project, venvs

# Its 83 specifications are of all kinds that kfp 1 has; later versions have none.
WHEEL = (
    "google-cloud-pipeline-components==1.0.0 "
    "--hash=sha256:a1400447cf505a8d197d6e7c9ae02dd56565d945f46eb62075a1b1b3e3e957a9"
)
# A value for an input of each of kfp's types.
VALUES = {"String": "a", "Integer": 1, "Float": 0.5, "Boolean": True, "List": [1], "Dict": {"a": 1}}


@pytest.fixture(scope="session")
def google(tmp_path_factory) -> Path:
    """The unpacked wheel, from the index that this machine is set up for; uv's cache keeps it."""
    folder = tmp_path_factory.mktemp("google")
    (folder / "requirements.txt").write_text(WHEEL)
    options = [
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--target",
        folder / "site",
        "-r",
        folder / "requirements.txt",
    ]
    uv = venvs.uv(project.find(Path(__file__).parent))
    subprocess.run([uv, "pip", "install", "--python", "3.11", *options], check=True)
    return folder / "site"


def _compile(component, path: Path) -> dict:
    """Compiles a pipeline that runs a component, with a value or an artifact for all that it requires."""

    @dsl.pipeline(name="one-step")
    def one_step():
        required = {name: each for name, each in (component.component_spec.inputs or {}).items() if not each.optional}
        component(
            **{
                name: VALUES[each.type]
                if each.type in VALUES
                else dsl.importer(artifact_uri="gs://bucket/object", artifact_class=dsl.Artifact).output
                for name, each in required.items()
            }
        )

    compiler.Compiler().compile(one_step, str(path))
    return next(yaml.safe_load_all(path.read_text()))


def _args(compiled: dict) -> list:
    (container,) = [
        each["container"] for each in compiled["deploymentSpec"]["executors"].values() if "container" in each
    ]
    return container["args"]


def test_all_of_googles_components_load_and_compile(google, tmp_path):
    found = [path for path in google.rglob("*.yaml") if "\nimplementation:" in path.read_text(encoding="utf-8")]
    assert len(found) == 83
    store = ComponentStore([google])
    rewritten = {}
    for path in found:
        component = store.load_component_from_file(path)
        assert not component.retyped
        compiled = _compile(component, tmp_path / "pipeline.yaml")
        if component.rewritten:
            rewritten[path.parent.relative_to(google).as_posix()] = _args(compiled)
    # kfp itself doesn't load these two.
    package = "google_cloud_pipeline_components"
    assert set(rewritten) == {f"{package}/aiplatform/batch_predict_job", f"{package}/v1/batch_predict_job"}
    for args in rewritten.values():
        assert '"Then": {"Concat": ["\\"model\\": \\"", "{{$.inputs.artifacts' in "".join(args)


def test_googles_components_by_name(google):
    name = "google_cloud_pipeline_components/v1/bigquery/query_job"
    assert ComponentStore([google]).load_components(name)["query_job"].name == "bigquery-query-job"
    assert [found.name for found in ComponentStore([google]).search("v1/bigquery/query job")] == [name]


def _store(folder: Path, inputs: str, args: str) -> ComponentStore:
    (folder / "step").mkdir()
    text = f"{{name: step, inputs: {inputs}, implementation: {{container: {{image: i, command: [c], args: {args}}}}}}}"
    (folder / "step/component.yaml").write_text(text)
    return ComponentStore([folder])


BY_VALUE = (
    "[{name: Data path, type: GCSPath}, {name: x, type: {URI: {scheme: gs}}}, {name: y}, "
    "{name: m, type: Model}, {name: n, type: Int}]"
)
ARGS = (
    "[{inputValue: Data path}, {if: {cond: {isPresent: x}, then: [--x, {concat: [a, {inputValue: x}]}]}}, "
    "{inputValue: y}, {inputPath: m}, {inputValue: n}]"
)


def test_artifacts_used_by_value_are_retyped_when_asked_for(tmp_path, caplog):
    store = _store(tmp_path, BY_VALUE, ARGS)
    with pytest.raises(TypeError, match="cannot be paired with InputValuePlaceholder"):
        _compile(store.load_component("step"), tmp_path / "pipeline.yaml")
    assert "Load it with retype=True" in caplog.text
    component = store.load_components("step", retype=True).step
    assert [(each.input, each.was, each.now) for each in component.retyped] == [
        ("Data path", "GCSPath", "String"),
        ("x", {"URI": {"scheme": "gs"}}, "String"),
        ("y", None, "String"),
    ]
    assert "now String: 'Data path' (GCSPath), 'x' ({'URI': {'scheme': 'gs'}}), 'y' (untyped)." in caplog.text
    compiled = _compile(component, tmp_path / "pipeline.yaml")
    inputs = compiled["components"]["comp-step"]["inputDefinitions"]
    assert {name: each["parameterType"] for name, each in inputs["parameters"].items()} == {
        "data_path": "STRING",
        "x": "STRING",
        "y": "STRING",
        "n": "NUMBER_INTEGER",
    }
    assert list(inputs["artifacts"]) == ["m"]


def test_an_input_used_by_value_and_as_a_file_cannot_be_retyped(tmp_path):
    store = _store(tmp_path, "[{name: x, type: URI}]", "[{inputValue: x}, {inputPath: x}]")
    with pytest.raises(PipeyardError, match="component.yaml: the inputs 'x' are used by value and as files"):
        store.load_component("step", retype=True)


def test_conditions_inside_a_concat_have_one_element(tmp_path):
    condition = "{if: {cond: {isPresent: x}, then: [-, {inputValue: x}], else: [n, one]}}"
    store = _store(
        tmp_path, "[{name: x, type: String, optional: true}]", f"[{{concat: [a, {condition}]}}, {condition}]"
    )
    component = store.load_component("step")
    inside, outside = _args(_compile(component, tmp_path / "pipeline.yaml"))
    value = "{{$.inputs.parameters['x']}}"
    assert yaml.safe_load(inside) == {
        "Concat": ["a", {"IfPresent": {"InputName": "x", "Then": {"Concat": ["-", value]}, "Else": "none"}}]
    }
    assert yaml.safe_load(outside) == {"IfPresent": {"InputName": "x", "Then": ["-", value], "Else": ["n", "one"]}}
