"""What the step writes for data that fits, and for data that doesn't."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import SCHEMA, columns, write_examples
from data_validation import checking, topk
from data_validation.step import first_in_words
from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies, AnomalyInfo

TRAINING = '{"train": "TRAINING", "eval": "TRAINING"}'


def found(outcome) -> set[tuple[str, str]]:
    """Returns (feature, TFDV's anomaly type) of the split train."""
    infos = outcome.anomalies("train").anomaly_info
    return {(name, AnomalyInfo.Type.Name(reason.type)) for name, info in infos.items() for reason in info.reason}


def check(step, tmp_path: Path, data: dict, schema: str = SCHEMA, **more: str):
    examples = write_examples(tmp_path / "data", {"train": [pa.table(data)]})
    return step(examples, schema_text=schema, **more)


def test_good_data_is_valid_and_every_output_is_there(step, examples):
    outcome = step(examples, schema_text=SCHEMA, environments=TRAINING)
    assert outcome.code == 0, outcome.err
    assert outcome.parameters == {"valid": True, "anomaly_count": 0, "drift_detected": False}
    assert {name: dataset.num_examples for name, dataset in outcome.statistics.items()} == {"train": 300, "eval": 150}
    assert not outcome.anomalies("train").anomaly_info
    assert not outcome.anomalies("eval").anomaly_info
    assert sorted(path.name for path in (outcome.folder / "anomalies").iterdir()) == ["eval", "train"]
    assert "No drift check" in outcome.report
    assert "No skew check" in outcome.report


def test_statistics_say_what_is_in_the_data(step, examples):
    features = {f.path.step[0]: f for f in step(examples, schema_text=SCHEMA).statistics["train"].features}
    assert features["hour"].num_stats.common_stats.num_missing == 30
    assert features["fare"].num_stats.mean == sum(columns()["fare"]) / 300
    assert features["fare"].num_stats.num_zeros == 6
    assert features["pay"].string_stats.unique == 2
    assert [(top.value, top.frequency) for top in features["pay"].string_stats.top_values] == [
        ("Cash", 200),
        ("Card", 100),
    ]


def test_a_schema_that_was_inferred_can_be_given(step, examples, tmp_path):
    first = step(examples)
    assert first.parameters["valid"]
    assert "inferred from the split &#39;train&#39;" in first.report
    second = step(examples, to="again", schema_uri=str(first.folder / "schema"))
    assert second.parameters["valid"]
    texts = [(tmp_path / to / "schema").read_text() for to in ("out", "again")]
    assert texts[0] == texts[1]
    assert re.search(r'name: "hour"(?s:.)*?type: INT', texts[0])  # integers with missing values stay integers


def test_slices_that_are_named_twice_count_once(step, examples):
    once = step(examples, to="once", slices='["pay", ["hour", "pay"]]')
    twice = step(examples, slices='["pay", ["pay", "pay"], ["pay", "hour"], ["hour", "pay"]]')
    assert once.statistics["train/pay_Cash"].num_examples == 200
    assert once.statistics == twice.statistics


def test_counts_that_are_estimates_are_told(step, tmp_path):
    rows = topk.MOST_VALUES + (1 << 16)
    data = {"id": [f"{row:x}" for row in range(rows)], "pay": ["Cash"] * rows}
    outcome = step(write_examples(tmp_path / "data", {"train": [pa.table(data)], "eval": [pa.table(columns())]}))
    note = "The most frequent values of {} and their number are estimates in train: there are more than 262,144"
    assert note.format("'id'") in outcome.out
    assert note.format("&#39;id&#39;") in outcome.report
    assert "of 'pay'" not in outcome.out
    features = {feature.path.step[0]: feature.string_stats for feature in outcome.statistics["train"].features}
    assert features["id"].unique == pytest.approx(rows, rel=0.05)
    assert (features["pay"].unique, features["pay"].top_values[0].frequency) == (1, rows)


def test_environments_do_not_apply_to_an_inferred_schema(step, examples):
    outcome = step(examples, environments=TRAINING)
    assert outcome.code == 0
    assert "an inferred schema has none" in outcome.report


def test_the_report_needs_no_network_and_escapes_values(step, tmp_path):
    outcome = check(step, tmp_path, columns() | {"pay": ["<script>alert(1)</script>"] * 300})
    assert "&lt;script&gt;" in outcome.report
    assert "<script" not in outcome.report
    assert not re.search(r"(src|href)=|url\(|@import", outcome.report)


def test_metadata_goes_to_kfp(step, examples, tmp_path):
    target = tmp_path / "executor" / "output.json"
    artifact = {"artifacts": [{"name": "anomalies", "uri": "gs://bucket/anomalies"}]}
    executor = json.dumps({"outputs": {"outputFile": str(target), "artifacts": {"anomalies": artifact}}})
    step(examples, schema_text=SCHEMA, executor_input=executor)
    metadata = json.loads(target.read_text())["artifacts"]["anomalies"]["artifacts"][0]["metadata"]
    assert metadata == {"anomaly_count": 0, "drift_detected": False, "valid": True}


def test_anomalies_go_to_kfp_in_words(step, tmp_path):
    target = tmp_path / "executor" / "output.json"
    artifact = {"artifacts": [{"name": "anomalies", "uri": "gs://bucket/anomalies"}]}
    executor = json.dumps({"outputs": {"outputFile": str(target), "artifacts": {"anomalies": artifact}}})
    outcome = check(step, tmp_path, columns() | {"hour": [99] * 300}, executor_input=executor)
    metadata = json.loads(target.read_text())["artifacts"]["anomalies"]["artifacts"][0]["metadata"]
    (line,) = [line.removeprefix("anomaly: ") for line in outcome.out.splitlines() if line.startswith("anomaly: ")]
    assert metadata["anomalies"] == [line]
    assert line.startswith("train: 'hour': ")


def test_of_many_and_long_anomalies_the_first_are_told_shortened():
    found = [checking.Finding("schema", "train", f"f{number}", "K", "x" * 500, "Mend it.") for number in range(12)]
    result = checking.Result("schema", "train", Anomalies(), found)
    short = checking.Result("drift", "eval", Anomalies(), [replace(found[0], check="drift", problem="p.")])
    told = first_in_words([short, result])
    assert told[0] == "train (drift): 'f0': p. Mend it."
    assert len(told) == 10
    assert told[1] == f"train: 'f0': {'x' * 500}"[:399] + "\u2026"


def test_a_value_beyond_the_domain_is_named(step, tmp_path):
    outcome = check(step, tmp_path, columns() | {"pay": ["Bitcoin"] * 30 + ["Cash"] * 270})
    assert outcome.code == 0
    assert outcome.parameters == {"valid": False, "anomaly_count": 1, "drift_detected": False}
    assert found(outcome) == {("pay", "ENUM_TYPE_UNEXPECTED_STRING_VALUES")}
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("anomaly: ")]
    assert line.startswith("anomaly: train: 'pay': ")
    assert "Bitcoin (~10%)" in line
    assert "add the values to the feature's domain" in line
    assert "Bitcoin" in outcome.report


