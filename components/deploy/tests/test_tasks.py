"""What a model's description makes of its validation: each task's answers, and columns of any name."""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Files, write_examples
from deploy.cli import main

from stepkit import model_description
from stepkit.errors import StepError
from stepkit.model_description import ModelDescription

# Names that differ by case alone, that collide once mapped, and that TensorFlow refuses for a placeholder.
COLUMNS = [
    "miles",
    "Miles",
    "Fare (EUR)",
    "Fare [EUR]",
    "1st",
    "_1st",
    "hours-per-week",
    "a/b",
    "a.b",
    "50%",
    "t:0",
    "größe",
]
SPECIES = ("Adelie", "Chinstrap", "Gentoo")
ROWS = [[1.0 * number, None, 3.0] for number in range(len(COLUMNS))]

Export = Callable[..., Files]
Scores = Sequence[Sequence[float]]


@pytest.fixture(name="export")
def fixture_export(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Returns a function that gives a step's files for a model that answers each of three rows with given numbers."""

    def export(description: ModelDescription, outputs: Mapping[str, Any], shift: float = 0.0) -> Files:
        folder = tmp_path_factory.mktemp("task")
        save(folder / "model", description.arguments or {"miles": "miles"}, outputs, shift)
        path = folder / "model" / model_description.FILE
        path.parent.mkdir()
        path.write_text(description.to_json(), encoding="utf-8")
        names = list(description.arguments) or ["miles"]
        write_examples(folder / "examples", {"eval": dict(zip(names, ROWS, strict=False))})
        (folder / "schema").write_text("".join(f"feature {{ name: {json.dumps(n)} type: FLOAT }}\n" for n in names))
        return replace(files, model=folder / "model", examples=folder / "examples", schema=folder / "schema")

    return export


def save(folder: Path, arguments: Mapping[str, str], outputs: Mapping[str, Any], shift: float) -> None:
    """Saves a model whose outputs are as given, plus `shift` by the second signature; it takes its columns in."""
    import tensorflow as tf

    def answer(columns: Mapping[str, Any], by: float) -> dict[str, Any]:
        nothing = 0 * sum(tf.where(tf.math.is_nan(column), 0.0, column) for column in columns.values())
        given = {name: tf.constant(value) for name, value in outputs.items()}
        return {
            name: value + tf.cast(by, value.dtype) + tf.cast(nothing, value.dtype) if value.dtype.is_floating else value
            for name, value in given.items()
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def by_examples(examples):
        spec = {name: tf.io.FixedLenFeature([1], tf.float32, [float("nan")]) for name in arguments}
        return answer(tf.io.parse_example(examples, spec), 0.0)

    takes = {argument: tf.TensorSpec([None, 1], tf.float32, name=argument) for argument in arguments.values()}

    @tf.function(input_signature=[takes])
    def by_columns(columns):
        return answer(columns, shift)

    tf.saved_model.save(tf.Module(), str(folder), signatures={"serving_default": by_examples, "serve_raw": by_columns})


def classes(names: Sequence[Any] = SPECIES, rows: int = 3) -> list[list[Any]]:
    return [list(names)] * rows


MULTICLASS = ModelDescription("species", "multiclass", SPECIES)
MULTILABEL = ModelDescription("tags", "multilabel", ("red", "green"))
REGRESSION = ModelDescription("delay", "regression")
BINARY = ModelDescription("late", "binary", ("on time", "late"))
SUMS_TO_ONE = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5004]]
ANY_SCORES = [[0.9, 0.8], [0.0, 0.0], [1.0, 0.5]]


