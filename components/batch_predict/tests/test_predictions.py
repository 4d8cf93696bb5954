"""The answers are those that the model server gives, whatever runs the step."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROWS
from small_models import CLASSES, THRESHOLD

from stepkit import loaded_models, tasks

ON_BEAM = ("--beam-args", '["--runner=FnApiRunner"]')


def served(model: Path) -> list[dict]:
    """Returns what the model server answers to the rows: it loads and answers by the same two modules."""
    loaded = loaded_models.load(model)
    values = {
        "miles": np.array([[row["miles"]] for row in ROWS], np.float32),
        "area": np.array([[-(2**63) if row["area"] is None else row["area"]] for row in ROWS], np.int64),
        "Company Name": np.array([[(row["Company Name"] or "").encode()] for row in ROWS], object),
    }
    return loaded.answers.predictions(loaded.ask([values[column.name] for column in loaded.columns]))


def as_served(row: dict) -> dict:
    scores = {name.removeprefix("score_"): value for name, value in row.items() if name.startswith("score_")}
    rest = {name: value for name, value in row.items() if not name.startswith("score_")}
    return {**rest, **({"scores": scores} if scores else {})}


@pytest.mark.parametrize("task", tasks.TASKS)
def test_answers_are_those_of_the_model_server(task, models, examples, program):
    assert program.run(examples, models(task), "--batch-rows", "3") == 0
    found = program.table()
    assert [as_served(row) for row in found.to_pylist()] == served(models(task))
    assert program.manifest["rows"] == len(ROWS) == int((program.out / "row_count").read_text())
    assert program.manifest["task"] == task


def test_what_the_columns_of_each_task_are_called(models, examples, program):
    names = {}
    for task in tasks.TASKS:
        assert program.run(examples, models(task), "--prefix", "p_", "--splits", '["test"]') == 0
        names[task] = [(column["name"], column["type"]) for column in program.manifest["columns"]]
    scores = [
        [(f"p_score_{name}", "double") for name in CLASSES[task]] for task in (tasks.MULTICLASS, tasks.MULTILABEL)
    ]
    assert names == {
        "binary": [("p_probability", "double"), ("p_class", "string"), ("p_threshold", "double")],
        "multiclass": [("p_class", "int64"), *scores[0]],
        "multilabel": [("p_classes", "list<item: string>"), *scores[1], ("p_threshold", "double")],
        "regression": [("p_prediction", "double")],
    }


def test_the_operating_point_is_compared_as_the_server_does_in_doubles(model, examples, program):
    assert program.run(examples, model) == 0
    first = program.table().to_pylist()[0]
    assert first == {"probability": float(np.float32(0.3)), "class": "tip", "threshold": THRESHOLD}
    assert program.run(examples, model, "--operating-point", '{"threshold": 0.75}') == 0
    found = program.table()
    assert set(found["threshold"].to_pylist()) == {0.75}
    expected = ["tip" if value > 0.75 else "no tip" for value in found["probability"].to_pylist()]
    assert found["class"].to_pylist() == expected
    assert set(expected) == {"tip", "no tip"}


def test_columns_are_carried_along_as_they_are_in_the_order_asked_for(model, examples, table, program):
    assert program.run(examples, model, "--columns", '["area", "id"]') == 0
    found = program.table()
    assert found.column_names == ["area", "id", "probability", "class", "threshold"]
    assert found.select(["area", "id"]).equals(table.select(["area", "id"]))
    assert [file["path"] for file in program.manifest["files"]] == [
        "eval/part-00000.parquet",
        "eval/part-00001.parquet",
        "test/part-00000.parquet",
    ]


def test_one_file_has_the_rows_of_all(model, examples, table, program, tmp_path):
    target = tmp_path / "scores" / "all.parquet"
    assert program.run(examples, model, "--output-uri", str(target), "--columns", '["id"]') == 0
    assert pq.read_table(target)["id"].to_pylist() == table["id"].to_pylist()
    assert sorted(path.name for path in target.parent.iterdir()) == ["all.parquet"]
    assert [path.name for path in (program.out / "predictions").iterdir()] == ["manifest.json"]
    assert program.manifest["uri"] == str(target)
    assert "20 rows scored, to" in program.capsys.readouterr().out


def test_a_folder_of_one_split_has_files_without_another_folder(model, examples, program, tmp_path):
    target = tmp_path / "scores"
    assert program.run(examples, model, "--output-uri", str(target), "--splits", '["eval"]') == 0
    assert sorted(path.name for path in target.iterdir()) == ["part-00000.parquet", "part-00001.parquet"]


def test_beam_writes_what_one_process_writes(model, examples, program, tmp_path):
    flags = ("--columns", '["id"]', "--batch-rows", "4")
    assert program.run(examples, model, *flags) == 0
    expected = program.manifest
    assert program.run(examples, model, *flags, *ON_BEAM) == 0
    assert program.manifest == expected  # with the sha256 of each file
    target = tmp_path / "all.parquet"
    assert program.run(examples, model, *flags, *ON_BEAM, "--output-uri", str(target)) == 0
    assert pq.read_table(target)["id"].to_pylist() == [row["id"] for row in ROWS]


def test_row_groups_are_of_one_size_however_batches_come(tmp_path, monkeypatch):
    from batch_predict import writing

    monkeypatch.setattr(writing, "ROW_GROUP", 10)
    rows = pa.table({"x": list(range(25))})
    written = []
    for size in (3, 25):
        path = tmp_path / f"{size}.parquet"
        writing.write(path, rows.schema, rows.to_batches(max_chunksize=size))
        footer = pq.ParquetFile(path).metadata
        assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [10, 10, 5]
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_metadata_tells_what_was_written(model, examples, program, tmp_path):
    declared = {"artifacts": {"predictions": {"artifacts": [{"name": "predictions", "uri": "gs://x"}]}}}
    given = {"outputs": {**declared, "outputFile": str(tmp_path / "executor.json")}}
    assert program.run(examples, model, "--executor-input", json.dumps(given)) == 0
    (told,) = json.loads((tmp_path / "executor.json").read_text())["artifacts"]["predictions"]["artifacts"]
    assert told["metadata"] == {"task": "binary", "rows": 20, "columns": ["probability", "class", "threshold"]}
    assert not math.isnan(program.table()["probability"][0].as_py())
