"""A schema is brought up to date with data: what the data contradict changes, what was decided stays."""

import json

import pyarrow as pa
import pytest
from conftest import SCHEMA, columns, write_examples
from data_validation import review
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2


@pytest.fixture(name="reviewed")
def fixture_reviewed(tmp_path, step):
    """Checks data against a schema, and reviews it by the statistics; returns the new schema and the changes."""

    def go(train, other, schema=SCHEMA):
        given = tmp_path / "schema.pbtxt"
        given.write_text(schema, encoding="utf-8")
        examples = write_examples(tmp_path / "data", {"train": [pa.table(train)], "eval": [pa.table(other)]})
        done = step(examples, schema_text=schema)
        assert done.code == 0, done.err
        files = {name: tmp_path / name for name in ("updated", "changes")}
        arguments = ["--schema", str(given), "--statistics", str(done.folder / "statistics")]
        assert review.main([*arguments, *(f"--{name}={path}" for name, path in files.items())]) == 0
        updated = text_format.Parse(files["updated"].read_text(encoding="utf-8"), schema_pb2.Schema())
        changes = json.loads(files["changes"].read_text(encoding="utf-8"))
        return updated, {each["column"]: each for each in changes}

    return go


def test_data_that_fit_change_nothing(reviewed):
    updated, changes = reviewed(columns(), columns(100))
    assert not changes
    assert updated == text_format.Parse(SCHEMA, schema_pb2.Schema())


def test_a_column_that_is_left_out_and_named_is_no_difference(reviewed):
    tables = [columns(), columns(100)]
    for table in tables:
        table["extra"] = [float(row) for row in range(len(table["pay"]))]
    assert not reviewed(*tables, SCHEMA + 'feature { name: "extra" type: FLOAT lifecycle_stage: ALPHA }')[1]


def test_what_the_data_contradict_changes_and_nothing_else(reviewed):
    train, other = columns(), columns(100)
    for table, size in ((train, 300), (other, 100)):
        table["größe"] = [float(row) for row in range(size)]
        del table["hour"]
    other["pay"][5] = "Bitcoin"  # in one split alone
    other["fare"][7] = None
    updated, changes = reviewed(train, other)
    assert {name: each["change"] for name, each in changes.items()} == {
        "größe": "added",
        "hour": "removed",
        "pay": "changed",
        "fare": "changed",
    }
    assert [each["data"] for each in changes["pay"]["fields"] if each["field"] == "values"] == [
        '["Cash", "Card", "Bitcoin"]'
    ]
    assert {each["field"] for each in changes["fare"]["fields"]} >= {"presence"}
    features = {feature.name: feature for feature in updated.feature}
    assert list(features) == ["pay", "fare", "tips", "größe"]
    assert features["tips"].not_in_environment == ["SERVING"]
    assert features["größe"].type == schema_pb2.FLOAT
    assert updated.default_environment == ["TRAINING", "SERVING"]
    assert list(updated.string_domain[0].value) == ["Cash", "Card", "Bitcoin"]


def test_the_updated_schema_is_one_that_the_data_fit(reviewed, tmp_path, step):
    train, other = columns(), columns(100)
    other["fare"][7] = None
    train["pay"][3] = other["pay"][3] = None
    train["hour"] = [100 + row for row in range(300)]
    updated, _ = reviewed(train, other)
    again = step(tmp_path / "data", schema_text=text_format.MessageToString(updated))
    assert again.parameters["anomaly_count"] == 0, again.out


def test_a_schema_that_is_none_is_refused(tmp_path, capsys):
    path = tmp_path / "schema.pbtxt"
    path.write_text("feature {", encoding="utf-8")
    arguments = ["--schema", str(path), "--statistics", str(tmp_path), "--updated", str(tmp_path / "updated")]
    assert review.main([*arguments, "--changes", str(tmp_path / "changes")]) == 1
    assert "has an error in line 1" in capsys.readouterr().err
    assert not (tmp_path / "updated").exists()