@pytest.mark.parametrize(
    ("description", "outputs", "answers"),
    [
        (BINARY, {"probabilities": [[0.5], [0.0], [1.0]]}, [0.5, 0, 1]),
        (MULTICLASS, {"scores": SUMS_TO_ONE, "classes": classes()}, SUMS_TO_ONE),
        (replace(MULTICLASS, classes=(3, 1, 2)), {"scores": SUMS_TO_ONE, "classes": classes((3, 1, 2))}, SUMS_TO_ONE),
        (replace(MULTICLASS, classes=(3, 1, 2)), {"scores": SUMS_TO_ONE, "classes": classes("312")}, SUMS_TO_ONE),
        (MULTILABEL, {"scores": ANY_SCORES, "classes": classes(("red", "green"))}, ANY_SCORES),
        (REGRESSION, {"predictions": [[-12.5], [0.0], [4000.0]]}, [-12.5, 0, 4000]),
    ],
    ids=["binary", "multiclass", "integer-classes", "integer-classes-as-text", "multilabel", "regression"],
)
def test_answers_that_fit_the_task_are_pushed(
    export: Export, description: ModelDescription, outputs: dict, answers: list
) -> None:
    files = export(description, outputs)
    assert main(files.argv()) == 0
    found = json.loads((files.outputs / "infra_validation").read_text(encoding="utf-8"))
    assert [pytest.approx(row, rel=1e-6) for row in answers] == found["answers"]
    assert found.get("classes", []) == (list(description.classes) if "scores" in outputs else [])
    pushed = json.loads((files.outputs / "pushed_model").read_text(encoding="utf-8"))
    assert (pushed["task"], pushed.get("arguments")) == (description.task, None)


@pytest.mark.parametrize(
    ("description", "outputs", "expected"),
    [
        (BINARY, {"scores": [[0.5]] * 3}, "must give 'probabilities', as the task is 'binary'; it gives 'scores'"),
        (
            BINARY,
            {"probabilities": [[2.0]] * 3},
            "answers 2 to 2, which are no probabilities. End the model with a sigm",
        ),
        (MULTICLASS, {"scores": SUMS_TO_ONE}, "must give 'scores' and 'classes', as the task is 'multiclass'"),
        (
            MULTICLASS,
            {"probabilities": [[0.5]] * 3},
            "it gives 'probabilities'. Give the SavedModel that train exports",
        ),
        (
            MULTICLASS,
            {"scores": [[0.5, 0.5]] * 3, "classes": classes()},
            "with 'scores' of shape (3, 2) and type float32; it must be a score a class, [3, 3], as the model's "
            "description names 3 classes. End the model with a softmax over the classes.",
        ),
        (
            MULTICLASS,
            {"scores": [[0.2, 0.3, 0.5], [0.3, 0.3, 0.3], [0.2, 0.3, 0.5]], "classes": classes()},
            "gives row 1 scores that sum to 0.9 and not to 1. End the model with a softmax.",
        ),
        (
            MULTICLASS,
            {"scores": [[2.0, -1.0, 0.0]] * 3, "classes": classes()},
            "answers -1 to 2, which are no probabilities. End the model with a softmax.",
        ),
        (
            MULTICLASS,
            {"scores": [[0.2, 0.3, 0.5], [0.2, float("nan"), 0.5], [0.2, 0.3, 0.5]], "classes": classes()},
            "answers 1 of 3 rows with NaN or infinity, first row 1",
        ),
        (
            MULTICLASS,
            {"scores": SUMS_TO_ONE, "classes": classes(("Adelie", "Gentoo", "Chinstrap"))},
            "names the classes of row 0 'Adelie', 'Gentoo', 'Chinstrap'; the model's description has 'Adelie', "
            "'Chinstrap', 'Gentoo'. Train the model again.",
        ),
        (
            MULTICLASS,
            {"scores": SUMS_TO_ONE, "classes": classes(rows=1)},
            "with 'classes' of shape (1, 3); it must name the 3 classes of each row, [3, 3]",
        ),
        (replace(MULTICLASS, classes=()), {"scores": SUMS_TO_ONE}, "description names no classes, which TASK 'multicl"),
        (
            MULTILABEL,
            {"scores": [[0.5, 1.5]] * 3, "classes": classes(("red", "green"))},
            "answers 0.5 to 1.5, which are no probabilities. End the model with a sigmoid.",
        ),
        (REGRESSION, {"probabilities": [[0.5]] * 3}, "must give 'predictions', as the task is 'regression'"),
        (
            REGRESSION,
            {"predictions": [[0.5, 1.0]] * 3},
            "it must be one number a row, [3, 1]. End the model with one lin",
        ),
        (REGRESSION, {"predictions": [[1.0], [float("inf")], [2.0]]}, "answers 1 of 3 rows with NaN or infinity"),
    ],
)
def test_answers_that_do_not_fit_the_task(
    export: Export, description: ModelDescription, outputs: dict, expected: str
) -> None:
    from deploy import infra, sampling

    files = export(description, outputs)
    sample = sampling.read(files.examples, "eval", {"miles": "FLOAT"}, 3)
    with pytest.raises(StepError, match=re.escape(expected)):
        infra.validate(files.model, sample)


