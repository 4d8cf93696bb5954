"""Drift against an earlier run, skew against serving data."""

import pyarrow as pa
import pytest
from conftest import SCHEMA, columns, write_examples

DRIFTED = {"pay": ["Card"] * 290 + ["Cash"] * 10, "fare": [1000.0 + row for row in range(300)]}
COMPARED = SCHEMA.replace('domain: "pay"', 'domain: "pay" %s_comparator { infinity_norm { threshold: 0.1 } }')


@pytest.fixture(name="baseline")
def baseline_fixture(step, examples):
    return str(step(examples, to="earlier", schema_text=SCHEMA).folder / "statistics")


@pytest.fixture(name="drifted")
def drifted_fixture(tmp_path):
    return write_examples(
        tmp_path / "drifted", {"train": [pa.table(columns() | DRIFTED)], "eval": [pa.table(columns())]}
    )


def test_the_same_data_has_not_drifted(step, examples, baseline):
    outcome = step(examples, schema_text=SCHEMA, baseline_statistics_uri=baseline, drift_threshold="0.01")
    assert outcome.parameters == {"valid": True, "anomaly_count": 0, "drift_detected": False}
    assert len(outcome.anomalies("drift/train").drift_skew_info) == 4
    assert "within" in outcome.report


def test_the_schemas_comparator_finds_drift(step, drifted, baseline):
    outcome = step(drifted, schema_text=COMPARED % "drift", baseline_statistics_uri=baseline)
    assert outcome.parameters == {"valid": False, "anomaly_count": 1, "drift_detected": True}
    (info,) = outcome.anomalies("drift/train").drift_skew_info
    assert list(info.path.step) == ["pay"]
    assert info.drift_measurements[0].value == pytest.approx(0.96667 - 1 / 3, abs=1e-4)
    assert not outcome.anomalies("drift/eval").anomaly_info
    assert "anomaly: train (drift): 'pay': The Linfty distance" in outcome.out
    assert "exceeded" in outcome.report


def test_the_default_threshold_measures_text_and_numbers_apart(step, drifted, baseline):
    outcome = step(drifted, schema_text=SCHEMA, baseline_statistics_uri=baseline, drift_threshold="0.2")
    kinds = {name: info.reason[0].type for name, info in outcome.anomalies("drift/train").anomaly_info.items()}
    reason = type(outcome.anomalies("drift/train").anomaly_info["pay"])
    assert kinds == {
        "pay": reason.COMPARATOR_L_INFTY_HIGH,
        "fare": reason.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
    }
    assert outcome.parameters["anomaly_count"] == 2


def test_without_threshold_and_comparator_nothing_drifts(step, drifted, baseline):
    outcome = step(drifted, schema_text=SCHEMA, baseline_statistics_uri=baseline)
    assert outcome.parameters["valid"]


@pytest.mark.parametrize("made", [False, True])
def test_a_baseline_that_is_not_there_is_no_check(step, drifted, tmp_path, made):
    if made:
        (tmp_path / "none").mkdir()
    uri = str(tmp_path / "none")
    outcome = step(drifted, schema_text=COMPARED % "drift", baseline_statistics_uri=uri, drift_threshold="0.01")
    assert outcome.parameters["valid"]
    assert not (outcome.folder / "anomalies" / "drift").exists()
    assert "No drift check: there are no baseline statistics at" in outcome.report


def test_the_file_itself_may_be_given(step, drifted, baseline):
    uri = f"{baseline}/stats.tfrecord"
    assert step(drifted, schema_text=COMPARED % "drift", baseline_statistics_uri=uri).parameters["drift_detected"]


def test_a_split_without_counterpart_is_said(step, tmp_path, baseline):
    other = write_examples(tmp_path / "other", {"train": [pa.table(columns())], "holdout": [pa.table(columns())]})
    outcome = step(other, schema_text=SCHEMA, baseline_statistics_uri=baseline, drift_threshold="0.1")
    assert "No drift check of &#39;holdout&#39;" in outcome.report


def test_a_baseline_without_the_feature_is_an_anomaly_but_no_drift(step, drifted, tmp_path):
    data = columns()
    del data["pay"]
    earlier = write_examples(tmp_path / "without", {"train": [pa.table(data)]})
    uri = str(step(earlier, to="without-out").folder / "statistics")
    outcome = step(drifted, schema_text=COMPARED % "drift", baseline_statistics_uri=uri)
    # The baseline's one dataset is compared with both splits.
    assert outcome.parameters == {"valid": False, "anomaly_count": 2, "drift_detected": False}


def test_skew_is_checked_on_the_training_split(step, drifted, baseline):
    outcome = step(drifted, schema_text=COMPARED % "skew", serving_statistics_uri=baseline)
    assert outcome.parameters == {"valid": False, "anomaly_count": 1, "drift_detected": False}
    assert set(outcome.anomalies("skew/train").anomaly_info) == {"pay"}
    assert not (outcome.folder / "anomalies" / "skew" / "eval").exists()
    assert not (outcome.folder / "anomalies" / "drift").exists()
    assert "anomaly: train (skew): 'pay'" in outcome.out


def test_the_default_skew_threshold(step, drifted, baseline):
    outcome = step(drifted, schema_text=SCHEMA, serving_statistics_uri=baseline, skew_threshold="0.2")
    assert set(outcome.anomalies("skew/train").anomaly_info) == {"pay", "fare"}


def test_damaged_statistics_are_refused(step, examples, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "stats.tfrecord").write_bytes(b"not a record at all, but long enough")
    outcome = step(examples, schema_text=SCHEMA, baseline_statistics_uri=str(damaged))
    outcome.assert_refused("baseline statistics", str(damaged), "damaged")


def test_a_folder_without_statistics_is_refused(step, examples, tmp_path):
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "model.bin").write_bytes(b"x")
    outcome = step(examples, schema_text=SCHEMA, baseline_statistics_uri=str(tmp_path / "wrong"))
    outcome.assert_refused("have no stats.tfrecord", "Give the statistics artifact")


def test_serving_statistics_must_be_there(step, examples, tmp_path):
    outcome = step(examples, schema_text=SCHEMA, serving_statistics_uri=str(tmp_path / "none"))
    outcome.assert_refused("No serving statistics at")
