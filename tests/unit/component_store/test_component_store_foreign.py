"""Components that others wrote for kfp 1: those of Google's package, and those that kfp 2 refuses."""

import subprocess
from pathlib import Path

import pytest
import yaml
from kfp import compiler, components, dsl

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


AS_FILE = (
    "[{name: Chart values, type: JsonObject}, {name: rows, type: JsonArray, default: '[]'}, {name: n, type: Integer}, "
    "{name: text, type: String, optional: true}, {name: flag, type: Bool}, {name: model, type: Model}]"
)


def test_values_used_as_files_are_retyped_when_asked_for(tmp_path, caplog):
    args = (
        "[{inputPath: Chart values}, {inputUri: rows}, {inputPath: n}, {if: {cond: {isPresent: text}, "
        "then: [{inputPath: text}]}}, {inputValue: flag}, {inputPath: model}]"
    )
    store = _store(tmp_path, AS_FILE, args)
    with pytest.raises(TypeError, match='"Dict" cannot be paired with InputPathPlaceholder'):
        _compile(store.load_component("step"), tmp_path / "pipeline.yaml")
    told = "'Chart values' (JsonObject), 'rows' (JsonArray), 'n' (Integer), 'text' (String)"
    assert f"{told} used as a file, and no type of an artifact. Load it with retype=True" in caplog.text
    component = store.load_component("step", retype=True)
    assert [(each.input, each.now) for each in component.retyped] == [
        (name, "Artifact") for name in ["Chart values", "rows", "n", "text"]
    ]
    assert f"now Artifact: {told}." in caplog.text
    # An artifact has no default in kfp 2: it would be dropped without a word.
    assert [name for name, each in component.component_spec.inputs.items() if each.optional] == ["text"]
    inputs = _compile(component, tmp_path / "pipeline.yaml")["components"]["comp-step"]["inputDefinitions"]
    assert list(inputs["artifacts"]) == ["chart_values", "model", "n", "rows", "text"]
    assert list(inputs["parameters"]) == ["flag"]


def test_a_value_used_by_value_and_as_a_file_is_told(tmp_path, caplog):
    store = _store(tmp_path, "[{name: x, type: Dict}]", "[{inputValue: x}, {inputPath: x}]")
    store.load_component("step")
    assert "'x' (Dict) used by value and as a file. Give the component two inputs." in caplog.text


def test_an_input_and_an_output_of_one_anchor_are_retyped_apart(tmp_path):
    inputs = "[&x {name: x, type: URI}], outputs: [*x]"
    component = _store(tmp_path, inputs, "[{inputValue: x}, {outputPath: x}]").load_component("step", retype=True)
    assert component.spec["inputs"] == [{"name": "x", "type": "String"}]
    assert component.spec["outputs"] == [{"name": "x", "type": "URI"}]


def test_an_else_that_is_a_placeholder_is_taken_as_a_list(tmp_path):
    inputs = "[{name: x, type: String, optional: true}, {name: y, type: String}]"
    condition = "{if: {cond: {isPresent: x}, then: {inputValue: x}, else: {inputValue: y}}}"
    component = _store(tmp_path, inputs, f"[{condition}]").load_component("step")
    (arg,) = _args(_compile(component, tmp_path / "pipeline.yaml"))
    x, y = "{{$.inputs.parameters['x']}}", "{{$.inputs.parameters['y']}}"
    assert yaml.safe_load(arg) == {"IfPresent": {"InputName": "x", "Then": [x], "Else": [y]}}
    assert component.rewritten


def test_an_else_inside_a_concat_that_kfp_cannot_join_is_told(tmp_path):
    inputs = "[{name: x, type: String, optional: true}, {name: y, type: String}]"
    condition = "{if: {cond: {isPresent: x}, then: [a], else: [b, {inputValue: y}]}}"
    with pytest.raises(PipeyardError, match="has an `else` with a placeholder, which kfp 2 can't join"):
        _store(tmp_path, inputs, f"[{{concat: [a, {condition}]}}]").load_component("step")