def test_a_number_out_of_range_is_named(step, tmp_path):
    outcome = check(step, tmp_path, columns() | {"hour": [99] * 300})
    assert found(outcome) == {("hour", "INT_TYPE_BIG_INT")}
    assert "99" in outcome.out


def test_a_dropped_column_is_an_anomaly(step, tmp_path):
    data = columns()
    del data["fare"]
    outcome = check(step, tmp_path, data)
    assert outcome.code == 0
    assert not outcome.parameters["valid"]
    assert found(outcome) == {("fare", "SCHEMA_MISSING_COLUMN")}
    assert "train: 'fare': The column is in the schema but not in the data." in outcome.out


def test_a_dropped_column_is_an_anomaly_even_if_sliced_by(step, tmp_path):
    data = columns()
    del data["pay"]
    outcome = check(step, tmp_path, data, slices='["pay", ["pay", "hour"]]')
    assert outcome.code == 0
    assert found(outcome) == {("pay", "SCHEMA_MISSING_COLUMN")}
    assert list(outcome.statistics) == ["train"]


def test_a_dropped_optional_column_is_an_anomaly_too(step, tmp_path):
    schema = (
        SCHEMA + 'feature { name: "extra" type: INT } feature { name: "old" type: INT lifecycle_stage: DEPRECATED }'
    )
    outcome = check(step, tmp_path, columns(), schema)
    assert found(outcome) == {("extra", "SCHEMA_MISSING_COLUMN")}
    assert outcome.parameters["anomaly_count"] == 1


def test_a_renamed_column_is_suggested(step, tmp_path):
    data = columns()
    data["fares"] = data.pop("fare")
    assert "Did you mean 'fares'" in check(step, tmp_path, data).out


def test_a_column_missing_from_the_environment_may_be_absent(step, tmp_path):
    data = columns()
    del data["tips"]
    assert check(step, tmp_path, data, environments='{"train": "SERVING"}').parameters["valid"]
    assert not step(
        tmp_path / "data", to="training", schema_text=SCHEMA, environments='{"train": "TRAINING"}'
    ).parameters["valid"]


def test_a_column_that_should_not_be_in_the_environment_is_an_anomaly(step, tmp_path):
    outcome = check(step, tmp_path, columns(), environments='{"train": "SERVING"}')
    assert found(outcome) == {("tips", "SCHEMA_NEW_COLUMN")}


