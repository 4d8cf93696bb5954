"""Trees in the place of a Keras model: the same data, registry, server and comparison; scores in a file."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from support.checkout import ROOT
from whole_runs import PIPEYARD, SETUP, Ran

STEPS = ["extract", "data-validation", "transform", "train-trees", "evaluate", "deploy", "batch-predict", "summarize"]
PYTHON = {name: ROOT / "components" / name / ".venv/bin/python" for name in ("train_trees", "batch_predict")}


@pytest.fixture(scope="module")
def serving(taxi: Ran, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what chicago_taxi, whose model is Keras', has deployed, and beside it of the registry."""
    folder = tmp_path_factory.mktemp("trees") / "serving"
    shutil.copytree(Path(taxi.output("pushed_uri")), folder / "chicago_taxi" / "1")
    shutil.copy(project / "registry/chicago_taxi.db", folder.parent)
    return folder


@pytest.fixture(scope="module")
def trees(serving: Path, pipeyard_run: Callable[..., Ran]) -> Ran:
    """The run of chicago_taxi_trees after that of chicago_taxi: what is before transform comes from the cache."""
    registry = f"sqlite:///{serving.parent}/chicago_taxi.db"
    ran = pipeyard_run("chicago_taxi_trees", serving_uri=str(serving), registry_uri=registry)
    assert ran.code == 0, ran.text
    return ran


def test_trees_are_compared_with_keras_s_champion_blessed_and_pushed(taxi: Ran, trees: Ran, serving: Path) -> None:
    cached = {"extract": "CACHED", "data-validation": "CACHED"}
    assert trees.states == {**dict.fromkeys(STEPS, "SUCCEEDED"), **cached}
    metrics = json.loads(trees.artifact("evaluate", "metrics").read_text(encoding="utf-8"))
    champion = json.loads(taxi.artifact("evaluate", "metrics").read_text(encoding="utf-8"))
    assert trees.output("baseline_version") == 1
    assert metrics["baseline"]["AUC"] == pytest.approx(champion["AUC"], abs=1e-6)
    assert metrics["AUC"] > max(0.85, champion["AUC"] - 0.01)
    assert trees.output("outcome") == "deployed"
    pushed = Path(trees.output("pushed_uri"))
    assert pushed.parent == serving / "chicago_taxi" and pushed.name != "1"
    description = json.loads((pushed / "assets.extra/model.json").read_text(encoding="utf-8"))
    assert description["task"] == "binary"


def test_both_trainers_metrics_are_side_by_side(taxi: Ran, trees: Ran, project: Path) -> None:
    command = [str(PIPEYARD), "runs", f"--project={project}", "compare", taxi.run.id, trees.run.id, "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    both = {name for name, row in told["metrics"].items() if None not in row["values"]}
    assert {"evaluate.AUC", "train.validation.auc", "train.validation.accuracy", "train.validation.loss"} <= both
    assert told["tasks"]["train"]["states"] == ["SUCCEEDED", "SUCCEEDED"]


def test_the_server_of_keras_s_models_answers_what_was_scored(trees: Ran, serving: Path, project: Path) -> None:
    test_split = trees.artifact("extract", "examples") / "test/part-00000.parquet"
    predictions = trees.artifact("batch-predict", "predictions") / "part-00000.parquet"
    inputs = [trees.output("pushed_uri"), test_split, predictions, "50"]
    script = [PYTHON["batch_predict"], Path(__file__).with_name("scored_rows.py"), *inputs]
    asked = json.loads(subprocess.run(script, capture_output=True, text=True, check=True).stdout)
    serve = [str(PIPEYARD), "serve", f"--project={project}", f"--folder={serving}"]
    try:
        started = subprocess.run(
            [*serve, "start", "chicago_taxi", "--json"], capture_output=True, text=True, check=False
        )
        assert started.returncode == 0, started.stderr
        url = f"{json.loads(started.stdout)['url']}/v1/models/chicago_taxi:predict"
        body = json.dumps({"instances": [row for row, _ in asked]}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
    finally:
        subprocess.run([*serve, "stop"], capture_output=True, text=True, check=False)
    assert answer["model_version"] == Path(trees.output("pushed_uri")).name
    found = [each["probability"] for each in answer["predictions"]]
    assert found == pytest.approx([scores["predicted_probability"] for _, scores in asked], abs=1e-6)
    assert max(found) - min(found) > 0.3
    assert [scores["fare"] for _, scores in asked] == [row["fare"] for row, _ in asked]


def test_on_every_flight_trees_take_xgboost_s_ways(project: Path) -> None:
    """One objective; benchmarks/tables/trainers.py has all."""
    subprocess.run([project / "pipelines/flights/fetch-data"], check=True, env=SETUP)
    script = [PYTHON["train_trees"], ROOT / "benchmarks/programs/tree_leaves.py"]
    data = project / "pipelines/flights/data/flights.csv"
    flags = ["--rounds=10", "--objective=binary:logistic"]
    told = subprocess.run([*script, data, *flags], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    (found,) = json.loads(told.stdout).values()
    assert (found["rows"], found["other_leaves"]) == (336_776, 0)
    assert found["error"] < 1e-6
