"""What a schema is made by: which steps of a pipeline run, what they are given, and what is refused."""

import json

import pytest
from kfp import compiler, components, dsl
from support.checkout import ROOT

from pipeyard import ir
from pipeyard.errors import PipeyardError
from pipeyard.local import schema_review
from pipeyard.local.schema_review import SchemaChange
from pipeyard.repository import project

SCHEMA = "feature { name: 'a' type: INT }"


@pytest.fixture(name="steps")
def fixture_steps(tmp_path):
    """Compiles a pipeline, and returns what would run of it."""

    def go(pipeline, **parameters):
        package = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(package))
        return schema_review.steps_of(project.find(ROOT), ir.load(package), parameters)

    return go


def _component(name):
    return components.load_component_from_file(str(ROOT / "components" / name / "component.yaml"))


def test_the_steps_that_read_data_and_look_at_them_have_the_pipeline_s_parameters(steps):
    extract, look = _component("extract"), _component("data_validation")

    @dsl.pipeline(name="p")
    def pipeline(source: str, kept: str = "a > 1", shards: int = 3):
        read = extract(source=source, where=kept, splits={"train": 2, "eval": 1})
        with dsl.If(shards == 3, name="few"):
            look(examples=read.outputs["examples"], schema_text=SCHEMA, on_anomaly="fail")

    found = steps(pipeline, source="data.csv")
    assert (found.source.name, found.written, found.looks.name, found.examples) == (
        *("extract", "examples"),
        *("data_validation", "examples"),
    )
    given = {name: found.parameters[name] for name in ("source", "where", "splits")}
    assert given == {"source": "data.csv", "where": "a > 1", "splits": {"train": 2, "eval": 1}}


def test_pipelines_that_make_no_schema_are_refused(steps):
    extract, look = _component("extract"), _component("data_validation")

    @dsl.pipeline(name="two")
    def two(source: str):
        extract(source=source)
        look(examples=extract(source=source).outputs["examples"])

    with pytest.raises(PipeyardError, match=r"'two' has 2 steps that read data \(extract, extract-2\) and 1 that"):
        steps(two, source="data.csv")

    @dsl.pipeline(name="none")
    def none(source: str):
        extract(source=source)

    with pytest.raises(PipeyardError, match=r"and 0 that look at them \(whose component writes a Schema\)"):
        steps(none, source="data.csv")

    @dsl.pipeline(name="later")
    def later(source: str):
        read = extract(source=source, where="a > 1")
        look(examples=read.outputs["examples"])

    with pytest.raises(PipeyardError, match="'source' has no value"):
        steps(later)


def test_what_is_only_known_in_a_run_is_refused(steps):
    extract, look = _component("extract"), _component("data_validation")

    @dsl.component
    def choose() -> str:
        return "a"

    @dsl.pipeline(name="later")
    def later():
        look(examples=extract(source=choose().output).outputs["examples"])

    with pytest.raises(PipeyardError, match="What extract is given for source is only known while the pipeline runs"):
        steps(later)


def test_changes_in_words():
    field = {"field": "type", "schema": "INT", "data": "FLOAT"}
    assert SchemaChange("a b", "changed", [field]).lines() == ["a b: type: INT, where the data have FLOAT"]
    assert SchemaChange("a", "removed", [field]).lines() == ["a: the data don't have it"]
    assert SchemaChange("a", "added", [{**field, "schema": ""}]).lines() == ["a: not in the schema: type FLOAT"]


def test_infer_replaces_no_schema(run_pipeyard, tmp_path):
    path = tmp_path / "schema.pbtxt"
    path.write_text(SCHEMA)
    code, _, said = run_pipeyard("schema", "infer", "penguins", "--project", str(ROOT), "--file", str(path))
    assert code == 1
    assert f"{path} is there. Compare it with the data by `pipeyard schema diff penguins`" in said
    assert path.read_text() == SCHEMA


def test_what_is_compared_has_to_be_there(run_pipeyard, tmp_path):
    missing = str(tmp_path / "schema.pbtxt")
    for command in ("diff", "update"):
        code, _, said = run_pipeyard("schema", command, "penguins", "--project", str(ROOT), "--file", missing)
        assert code == 1
        assert "Have one inferred by `pipeyard schema infer penguins`" in said
    code, _, said = run_pipeyard("schema", "diff", "pinguins", "--project", str(ROOT))
    assert code == 1
    assert "Did you mean 'penguins'?" in said


def test_diff_prints_and_exits_by_what_differs(run_pipeyard, tmp_path, monkeypatch):
    path = tmp_path / "schema.pbtxt"
    path.write_text(SCHEMA)
    changes = [SchemaChange("a", "changed", [{"field": "type", "schema": "INT", "data": "FLOAT"}])]

    def answering(*found):
        monkeypatch.setattr(schema_review.SchemaReview, "updated", lambda self, schema: (f"new {schema}", list(found)))

    given = ("penguins", "--project", str(ROOT), "--file", str(path), "--param", "source=x")
    answering(*changes)
    code, printed, _ = run_pipeyard("schema", "diff", *given, "--json")
    assert code == 1
    assert json.loads(printed) == {
        "file": str(path),
        "changes": [
            {"column": "a", "change": "changed", "fields": [{"field": "type", "schema": "INT", "data": "FLOAT"}]}
        ],
    }
    assert run_pipeyard("schema", "diff", *given)[:2] == (1, f"{changes[0].lines()[0]}\n{path}: 1 column differs.\n")
    assert path.read_text() == SCHEMA
    assert run_pipeyard("schema", "update", *given)[0] == 0
    assert path.read_text() == f"new {SCHEMA}"
    answering()
    assert run_pipeyard("schema", "diff", *given)[:2] == (0, f"{path}: the data fit.\n")
    path.write_text("untouched # as it was")
    assert run_pipeyard("schema", "update", *given)[0] == 0
    assert path.read_text() == "untouched # as it was"