def test_large_predictions_may_differ_by_float_precision_alone(
    export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    large = {"predictions": [[1e6], [2e6], [-3e6]]}
    assert main(export(REGRESSION, large, shift=0.5).argv()) == 0
    assert main(export(REGRESSION, large, shift=10.0).argv(model_name="other")) == 1
    assert "The model's signatures disagree: row 0 gets 1000000 as a tf.Example" in capsys.readouterr().err


def test_scores_of_the_signatures_are_compared_class_by_class(
    export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {"scores": ANY_SCORES, "classes": classes(("red", "green"))}
    assert main(export(MULTILABEL, {**scores, "scores": [[0.5, 0.5]] * 3}, shift=0.001).argv()) == 1
    assert "The model's signatures disagree: row 0 gets 0.5 as a tf.Example" in capsys.readouterr().err


def test_columns_of_any_name_are_asked_by_their_arguments(export: Export) -> None:
    arguments = model_description.arguments(COLUMNS)
    files = export(
        replace(REGRESSION, arguments=arguments, raw_types=dict.fromkeys(COLUMNS, "FLOAT")),
        {"predictions": [[1.0], [2.0], [3.0]]},
    )
    assert main(files.argv()) == 0
    pushed = json.loads((files.serving / "taxi/1/pipeyard.json").read_text(encoding="utf-8"))
    assert pushed["arguments"]["Fare (EUR)"] == arguments["Fare (EUR)"]
    assert pushed["arguments"] == {name: argument for name, argument in arguments.items() if name != argument}
    assert json.loads((files.outputs / "pushed_model").read_text(encoding="utf-8"))["arguments"] == pushed["arguments"]


def test_errors_name_columns_as_they_are_in_the_data(export: Export, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = model_description.arguments(["Fare (EUR)", "1st"])
    files = export(replace(REGRESSION, arguments=arguments), {"predictions": [[1.0]] * 3})
    schema = files.schema.read_text(encoding="utf-8")
    files.schema.write_text(schema.replace('"1st" type: FLOAT', '"1st" type: INT'), encoding="utf-8")
    write_examples(files.workspace / "typed", {"eval": {"Fare (EUR)": [1.0, 2.0, 3.0], "1st": [1, 2, 3]}})
    assert main(files.argv(examples=str(files.workspace / "typed"))) == 1
    assert "takes the raw column '1st' as float32, which is INT in the schema" in capsys.readouterr().err
    files.schema.write_text(schema.replace('"1st"', '"2nd"'), encoding="utf-8")
    write_examples(files.workspace / "other", {"eval": {"Fare (EUR)": [1.0, 2.0, 3.0], "2nd": [1.0, 2.0, 3.0]}})
    assert main(files.argv(examples=str(files.workspace / "other"))) == 1
    assert "takes the raw column '1st', which the schema doesn't have" in capsys.readouterr().err


def test_a_description_of_another_model(export: Export, capsys: pytest.CaptureFixture[str]) -> None:
    files = export(replace(REGRESSION, arguments={"Fare (EUR)": "Fare_EUR_"}), {"predictions": [[1.0]] * 3})
    path = files.model / model_description.FILE
    path.write_text(path.read_text(encoding="utf-8").replace("Fare_EUR_", "Fare_EUR"), encoding="utf-8")
    assert main(files.argv()) == 1
    expected = (
        "has the raw column 'Fare (EUR)' as the argument 'Fare_EUR', which the model doesn't take. Did you mean 'Fare_"
    )
    assert expected in capsys.readouterr().err
    shutil.copy(files.schema, path)
    assert main(files.argv()) == 1
    assert "doesn't describe a model" in capsys.readouterr().err
