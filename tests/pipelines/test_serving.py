"""What a client gets from the pushed model is what the model saw in training."""

import json
import re
import subprocess

from whole_runs import PIPEYARD, ROOT


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


def test_what_was_run_is_served_and_answers_the_readme_s_curl(taxi, project):
    """As `make run` ends, of one model; at a port that nobody has."""
    serve = [str(PIPEYARD), "serve", f"--project={project}"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^curl .*?'$", readme, re.MULTILINE | re.DOTALL)
    try:
        started = subprocess.run(
            [*serve, "start", "chicago_taxi", "--json"], capture_output=True, text=True, check=False
        )
        assert started.returncode == 0, started.stderr
        state = json.loads(started.stdout)
        version = str(state["models"]["chicago_taxi"]["stable"])
        assert f"{version}/" in f"{taxi.output('pushed_uri')}/"
        asked = subprocess.run(
            command.replace("http://127.0.0.1:8500", state["url"]),
            shell=True,
            capture_output=True,
            text=True,
            check=True,
        )
        answer = json.loads(asked.stdout)
        assert answer["model_version"] == version
        assert [0 <= each["probability"] <= 1 for each in answer["predictions"]] == [True]
        again = subprocess.run([*serve, "start"], capture_output=True, text=True, check=True)
        (printed,) = re.findall(r"^  (curl .*)$", again.stdout, re.MULTILINE)
        answer = json.loads(subprocess.run(printed, shell=True, capture_output=True, text=True, check=True).stdout)
        assert answer["model_version"] == version
    finally:
        stopped = subprocess.run([*serve, "stop"], capture_output=True, text=True, check=False)
    assert stopped.stdout == "Stopped.\n"