# A form that public specifications have, each: what they load and compile to must be as with kfp alone.
FORMS = {
    "names with spaces, inputs in several lines, Bool": """
name: Serve - a model (v1)
inputs:
  - {
      name: Model Name,
      type: Bool,
      default: "True",
    }
outputs:
  - {name: Status (JSON), type: JsonObject}
implementation:
  container:
    # image: x/y:older
    image: x/y:v0.5.1
    command: ["python"]
    args:
      [
        -u, serve.py,
        --model, { inputValue: Model Name },
        --status, { outputPath: Status (JSON) },
      ]
""",
    "no outputs below its key, an empty image, defaults of their own types": """
name: job
inputs:
- {name: wait, type: Bool, default: True, optional: true}
- {name: seconds, type: Integer, default: -1, description: 'Aligned.'   }
- {name: share, type: Float, default: '0.1'}
- {name: spec, type: JsonObject, default: '{}'}
- {name: tags, type: 'List[str]', default: '["a"]'}
outputs:
implementation:
  container:
    image: ""
    command: [sh, -c, 'echo "$0"', {inputValue: wait}, {inputValue: seconds}, {inputValue: share}, {inputValue: spec},
      {inputValue: tags}]
""",
    "a program in the command, folded lines, environment, files of outputs": """
name: Größe 模型
description: |
  Several lines: "quoted".

  Args:
    x (str): what.
metadata:
  annotations: {author: A <a@b.test>, canonical_location: 'https://a.test/x.yaml'}
  labels: {kind: x}
inputs:
- {name: table, type: CSV}
outputs:
- {name: out, type: {GCSPath: {data_type: CSV}}}
- {name: n, type: Integer}
implementation:
  container:
    image: >-
      x/y:1
    command:
    - sh
    - -ec
    - |
      program_path=$(mktemp)
      printf "%s" "$0" > "$program_path"
      python3 -u "$program_path" "$@"
    - |
      print('{{not a placeholder}}')
    args: ['--table', {inputPath: table}, '----output-paths', {outputPath: out},
      {if: {cond: {isPresent: table}, then: a}}]
    env: {A: "1"}
    fileOutputs: {n: /tmp/n}
""",
    "Windows' line ends, a byte order mark, both ends of a document": "\ufeff---\r\nname: a\r\nimplementation:\r\n"
    "  container: {image: x, command: [a], args: }\r\n...\r\n",
    "anchors and merge keys": """
name: a
inputs:
- &x {name: x, type: String, description: d}
- {<<: *x, name: y}
implementation:
  container:
    image: x
    command: &c [a, {inputValue: x}, {inputValue: y}]
    args: *c
""",
    "the whole input of the executor, and Google's own names for types": """
name: custom-job
inputs:
- {name: project, type: string}
- {name: worker, type: bool, optional: true}
outputs:
- {name: gcp_resources, type: str}
implementation:
  container:
    image: x
    command: [python3, --payload, {executorInput: null}, '{{$}}', {concat: ['{"a": "', {inputValue: project}, '"}']}]
    args: [{if: {cond: {isPresent: worker}, then: [--worker, {inputValue: worker}], else: [--none]}},
      {outputPath: gcp_resources}]
""",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_public_specifications_are_as_with_kfp_alone(tmp_path, form):
    text = FORMS[form]
    (tmp_path / "spec.yaml").write_text(text, encoding="utf-8", newline="")
    component = ComponentStore([tmp_path]).load_component_from_file(tmp_path / "spec.yaml")
    assert not (component.rewritten or component.retyped)
    alone = components.load_component_from_text(text)
    assert component.component_spec == alone.component_spec
    assert _compile(component, tmp_path / "ours.yaml") == _compile(alone, tmp_path / "alone.yaml")
