"""What can't be done is refused at once, with the remedy, and leaves nothing."""

import json
import shutil

import pyarrow as pa
import pytest
from batch_predict import scoring
from conftest import ROWS, write_examples


@pytest.fixture
def never_loaded(monkeypatch):
    """Fails a step that gets as far as loading the model."""

    def fail(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(scoring.loaded_models, "load", fail)


def rows_with(tmp_path, **changed):
    """Returns examples in which some columns have other values."""
    table = pa.Table.from_pylist(ROWS)
    for name, values in changed.items():
        table = table.drop_columns([name]) if values is None else table.set_column(0, name, values)
    return write_examples(tmp_path / "changed", {"test": [table]})


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--columns", '["ide"]'), "--columns names 'ide', which the examples don't have. Did you mean 'id'?"),
        (("--columns", '["id", "id"]'), "--columns names 'id' twice"),
        (("--splits", '["tset"]'), "the examples have no split 'tset'. Did you mean 'test'?"),
        (("--operating-point", '{"treshold": 1}'), "--operating-point has no number as its threshold"),
    ],
)
def test_parameters_that_do_not_fit(flags, told, check, model, examples, program, never_loaded):
    assert told in program.fails(examples, model, *flags, *(["--check"] if check else []))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--columns", "[1]"), "--columns is an array of names; 1 isn't one"),
        (("--batch-rows", "0"), "--batch-rows is 0; give at least 1"),
        (("--output-uri", "bigquery://project/table"), "names no table; give bigquery://PROJECT/DATASET/TABLE"),
        (("--beam-args", '["--runner=FlinkRuner"]'), "Beam has no runner 'FlinkRuner'. Did you mean"),
    ],
)
def test_wrong_usage(flags, told, model, examples, program, never_loaded):
    assert told in program.fails(examples, model, *flags, code=2)


def test_carried_columns_and_predictions_of_one_name(model, tmp_path, program, never_loaded):
    examples = rows_with(tmp_path, Class=pa.array(["x"] * len(ROWS)))
    told = program.fails(examples, model, "--columns", '["Class"]')
    assert "--columns carries 'Class' along, and a column of the predictions is called 'class'" in told
    assert "--prefix predicted_" in told


def test_a_prefix_tells_them_apart(model, tmp_path, program):
    table = pa.Table.from_pylist([{**row, "class": "x"} for row in ROWS])
    examples = write_examples(tmp_path / "data", {"test": [table]})
    assert program.run(examples, model, "--columns", '["class"]', "--prefix", "predicted_") == 0
    assert program.table().column_names[:3] == ["class", "predicted_probability", "predicted_class"]


@pytest.mark.parametrize("name", ["scores", "scores.parquet"])
def test_an_output_that_is_there(name, model, examples, program, never_loaded):
    path = program.out / name
    path.write_text("mine")
    told = program.fails(examples, model, "--output-uri", str(path))
    assert f"The output {str(path)!r} is there already. Give another, or remove it." in told
    assert path.read_text() == "mine"


def test_an_output_that_came_meanwhile_is_kept(model, examples, program, monkeypatch):
    path = program.out / "scores.parquet"
    score = scoring.Scorer.score

    def slow(self, read):
        path.write_text("theirs")
        return score(self, read)

    monkeypatch.setattr(scoring.Scorer, "score", slow)
    assert program.run(examples, model, "--output-uri", str(path)) == 1
    assert [each.name for each in program.out.iterdir()] == ["scores.parquet"]
    assert path.read_text() == "theirs"


def test_a_model_that_does_not_say_what_it_is_for(model, examples, program, tmp_path, never_loaded):
    silent = shutil.copytree(model, tmp_path / "silent")
    (silent / "assets.extra/model.json").unlink()
    assert "doesn't say what it is for: it has no assets.extra/model.json" in program.fails(examples, silent)
    assert "doesn't say what it is for" in program.fails(examples, silent, "--check")


def test_what_is_no_version_of_a_model(model, examples, program, tmp_path, never_loaded):
    assert "isn't a SavedModel: it has no saved_model.pb" in program.fails(examples, tmp_path)
    shutil.copytree(model, tmp_path / "taxi" / "3")
    told = program.fails(examples, tmp_path / "taxi")
    assert "is the folder of a model's versions 3. Give the folder of one, e.g. " in told
    assert "No model at" in program.fails(examples, tmp_path / "nowhere")


def test_a_column_that_the_model_takes_is_not_there(model, tmp_path, program, never_loaded):
    examples = rows_with(tmp_path, miles=None, mile=pa.array([1.0] * len(ROWS)))
    told = program.fails(examples, model)
    assert "The model takes the column 'miles', which" in told
    assert "Did you mean 'mile'?" in told


def test_a_column_of_another_type(model, tmp_path, program, never_loaded):
    told = program.fails(rows_with(tmp_path, miles=None, area=None), model)
    assert "The model takes the column" in told
    table = pa.Table.from_pylist([{**row, "miles": str(row["miles"])} for row in ROWS])
    told = program.fails(write_examples(tmp_path / "text", {"test": [table]}), model)
    assert "Column 'miles' of" in told
    assert "is string, and the model takes numbers. Give it the type that it was trained with" in told


@pytest.mark.parametrize("beam", [(), ("--beam-args", '["--runner=FnApiRunner"]')], ids=["in process", "on Beam"])
def test_a_row_without_a_value_that_the_model_needs(beam, model, tmp_path, program):
    rows = [dict(row) for row in ROWS]
    rows[5]["miles"] = None
    told = program.fails(write_examples(tmp_path / "data", {"test": [pa.Table.from_pylist(rows)]}), model, *beam)
    assert "Column 'miles' in" in told
    assert "has 1 missing values in a batch of 20 rows, and the model needs one in every row" in told
    assert told.count("\n") == 1


def test_rows_without_a_finite_answer_and_fractions(model, tmp_path, program):
    rows = [{**row, "miles": float("inf")} if number == 7 else row for number, row in enumerate(ROWS)]
    examples = write_examples(tmp_path / "infinite", {"test": [pa.Table.from_pylist(rows)]})
    told = program.fails(examples, model, "--batch-rows", "4")
    assert "The model has no finite answer to row 7 (from 0) of" in told
    rows = [{**row, "area": 1.5} for row in ROWS]
    told = program.fails(write_examples(tmp_path / "half", {"test": [pa.Table.from_pylist(rows)]}), model)
    assert "Column 'area' in" in told
    assert "has other values than whole numbers, which the model takes" in told


def test_nothing_to_score(model, tmp_path, program, never_loaded):
    examples = write_examples(tmp_path / "none", {"test": []})
    assert "The examples have no rows in test: there is nothing to score." in program.fails(examples, model)


def test_a_damaged_operating_point(model, examples, program, tmp_path, never_loaded):
    damaged = shutil.copytree(model, tmp_path / "damaged")
    (damaged / "assets.extra/operating_point.json").write_text(json.dumps({}))
    assert "has no threshold (KeyError: 'threshold')" in program.fails(examples, damaged)
