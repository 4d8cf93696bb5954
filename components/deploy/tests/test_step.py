"""The step as a whole: what it writes, where, and when it pushes nothing."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROWS, Files
from deploy.cli import main
from fsspec.implementations.memory import MemoryFileSystem

from stepkit import digest, registry
from stepkit.served import BESIDE, MODEL_CARD, MODEL_CARD_PAGE, OPERATING_POINT, RECORD, STATISTICS


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_model_is_checked_pushed_and_registered(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    import tensorflow as tf

    assert main(files.argv()) == 0
    pushed = files.serving / "taxi" / "1"
    assert (files.outputs / "version").read_text() == "1"
    assert (files.outputs / "pushed_uri").read_text() == str(pushed)

    record = read(pushed / "pipeyard.json")
    assert record.pop("pushed_at").endswith("+00:00")
    assert record == {
        "name": "taxi",
        "version": 1,
        "uri": str(pushed),
        "digest": digest.of_tree(files.model),
        "alias": "champion",
        "metrics": {"AUC": 0.75},
        "run_id": "run-7",
        "schema_digest": digest.of_file(files.schema),
        "examples_digest": digest.of_file(files.examples / "manifest.json"),
        "model_card": MODEL_CARD_PAGE,
    }
    assert read(files.outputs / "pushed_model") == record | {"pushed": True}

    champion = registry.get_by_alias(files.registry_uri, "taxi", "champion")
    assert (champion.version, champion.uri, champion.digest) == (1, str(pushed), record["digest"])
    assert champion.tags["run_id"] == "run-7"
    assert champion.tags["metric.AUC"] == "0.75"

    validation = read(files.outputs / "infra_validation")
    assert validation["rows"] == len(validation["answers"]) == len(ROWS["miles"])
    assert validation["max_difference"] <= 1e-6
    # Times are in the log: an artifact of equal inputs has equal bytes.
    assert validation.keys() == {"rows", "answers", "max_difference", "tolerance"}
    assert re.search(r"loaded in [\d.]+ s; first answers: (serving_default|serve_raw) .* s, ", capsys.readouterr().err)
    expected = tf.sigmoid([0.5 - 0.1 + 0.01, 1.5 - 2, 2.5 - 0.3 + 0.03, 3.5 - 4, 4.5 - 0.5 + 0.05 - 5]).numpy()
    assert validation["answers"] == pytest.approx(expected.tolist(), abs=1e-6)

    assert (pushed / "assets.extra/stats.tfrecord").read_bytes() == b"statistics"
    served = tf.saved_model.load(str(pushed)).signatures["serve_raw"]
    answer = served(
        miles=tf.constant([[0.5]]),
        area=tf.constant([[1]], tf.int64),
        company=tf.constant([["a"]]),
        wait=tf.constant([[float("nan")]]),
    )
    assert answer["probabilities"].numpy().item() == pytest.approx(validation["answers"][0])


def test_no_more_rows_are_asked_than_wanted(files: Files) -> None:
    assert main(files.argv(sample_rows="2.0")) == 0
    assert read(files.outputs / "infra_validation")["rows"] == 2


def test_the_same_model_is_pushed_once_and_only_its_alias_moves(
    files: Files, save_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(files, model=save_model(weight=2.0))
    assert main(files.argv()) == 0
    assert main(other.argv(alias="challenger")) == 0
    assert registry.get_by_alias(files.registry_uri, "taxi", "champion").version == 1
    assert registry.get_by_alias(files.registry_uri, "taxi", "challenger").version == 2

    before = sorted(files.serving.rglob("*"))
    assert main(other.argv(run_id="run-8")) == 0
    assert "version 2 was there already: nothing pushed" in capsys.readouterr().err
    assert sorted(files.serving.rglob("*")) == before
    assert read(files.outputs / "pushed_model")["pushed"] is False
    assert (files.outputs / "version").read_text() == "2"
    assert registry.get_by_alias(files.registry_uri, "taxi", "champion").version == 2

    assert main(files.argv()) == 0
    assert (files.outputs / "version").read_text() == "1"
    assert registry.get_by_alias(files.registry_uri, "taxi", "champion").version == 1


def test_a_version_whose_files_changed_is_not_taken_for_the_model(files: Files) -> None:
    assert main(files.argv()) == 0
    (files.serving / "taxi" / "1" / "saved_model.pb").write_bytes(b"damaged")
    assert main(files.argv()) == 0
    assert (files.outputs / "version").read_text() == "2"
    assert (files.serving / "taxi" / "1" / "saved_model.pb").read_bytes() == b"damaged"


def test_numbers_go_on_after_versions_that_others_pushed(files: Files) -> None:
    (files.serving / "taxi" / "41").mkdir(parents=True)
    (files.serving / "taxi" / "notes").mkdir()
    assert main(files.argv()) == 0
    assert (files.outputs / "version").read_text() == "42"


def test_a_served_version_can_be_deployed_elsewhere_and_keeps_its_digest(files: Files) -> None:
    assert main(files.argv()) == 0
    first = read(files.outputs / "pushed_model")
    served = replace(files, model=files.serving / "taxi" / "1")
    assert main(served.argv(model_name="copy")) == 0
    second = read(files.outputs / "pushed_model")
    assert second["digest"] == first["digest"]
    assert read(Path(second["uri"]) / "pipeyard.json")["name"] == "copy"


def test_relative_and_file_uris_are_recorded_as_absolute_paths(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files.workspace)
    assert main(files.argv(serving_uri="served")) == 0
    assert registry.get_by_alias(files.registry_uri, "taxi", "champion").uri == f"{files.workspace}/served/taxi/1"
    assert main(files.argv(serving_uri=f"file://{files.workspace}/served")) == 0
    assert (files.outputs / "version").read_text() == "1"


def test_models_go_to_object_stores(files: Files, save_model: Callable[..., Path]) -> None:
    base = f"memory://{files.workspace}/models"
    assert main(files.argv(serving_uri=base)) == 0
    assert (files.outputs / "pushed_uri").read_text() == f"{base}/taxi/1"
    assert main(files.argv(serving_uri=base)) == 0
    assert read(files.outputs / "pushed_model")["pushed"] is False
    assert main(replace(files, model=save_model(weight=2.0)).argv(serving_uri=base)) == 0
    assert (files.outputs / "version").read_text() == "2"
    assert registry.get_by_alias(files.registry_uri, "taxi", "champion").uri == f"{base}/taxi/2"
    folder = f"{files.workspace}/models/taxi/2"
    names = {name.removeprefix(f"{folder}/") for name in MemoryFileSystem().find(folder)}
    model = {str(item.relative_to(files.model)) for item in files.model.rglob("*") if item.is_file()}
    assert names == model | {RECORD, STATISTICS, MODEL_CARD, MODEL_CARD_PAGE}


def test_an_operating_point_goes_with_the_model_until_there_is_none(files: Files) -> None:
    point = {"threshold": 0.25, "splits": {"eval": {"recall": 0.8}}}
    beside = files.serving / "taxi/1" / OPERATING_POINT
    assert main(files.argv(operating_point=json.dumps(point))) == 0
    assert read(beside) == point
    assert main(files.argv(operating_point=json.dumps(point | {"threshold": 0.5}))) == 0
    assert read(beside)["threshold"] == 0.5
    assert main(files.argv()) == 0
    assert (files.outputs / "version").read_text() == "1"
    assert not beside.exists()


def test_an_operating_point_goes_to_object_stores(files: Files) -> None:
    base = f"memory://{files.workspace}/points"
    target, store = f"{files.workspace}/points/taxi/1/{OPERATING_POINT}", MemoryFileSystem()
    for threshold in (0.25, 0.5):
        assert main(files.argv(serving_uri=base, operating_point=json.dumps({"threshold": threshold}))) == 0
        assert json.loads(store.cat_file(target)) == {"threshold": threshold}
    assert main(files.argv(serving_uri=base)) == 0
    assert not store.exists(target)


def test_kfp_gets_the_version_as_metadata(files: Files) -> None:
    target = files.workspace / "executor_output.json"
    artifact = {"name": "pushed_model", "uri": "gs://bucket/pushed_model"}
    executor_input = {
        "outputs": {"outputFile": str(target), "artifacts": {"pushed_model": {"artifacts": [artifact]}}},
    }
    assert main(files.argv(executor_input=json.dumps(executor_input))) == 0
    metadata = read(target)["artifacts"]["pushed_model"]["artifacts"][0]["metadata"]
    assert (metadata["version"], metadata["alias"], metadata["run_id"]) == (1, "champion", "run-7")


def test_two_deploys_at_once_make_two_versions(files: Files, save_model: Callable[..., Path]) -> None:
    models = [files, replace(files, model=save_model(weight=2.0))]
    commands = [
        [sys.executable, "-m", "deploy", *item.argv(version=files.outputs / str(index) / "version")]
        for index, item in enumerate(models)
    ]
    with (
        subprocess.Popen(commands[0], stderr=subprocess.PIPE, text=True) as first,
        subprocess.Popen(commands[1], stderr=subprocess.PIPE, text=True) as second,
    ):
        errors = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert not any("oneDNN" in error or "absl" in error for error in errors)
    numbers = [(files.outputs / str(index) / "version").read_text() for index in range(2)]
    assert sorted(numbers) == ["1", "2"]
    for number, item in zip(numbers, models, strict=True):
        record = read(files.serving / "taxi" / number / "pipeyard.json")
        assert record["digest"] == digest.of_tree(item.model)
        assert digest.of_tree(files.serving / "taxi" / number, leave_out=BESIDE) == record["digest"]
    assert registry.get_by_alias(files.registry_uri, "taxi", "champion").version == 2


def test_tensorflow_comes_without_keras_which_can_still_be_had() -> None:
    program = (
        "import sys; from stepkit import lean; lean.import_tensorflow(); import deploy.step\n"
        "print('keras' in sys.modules)\n"
        "import tensorflow as tf; print(tf.keras.optimizers.Adam.__name__, 'keras' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert told.splitlines() == ["False", "Adam True"]
