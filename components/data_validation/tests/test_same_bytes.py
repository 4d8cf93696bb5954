"""The same data give the same bytes, whatever process computes them, and the schema is that of the data to train on."""

import json

import pyarrow as pa
import pytest
from conftest import SCHEMA, columns, flags, write_examples
from data_validation import on_cpus

from stepkit import testing


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    tables = {"train": [pa.table(columns(70000)), pa.table(columns(70000))], "eval": [pa.table(columns(90))]}
    assert sum(table.num_rows for table in tables["train"]) > on_cpus._FEW_ROWS
    write_examples(tmp_path / "inputs", tables)
    (tmp_path / "inputs" / "schema.pbtxt").write_text(SCHEMA.replace('"Cash" value: "Card"', '"Cash"'))

    def arguments(given, out):
        more = {
            "schema_uri": str(given / "schema.pbtxt"),
            "slices": '["pay"]',
            "environments": '{"eval": "SERVING", "train": "TRAINING"}',
        }
        return flags(given, out, **more)

    first, second = testing.run_in_unlike_places("data_validation", tmp_path / "inputs", arguments, tmp_path)
    assert {"statistics/stats.tfrecord", "anomalies/train/anomalies.pbtxt", "report.html", "schema"} < set(first)
    assert first == second


@pytest.mark.parametrize("order", [["eval", "train", "a"], ["train", "a", "eval"]])
def test_a_schema_is_inferred_from_the_split_to_train_on_whatever_the_order(step, tmp_path, order):
    values = {"train": ["x", "y"], "eval": ["x"], "a": ["x", "z"]}
    examples = write_examples(tmp_path / "data", {name: [pa.table({"c": values[name] * 20})] for name in order})
    outcome = step(examples)
    assert 'value: "y"' in (outcome.folder / "schema").read_text()
    assert 'value: "z"' not in (outcome.folder / "schema").read_text()
    assert list(outcome.statistics) == ["train", "a", "eval"]
    assert "inferred from the split &#39;train&#39;" in outcome.report


def test_without_one_to_train_on_the_first_by_name_counts(step, tmp_path):
    examples = write_examples(tmp_path / "data", {name: [pa.table({"c": [name] * 20})] for name in ("second", "first")})
    assert json.loads((examples / "manifest.json").read_text())["splits"].keys() == {"second", "first"}
    assert 'value: "first"' in (step(examples).folder / "schema").read_text()
