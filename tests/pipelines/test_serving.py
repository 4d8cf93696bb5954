"""What a client gets from the pushed model is what the model saw in training."""

import json
import subprocess

from whole_runs import ROOT


def test_signatures_agree_with_each_other_and_with_training(taxi):
    script = ROOT / "tests/pipelines/served_model.py"
    python = ROOT / "components/transform/.venv/bin/python"
    inputs = [
        taxi.output("pushed_uri"),
        taxi.artifact("extract", "examples"),
        taxi.artifact("data-validation", "schema"),
        taxi.artifact("transform", "transformed_examples"),
        "big_tip",
    ]
    asked = subprocess.run([python, script, *inputs], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["rows"] == 512
    assert answer["spread"] > 0.5
    assert answer["examples_against_rows"] < 1e-6
    assert answer["label_in_features"]
    assert max(answer["serving_against_training"].values()) < 1e-6
    assert len(answer["serving_against_training"]) > 10
