"""The same data and models give the same bytes, whatever process evaluates them."""

import json
import shutil

import pytest
from conftest import Step

from stepkit import testing


@pytest.fixture(name="inputs", scope="module")
def _inputs(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs") / "inputs"
    shutil.copytree(shared, folder)
    return folder


def test_the_same_inputs_give_the_same_bytes(inputs, tmp_path):
    champion = str(inputs / "opposite")  # a registered model is at the same place for all

    def arguments(given, out):
        step = Step(out.parent, given / "examples", given / "schema", given / "model")
        return step.argv(
            slices=["group", ["group", "day"]],
            thresholds={"AUC": {"lower": 0.5, "min_change": 0.0}, "Precision": {"lower": 0.99}},
            baseline_model_uri=champion,
            importance_rows=300,
        )

    first, second = testing.run_in_unlike_places("evaluate", inputs, arguments, tmp_path)
    assert {"evaluation/eval_config.json", "evaluation/metrics-00000-of-00001.tfrecord", "report", "metrics"} < set(
        first
    )
    assert first == second
    config = json.loads((tmp_path / "place" / "out" / "evaluation" / "eval_config.json").read_text(encoding="utf-8"))
    assert config["dataLocation"].startswith("sha256:") and config["modelLocations"]["baseline"] == champion
