"""Each bad input: exit code 1 (2 for usage), a message that says what to do, and nothing written."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROWS, SCHEMA, Files, write_examples
from deploy.cli import main

Fails = Callable[..., str]
SaveModel = Callable[..., Path]


def test_a_folder_that_is_no_saved_model(fails: Fails, data: Path) -> None:
    assert "isn't a SavedModel: it has no saved_model.pb. Give the SavedModel that train exports" in fails(model=data)
    assert "isn't a SavedModel" in fails(model=data / "absent")


def test_a_damaged_saved_model(fails: Fails, files: Files, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = tmp_path_factory.mktemp("damaged") / "model"
    shutil.copytree(files.model, model)
    (model / "saved_model.pb").write_bytes(b"\xff" * 100)
    assert "can't be loaded" in fails(model=model)
    shutil.copy(files.model / "saved_model.pb", model)
    shutil.rmtree(model / "variables")
    assert "can't be loaded" in fails(model=model)


def test_a_keras_model_that_a_session_can_t_restore(fails: Fails, tmp_path_factory: pytest.TempPathFactory) -> None:
    import keras
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("keras")
    module = tf.Module()
    module.model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid")])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def by_examples(examples):
        raw = tf.io.parse_example(examples, {"miles": tf.io.FixedLenFeature([1], tf.float32)})
        return {"probabilities": module.model(raw["miles"])}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": by_examples})
    message = fails(model=folder)
    assert "TF Serving can't serve the model: nothing restores what its signatures read (" in message
    assert "Keras' ExportArchive" in message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"names": ["serving_default"]}, "has no signature 'serve_raw'. There are: 'serving_default'."),
        ({"names": ["serve_default", "serve_raw"]}, "has no signature 'serving_default'. Did you mean 'serve_default'"),
        ({"names": ["serve_raw", "serving_default"]}, "must take serialized tf.Examples alone; it takes area, company"),
        ({"answer": "nan"}, "'serving_default' answers 1 of 5 rows with NaN or infinity, first row 4"),
        ({"answer": "logits"}, "which are no probabilities. End the model with a sigmoid"),
        ({"answer": "flat"}, "answers 5 rows with 'probabilities' of shape (5,)"),
        ({"answer": "wide"}, "of shape (5, 2) and type float32; it must be one probability a row, [5, 1]"),
        ({"answer": "one"}, "of shape (1, 1)"),
        ({"answer": "integers"}, "type int64; it must be one probability a row"),
        ({"raw_shift": 0.001}, "The model's signatures disagree: row "),
        (
            {"extra_column": True},
            "takes the raw column 'tips', which the schema doesn't have in the environment SERVING",
        ),
    ],
    ids=lambda value: "-".join(f"{key}-{item}" for key, item in value.items()) if isinstance(value, dict) else "",
)
def test_a_model_that_fails_its_validation(fails: Fails, save_model: SaveModel, options: dict, expected: str) -> None:
    assert expected in fails(model=save_model(**options))


def test_a_difference_within_float_precision_is_none(files: Files, save_model: SaveModel) -> None:
    assert main(files.argv(model=save_model(raw_shift=1e-7))) == 0


def test_rows_without_a_value_that_the_model_needs(fails: Fails, tmp_path_factory: pytest.TempPathFactory) -> None:
    examples = tmp_path_factory.mktemp("examples")
    write_examples(examples, {"eval": ROWS | {"miles": [None] * 5}})
    message = fails(examples=examples)
    assert "can't answer the sample rows through 'serving_default': " in message
    assert "Feature: miles (data type: float) is required but could not be found. Train it with" in message


def test_a_schema_of_other_types_than_the_model(fails: Fails, tmp_path_factory: pytest.TempPathFactory) -> None:
    schema = tmp_path_factory.mktemp("schema") / "schema"
    schema.write_text(SCHEMA.replace('"area" type: INT', '"area" type: FLOAT'))
    assert "takes the raw column 'area' as int64, which is FLOAT in the schema" in fails(schema=schema)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("feature { nam: 'miles' }", "has an error in line 1"),
        ('feature { name: "miles" type: STRUCT }', "gives the feature 'miles' the type STRUCT"),
        ('feature { name: "miles" type: FLOAT not_in_environment: "SERVING" }', "has no feature in the environment"),
        (SCHEMA + 'feature { name: "absent" type: INT }', "Column 'absent' of the schema isn't in"),
    ],
)
def test_a_bad_schema(fails: Fails, tmp_path_factory: pytest.TempPathFactory, content: str, expected: str) -> None:
    schema = tmp_path_factory.mktemp("schema") / "schema"
    schema.write_text(content)
    assert expected in (message := fails(schema=schema))
    if "Column" not in expected:
        assert repr(str(schema)) in message


def test_a_missing_schema(fails: Fails) -> None:
    assert "No schema at '/absent'. Check the path" in fails(schema="/absent")


def test_bad_examples(fails: Fails, data: Path) -> None:
    assert "is no Examples artifact" in fails(examples=data)
    assert "no split 'evil'. Did you mean 'eval'?" in fails(eval_split="evil")
    assert "Split 'empty' of" in (message := fails(eval_split="empty"))
    assert "has no rows to ask the model. Name another by --eval-split" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"AUC": 0.', "aren't valid JSON"),
        (b"\xff\xfe", "aren't valid JSON"),
        ("[0.75]", "aren't a JSON object of numbers. Give evaluate's output."),
        (None, "No metrics at "),
    ],
)
def test_bad_metrics(
    fails: Fails, tmp_path_factory: pytest.TempPathFactory, content: str | bytes | None, expected: str
) -> None:
    metrics = tmp_path_factory.mktemp("metrics") / "metrics"
    if content is not None:
        metrics.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert expected in fails(metrics=metrics)


def test_statistics_that_are_none(fails: Fails, data: Path) -> None:
    assert "it has no stats.tfrecord. Give data_validation's output" in fails(statistics=data / "examples")
    assert "No statistics at " in fails(statistics=data / "absent")


def test_an_operating_point_that_is_no_number(fails: Fails) -> None:
    message = fails(operating_point='{"threshold": NaN}')
    assert "--operating-point has a number that isn't finite. Give evaluate's output." in message


@pytest.mark.parametrize("name", ["a/b", "../taxi", "", ".hidden", "a:b", "a" * 101, "tax\u00ef"])
def test_a_model_name_that_is_no_folder_name(fails: Fails, name: str) -> None:
    assert f"The model name {name!r} can't be a folder's and a registered model's name" in fails(model_name=name)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"alias": "champoin"}, "invalid choice: 'champoin' (choose from"),
        ({"operating_point": "0.5"}, "'0.5' is not a JSON object"),
        ({"sample_rows": "half"}, "'half' is not a whole number"),
    ],
)
def test_usage_errors_of_the_parser(
    files: Files, capsys: pytest.CaptureFixture[str], changes: dict, expected: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(files.argv(**changes))
    assert expected in capsys.readouterr().err
    assert files.written() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sample_rows": "0"}, "--sample-rows is 0; the model must answer at least 1"),
        ({"serving_uri": ""}, "--serving-uri is empty"),
    ],
)
def test_usage_errors_of_the_step(
    files: Files, capsys: pytest.CaptureFixture[str], changes: dict, expected: str
) -> None:
    assert main(files.argv(**changes)) == 2
    assert expected in capsys.readouterr().err
    assert files.written() == []


@pytest.mark.parametrize(
    ("flags", "code", "expected"),
    [
        (["--model-name=taxi", "--registry-uri=sqlite:///absent/registry.db"], 0, ""),
        (["--model-name=a/b"], 1, "The model name 'a/b' can't be"),
        (["--registry-uri=registry.db"], 1, "Give sqlite:///FILE or an http(s) server"),
        (['--operating-point={"threshold": Infinity}'], 1, "has a number that isn't finite"),
        (["--serving-uri="], 2, "--serving-uri is empty"),
        (["--sample-rows=0"], 2, "--sample-rows is 0"),
        (["--strategy=canari"], 2, "--strategy can't be 'canari'. Did you mean 'canary'?"),
        (["--serving-target=tfservng"], 2, "--serving-target can't be 'tfservng'. Did you mean 'tfserving'?"),
        (["--strategy=canary", '--rollout-policy={"stpes": [1, 100]}'], 2, "no 'stpes'. Did you mean 'steps'?"),
        (['--rollout-policy={"alpha": 2}'], 2, "--rollout-policy: The policy's alpha is 2; give a number above 0"),
        (["--strategy=shadow", "--serving-target=tfserving"], 2, "TF Serving copies no requests; use canary"),
        (["--strategy=canary", "--alias=challenger"], 2, "--alias challenger is for --strategy direct"),
        (["--strategy=shadow", '--rollout-policy={"min_requests": 50.0}'], 0, ""),
    ],
)
def test_what_can_be_known_before_there_is_a_model(
    capsys: pytest.CaptureFixture[str], flags: list[str], code: int, expected: str
) -> None:
    assert main(["--check", *flags]) == code
    assert expected in capsys.readouterr().err


def test_a_serving_path_that_is_a_file(fails: Fails, files: Files) -> None:
    files.serving.touch()
    message = fails(before=["serving"])
    assert f"Can't write to the serving folder '{files.serving}/taxi': Not a directory" in message
    assert "Nothing was pushed." in message


def test_a_model_folder_that_is_a_file(fails: Fails, files: Files) -> None:
    files.serving.mkdir()
    (files.serving / "taxi").touch()
    assert "Can't write to the serving folder" in fails(before=["serving/taxi"])


def test_an_unknown_kind_of_store(fails: Fails) -> None:
    assert "Can't open 'nowhere://bucket/taxi'" in fails(serving_uri="nowhere://bucket")


def test_an_unreachable_registry(fails: Fails) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert f"'http://127.0.0.1:{port}' refused or didn't answer" in fails(registry_uri=f"http://127.0.0.1:{port}")


def test_a_corrupt_registry(fails: Fails, files: Files) -> None:
    (files.workspace / "registry.db").write_bytes(b"no database")
    assert "is no SQLite database. Restore it from a backup" in fails(before=["registry.db"])


def test_a_registry_uri_that_is_none(fails: Fails) -> None:
    assert "Give sqlite:///FILE or an http(s) server" in fails(registry_uri="registry.db")
