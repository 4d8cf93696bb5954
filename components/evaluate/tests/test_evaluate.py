"""Whole runs: what is written, and what the verdict is."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
import yaml
from conftest import GROUPS, make_table, write_model
from evaluate.cli import build_parser

from stepkit import digest, registry

COMPONENT = Path(__file__).parents[1] / "component.yaml"


def exact_auc(score, label):
    """The share of (positive, negative) pairs that are in order."""
    positives, negatives = score[label == 1], score[label == 0]
    return np.mean(positives[:, None] > negatives[None, :])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture(scope="module", name="expected")
def fixture_expected():
    table = make_table().to_pydict()
    x, label, group = np.array(table["x"]), np.array(table["target"]), np.array(table["group"])
    return sigmoid(2 * x), label, group


def test_flags_and_defaults_are_those_of_the_component():
    spec = yaml.safe_load(COMPONENT.read_text(encoding="utf-8"))
    parser = build_parser()
    actions = [action for action in parser._actions if action.dest != "help"]
    declared = {item["name"] for item in spec["inputs"] + spec["outputs"]}
    assert {action.dest for action in actions} == declared | {"executor_input"}
    required = [action.option_strings[0] for action in actions if action.required]
    args = vars(parser.parse_args([word for flag in required for word in (flag, "x")]))
    for item in spec["inputs"]:
        if "default" in item:
            is_json = item["type"] in ("JsonArray", "JsonObject", "Integer")
            assert args[item["name"]] == (json.loads(item["default"]) if is_json else item["default"]), item["name"]


def test_metrics_are_right_and_tfma_reads_the_results(step, expected):
    score, label, group = expected
    assert step.run(slices=["group", ["day", "group"]], thresholds={"AUC": {"lower": 0.7, "min_change": -0.01}}) == 0
    metrics = step.json("metrics")
    assert metrics["AUC"] == pytest.approx(exact_auc(score, label), abs=2e-4)
    assert metrics["BinaryAccuracy"] == pytest.approx(np.mean((score > 0.5) == (label == 1)))
    loss = -np.mean(label * np.log(score) + (1 - label) * np.log(1 - score))
    assert metrics["BinaryCrossentropy"] == pytest.approx(loss, rel=1e-4)
    assert metrics["ExampleCount"] == len(label)
    assert list(metrics)[:2] == ["AUC", "BinaryAccuracy"]
    assert "baseline" not in metrics

    folder = str(step.out / "evaluation")
    loaded = tfma.load_eval_result(folder)
    by_slice = {key: values[""][""] for key, values in loaded.slicing_metrics}
    assert by_slice[()]["auc"]["doubleValue"] == metrics["AUC"]
    big = group == "big"
    auc = by_slice[(("group", "big"),)]["auc"]["doubleValue"]
    assert auc == pytest.approx(exact_auc(score[big], label[big]), abs=2e-4)
    assert by_slice[(("group", "tiny"),)]["example_count"]["doubleValue"] == GROUPS["tiny"]
    assert (("day", 1), ("group", "big")) in by_slice
    assert len(by_slice) == 1 + 3 + 6
    assert loaded.config.model_specs[0].label_key == "label"
    assert tfma.load_validation_result(folder).validation_ok

    assert step.text("blessed") == "true"
    assert step.text("reason") == "the threshold is met; no champion to compare with"
    assert step.text("baseline_version") == "0"


def test_classification_metrics_and_report(step, expected):
    score, label, _ = expected
    metadata = {
        "outputFile": str(step.out / "executor_output.json"),
        "artifacts": {
            name: {"artifacts": [{"name": name, "uri": str(step.out / name)}]}
            for name in ("metrics", "classification_metrics")
        },
    }
    assert step.run(slices=["group"], executor_input={"outputs": metadata}) == 0
    found = step.json("classification_metrics")
    true_positives = int(np.sum((score > 0.5) & (label == 1)))
    false_positives = int(np.sum((score > 0.5) & (label == 0)))
    assert found["confusionMatrix"]["annotationSpecs"] == [{"displayName": "0"}, {"displayName": "1"}]
    assert found["confusionMatrix"]["rows"] == [
        {"row": [int(np.sum(label == 0)) - false_positives, false_positives]},
        {"row": [int(np.sum(label == 1)) - true_positives, true_positives]},
    ]
    roc = found["confidenceMetrics"]
    assert 10 < len(roc) <= 200
    assert (roc[0]["recall"], roc[0]["falsePositiveRate"]) == (0, 0)
    assert (roc[-1]["recall"], roc[-1]["falsePositiveRate"]) == (1, 1)
    area = np.trapezoid([point["recall"] for point in roc], [point["falsePositiveRate"] for point in roc])
    assert area == pytest.approx(exact_auc(score, label), abs=0.005)

    shown = step.json("executor_output.json")["artifacts"]
    assert shown["classification_metrics"]["artifacts"][0]["metadata"] == found
    assert shown["metrics"]["artifacts"][0]["metadata"]["AUC"] == step.json("metrics")["AUC"]

    page = step.text("report")
    for words in (
        "Blessed",
        "no thresholds were set",
        "group=quiet",
        "only one class",
        "ROC",
        "Calibration",
        "predicted 1",
    ):
        assert words in page
    assert "<script" not in page
    assert "src=" not in page
    assert "nan" not in page.lower().replace("provenance", "")


def test_unmet_threshold_says_which(step):
    assert step.run(thresholds={"AUC": {"lower": 0.99}, "Recall": {"upper": 0.1}, "Precision": {"lower": 0.1}}) == 0
    assert step.text("blessed") == "false"
    reason = step.text("reason")
    assert reason.startswith("AUC 0.8") or reason.startswith("AUC 0.9")
    assert reason.endswith(" is below its lower bound 0.99; 1 more threshold is not met")
    assert "Not blessed" in step.text("report")
    result = tfma.load_validation_result(str(step.out / "evaluation"))
    assert not result.validation_ok
    assert {failure.metric_key.name for failure in result.metric_validations_per_slice[0].failures} == {"auc", "recall"}


def test_thresholds_concern_slices_only_if_they_say_so(step):
    bounds = {"lower": 0.7}
    assert step.run(slices=["group"], thresholds={"AUC": bounds}, min_slice_size=1) == 0
    assert step.text("blessed") == "true"

    assert step.run(slices=["group"], thresholds={"AUC": bounds | {"slices": True}}, min_slice_size=1) == 0
    assert step.text("blessed") == "false"
    # Not `quiet`, in which there is one class and so no AUC.
    assert step.text("reason") == "AUC 0 of group=tiny (20 examples) is below its lower bound 0.7"
    result = tfma.load_validation_result(str(step.out / "evaluation"))
    assert [str(item.slice_key.single_slice_keys[0].bytes_value) for item in result.metric_validations_per_slice] == [
        "b'tiny'"
    ]

    assert step.run(slices=["group"], thresholds={"AUC": bounds | {"slices": True}}, min_slice_size=21) == 0
    assert step.text("blessed") == "true"
    page = step.text("report")
    assert "not applied, fewer than 21 examples" in page
    assert "not applied, only one class" in page
    assert tfma.load_validation_result(str(step.out / "evaluation")).validation_ok


def test_undefined_metric_of_the_whole_split_fails(step, tmp_path):
    timid = write_model(tmp_path / "timid", weight=0.0)
    thresholds = {"FalseDiscoveryRate": {"upper": 1.0}}
    assert step.run(model=timid, metrics_config=["AUC", "FalseDiscoveryRate"], thresholds=thresholds) == 0
    assert step.text("blessed") == "false"
    assert step.text("reason") == "FalseDiscoveryRate is undefined, so that its bound 1 can't be met"
    assert step.json("metrics")["FalseDiscoveryRate"] is None


def test_compares_with_the_champion_of_the_registry(step, shared, new_registry):
    uri = new_registry
    model = shared / "opposite"
    version = registry.ModelVersion("taxi", 3, str(model), digest.of_tree(model), {})
    registry.register(uri, version, registry.CHAMPION, {})
    inputs = {"registry_uri": uri, "model_name": "taxi", "slices": ["group"]}
    assert step.run(thresholds={"AUC": {"min_change": 0.1}, "BinaryCrossentropy": {"max_change": 0}}, **inputs) == 0
    assert step.text("baseline_version") == "3"
    assert step.text("blessed") == "true"
    assert step.text("reason") == "all 2 thresholds are met; compared with champion version 3"
    metrics = step.json("metrics")
    assert metrics["baseline"]["AUC"] == pytest.approx(1 - metrics["AUC"], abs=1e-3)
    loaded = tfma.load_eval_result(str(step.out / "evaluation"), model_name="baseline")
    overall = dict(loaded.slicing_metrics)[()][""][""]
    assert overall["auc"]["doubleValue"] == metrics["baseline"]["AUC"]
    assert "Champion version 3" in step.text("report")

    # The other way round the candidate is worse.
    assert step.run(model=model, thresholds={"AUC": {"min_change": -0.01}}, baseline_model_uri=shared / "model") == 0
    assert step.text("blessed") == "false"
    assert step.text("baseline_version") == "0"
    assert "from the baseline's 0." in step.text("reason")
    assert step.text("reason").endswith(", below its minimum of -0.01")

    # A model against itself.
    assert step.run(model=model, thresholds={"AUC": {"min_change": 0}}, **inputs) == 0
    assert step.text("blessed") == "true"


def test_without_champion_value_thresholds_count_alone(step, tmp_path):
    inputs = {"registry_uri": f"sqlite:///{tmp_path}/none.db", "model_name": "taxi"}
    assert step.run(thresholds={"AUC": {"min_change": 0.5}}, **inputs) == 0
    assert step.text("blessed") == "true"
    assert step.text("reason") == "no value thresholds were set; no champion to compare with"
    assert "no baseline" in step.text("report")


def test_parameters_as_backends_print_them(step):
    assert step.run(min_slice_size="100.0", thresholds='{"ExampleCount": {"lower": 1.0}}', executor_input="{{$}}") == 0
    assert step.text("reason") == "the threshold is met; no champion to compare with"