def test_columns_not_in_the_schema_are_listed_but_no_anomaly(step, tmp_path):
    outcome = check(step, tmp_path, columns() | {"census_tract": [1] * 300})
    assert outcome.parameters["valid"]
    assert "Columns not in the schema, and so not checked: census_tract." in outcome.report
    assert "census_tract" in {feature.path.step[0] for feature in outcome.statistics["train"].features}


def test_an_all_null_column_is_an_anomaly_where_the_schema_requires_values(step, tmp_path):
    for index, nothing in enumerate((pa.nulls(300), pa.nulls(300, pa.int64()))):
        outcome = check(step, tmp_path / str(index), columns() | {"hour": nothing}, to=str(index))
        assert outcome.code == 0, outcome.err
        assert found(outcome) == {("hour", "FEATURE_TYPE_NOT_PRESENT")}
        assert "'hour': Every value is missing." in outcome.out


def test_an_all_null_column_is_listed_where_nothing_requires_values(step, tmp_path):
    outcome = check(step, tmp_path, columns() | {"spare": pa.nulls(300)}, schema="")
    assert outcome.parameters["valid"]
    assert "spare" in outcome.report
    assert "all 300" in outcome.report


def test_missing_values_of_a_required_feature_are_one_anomaly(step, tmp_path):
    outcome = check(step, tmp_path, columns() | {"fare": [None] * 3 + [1.0] * 297})
    assert outcome.parameters["anomaly_count"] == 1
    assert "minimum fraction = 1.000000, actual = 0.990000" in outcome.out


def test_text_in_a_number_is_an_anomaly_that_names_the_value(step, tmp_path):
    outcome = check(step, tmp_path, columns() | {"hour": ["7"] * 299 + ["noon"]})
    assert outcome.code == 0, outcome.err
    assert ("hour", "UNEXPECTED_DATA_TYPE") in found(outcome)
    assert outcome.parameters["anomaly_count"] == 1
    assert "Expected data of type: INT but got STRING" in outcome.out
    assert "noon" in outcome.out
    assert "part-00000.parquet" in outcome.out


def test_numbers_as_text_are_numbers(step, tmp_path):
    outcome = check(step, tmp_path, columns() | {"hour": ["7"] * 300})
    assert outcome.parameters["valid"]


def test_fractions_in_an_integer_are_an_anomaly(step, tmp_path):
    assert ("hour", "UNEXPECTED_DATA_TYPE") in found(check(step, tmp_path, columns() | {"hour": [7.5] * 300}))
    whole = write_examples(tmp_path / "whole", {"train": [pa.table(columns() | {"hour": [7.0] * 300})]})
    assert step(whole, to="whole-out", schema_text=SCHEMA).parameters["valid"]


def test_nan_and_infinity_are_anomalies_if_the_schema_says_so(step, tmp_path):
    strict = SCHEMA.replace('name: "fare" type: FLOAT', 'name: "fare" type: FLOAT float_domain { %s }')
    data = columns() | {"fare": [float("nan")] * 2 + [1.0] * 298, "tips": [float("inf")] * 2 + [1.0] * 298}
    assert found(check(step, tmp_path, data, strict % "disallow_nan: true")) == {("fare", "FLOAT_TYPE_HAS_NAN")}
    loose = step(tmp_path / "data", to="loose", schema_text=SCHEMA)
    assert loose.parameters["valid"]
    assert "<th>NaN</th>" in loose.report


def test_slices_are_further_datasets(step, examples):
    outcome = step(examples, schema_text=SCHEMA, slices='["pay", ["pay", "hour"]]')
    datasets = outcome.statistics
    assert list(datasets)[:2] == ["train", "eval"]
    assert datasets["train/pay_Cash"].num_examples == 200
    assert datasets["eval/pay_Card"].num_examples == 50
    crossed = [dataset for name, dataset in datasets.items() if re.fullmatch(r"train/hour_\d+_pay_\w+", name)]
    assert sum(dataset.num_examples for dataset in crossed) == 270  # rows without an hour are in none
    assert "pay_Cash" in outcome.report


def test_fail_lists_the_anomalies_and_writes_nothing(step, tmp_path):
    outcome = check(step, tmp_path, columns() | {"pay": ["Bitcoin"] * 300}, on_anomaly="fail")
    outcome.assert_refused("1 anomaly", "--on-anomaly is fail", "'pay'", "Bitcoin", "Nothing was written")


def test_fail_lets_good_data_pass(step, tmp_path):
    assert check(step, tmp_path, columns(), on_anomaly="fail").parameters["valid"]
