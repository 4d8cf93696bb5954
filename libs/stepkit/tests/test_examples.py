import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stepkit import examples
from stepkit.errors import StepError


@pytest.fixture(name="artifact")
def fixture_artifact(tmp_path):
    table = pa.table({"i": [1, None, 3], "f": [0.5, 1.5, None], "s": ["x", None, "z"], "b": [True, False, None]})
    (tmp_path / "train").mkdir()
    files = []
    for number in (0, 1):
        pq.write_table(table, tmp_path / f"train/part-0000{number}.parquet")
        files.append({"path": f"train/part-0000{number}.parquet"})
    manifest = {"columns": [], "splits": {"train": {"rows": 6, "files": files}}, "source": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_files(artifact):
    assert [file.name for file in examples.split_files(artifact, "train")] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    with pytest.raises(StepError, match="The examples have no split 'trian'. Did you mean 'train'?"):
        examples.split_files(artifact, "trian")
    (artifact / "train/part-00001.parquet").unlink()
    with pytest.raises(StepError, match=r"part-00001.parquet' is named in the manifest but missing. Run extract again"):
        examples.split_files(artifact, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "is no Examples artifact: it has no manifest.json"), ("{", "isn't valid JSON"), ("[]", "it has no splits")],
)
def test_bad_manifests(tmp_path, text, message):
    if text:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(StepError, match=message):
        examples.read_manifest(tmp_path)


def test_batches(artifact):
    files = examples.split_files(artifact, "train")
    types = {"f": "FLOAT", "i": "INT", "s": "BYTES", "b": "BYTES"}
    batches = list(examples.read_batches(files, types, batch_rows=2, keep=["i"]))
    assert [batch.num_rows for batch in batches] == [2, 1, 2, 1]
    assert [str(kind) for kind in batches[0].schema.types] == [
        "list<item: float>",
        "list<item: int64>",
        "list<item: binary>",
        "list<item: binary>",
        "int64",
    ]
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert (
        rows[:3]
        == rows[3:]
        == [
            {"f": [0.5], "i": [1], "s": [b"x"], "b": [b"true"], "raw:i": 1},
            {"f": [1.5], "i": None, "s": None, "b": [b"false"], "raw:i": None},
            {"f": None, "i": [3], "s": [b"z"], "b": None, "raw:i": 3},
        ]
    )


def test_columns_that_do_not_fit(artifact):
    files = examples.split_files(artifact, "train")
    with pytest.raises(StepError, match="Column 'ff' of the schema isn't in .*part-00000.parquet'. Did you mean"):
        list(examples.read_batches(files, {"ff": "FLOAT"}))
    with pytest.raises(StepError, match="Column 'f' in .*part-00000.parquet' isn't INT as the schema says"):
        list(examples.read_batches(files, {"f": "INT"}))
    with pytest.raises(StepError, match="Column 's' in .* isn't FLOAT as the schema says"):
        list(examples.read_batches(files, {"s": "FLOAT"}))
    (artifact / "train/part-00000.parquet").write_text("no Parquet")
    with pytest.raises(StepError, match="part-00000.parquet' can't be read as Parquet"):
        list(examples.read_batches(files, {"f": "FLOAT"}))


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (lambda: pa.array(["a", None, "b"]).dictionary_encode(), "BYTES", [[b"a"], None, [b"b"]]),
        (lambda: pa.array([b"\xff", None]), "BYTES", [[b"\xff"], None]),
        (lambda: pa.array([7, None]), "BYTES", [[b"7"], None]),
        (lambda: pa.array([datetime.date(2013, 1, 31)]), "BYTES", [[b"2013-01-31"]]),
        (lambda: pa.array([2.0, None]), "INT", [[2], None]),
        (lambda: pa.array([2**40]), "FLOAT", [[float(2**40)]]),
        (lambda: pa.array([None, None], pa.int64()), "INT", [None, None]),
        (lambda: pa.array([], pa.int64()), "INT", []),
        (lambda: pa.array([None, 1, 2, None, 3]).slice(1, 3), "INT", [[1], [2], None]),
    ],
)
def test_list_columns(column, kind, values):
    made = examples.to_list_column(column(), kind)
    made.validate(full=True)
    assert made.to_pylist() == values


def test_splits_come_by_name_whoever_wrote_the_manifest(tmp_path):
    for order in (["train", "a", "eval"], ["eval", "train", "a"]):
        (tmp_path / "manifest.json").write_text(json.dumps({"splits": {name: {} for name in order}}))
        assert list(examples.read_manifest(tmp_path)["splits"]) == ["a", "eval", "train"]


@pytest.mark.parametrize(
    ("splits", "training"), [(["a", "train"], "train"), (["z", "b", "eval"], "b"), (["Train", "trains"], "Train")]
)
def test_the_split_to_train_on_is_train_or_the_first_by_name(splits, training):
    assert examples.training_split(splits) == training == examples.training_split(reversed(splits))
