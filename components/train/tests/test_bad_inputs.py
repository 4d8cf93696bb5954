import gzip
import json
import math
import re
import shutil

import odd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import MODULE, as_parquet, example, splits, write_examples
from train.cli import main


@pytest.fixture
def changed(step, tmp_path):
    """Gives the step examples whose rows a function has changed."""

    def change(edit) -> None:
        rows = splits()
        edit(rows)
        step.examples = write_examples(tmp_path / "changed", rows)

    return change


@pytest.fixture
def copied(step, tmp_path):
    """Gives the step a copy of the examples, to be damaged."""
    step.examples = shutil.copytree(step.examples, tmp_path / "copied")
    return step.examples


def test_module_with_a_syntax_error(fails):
    assert "has a syntax error in line 2" in fails("x = 1\ndef build_model(:\n")


def test_module_that_raises_on_import(fails):
    assert "failed while it was imported: ZeroDivisionError in line 2" in fails("x = 1\ny = x / 0\n")


def test_module_that_is_missing(fails, tmp_path):
    message = fails("", module_uri=tmp_path / "none.py")
    assert "No pipeline module at" in message and "none.py" in message


def test_module_without_build_model(fails):
    message = fails("def buildmodel(transform, hyperparameters): pass\n")
    assert "defines no function 'build_model'" in message and "Did you mean 'buildmodel'?" in message


def test_build_model_that_raises(fails):
    message = fails("def build_model(transform, hyperparameters):\n    return transform.feature_spec['nope']\n")
    assert "build_model raised: KeyError in line 2" in message


def test_build_model_that_asks_for_an_unknown_vocabulary(fails):
    message = fails(MODULE.replace('vocabulary_size("company")', 'vocabulary_size("compny")'))
    assert "no vocabulary 'compny'" in message and "Did you mean 'company'?" in message


@pytest.mark.parametrize(("returned", "shown"), [("None", "None"), ("{}", "an object of type 'dict'")])
def test_build_model_that_returns_no_model(fails, returned, shown):
    message = fails(f"def build_model(transform, hyperparameters):\n    return {returned}\n")
    assert f"build_model returned {shown}. Return a Keras 3 model" in message


def test_build_model_that_does_not_compile(fails):
    message = fails(MODULE.replace("model.compile(", "dict(optimizer=").replace('), "binary', '), loss="binary'))
    assert "isn't compiled" in message and "model.compile(optimizer=" in message


def test_model_with_an_unknown_input(fails):
    message = fails(MODULE.replace('name="fare")', 'name="fares")').replace('"fare"', '"fares"'))
    assert "input 'fares' is no transformed feature" in message and "Did you mean 'fare'" in message


def test_model_that_can_not_take_the_features(fails):
    message = fails(MODULE.replace('keras.Input((1,), name="fare")', 'keras.Input((3,), name="fare")'))
    assert "can't take the transformed features" in message


def test_model_that_can_not_be_trained(fails):
    message = fails(MODULE.replace('"binary_crossentropy"', "lambda truth, answer: keras.ops.matmul(truth, truth)"))
    assert "Keras can't train the pipeline module's model" in message


def test_embedding_that_is_too_small(fails):
    message = fails(MODULE.replace('"area": 10}', '"area": 4}'))
    assert "model can't" in message or "can't train" in message
    assert "indices" in message


def test_default_hyperparameters_that_are_no_dict(fails):
    message = fails(MODULE.replace("DEFAULT_HYPERPARAMETERS = {", "DEFAULT_HYPERPARAMETERS = 3\nUNUSED = {"))
    assert "DEFAULT_HYPERPARAMETERS is an object of type 'int'. Make it a dict" in message


def test_default_hyperparameters_that_are_not_json(fails):
    message = fails(MODULE.replace('"units": 8,', '"units": 8, "kind": object(),'))
    assert "DEFAULT_HYPERPARAMETERS" in message and "JSON" in message


def test_unknown_hyperparameter(fails):
    message = fails(hyperparameters='{"learning_rat": 0.1}')
    assert "Hyperparameter 'learning_rat' (--hyperparameters)" in message
    assert "Did you mean 'learning_rate'?" in message


def test_unknown_label(fails):
    message = fails(label_key="bigtip")
    assert "No transformed feature is called 'bigtip'" in message and "Did you mean 'big_tip'?" in message


def test_label_that_is_not_dense(step, fails, tmp_path):
    step.graph = shutil.copytree(step.graph, tmp_path / "graph")
    schema = step.graph / "transformed_metadata" / "schema.pbtxt"
    schema.write_text(re.sub(r'("big_tip" type: INT) .*', r"\1 }", schema.read_text()))
    assert "The label 'big_tip' isn't one value a row" in fails()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_label_that_is_not_finite(step, changed, fails, tmp_path, value):
    def edit(rows: dict) -> None:
        for row in [*rows["train"], *rows["eval"]]:
            row["big_tip"] = float(row["big_tip"])
        rows["eval"][4]["big_tip"] = value

    changed(edit)
    step.graph = shutil.copytree(step.graph, tmp_path / "graph")
    schema = step.graph / "transformed_metadata" / "schema.pbtxt"
    schema.write_text(schema.read_text().replace('"big_tip" type: INT', '"big_tip" type: FLOAT'))
    message = fails()
    assert "Label 'big_tip' is NaN or infinite in 1 examples" in message and "eval/part-00000.tfrecord.gz" in message
    assert "extract (--where)" in message


@pytest.mark.parametrize("split", ["train", "eval"])
def test_label_with_one_class(changed, fails, split):
    changed(lambda rows: [row.update(big_tip=1) for row in rows[split]])
    assert f"Label 'big_tip' is 1 in every example of split {split!r}" in fails()


@pytest.mark.parametrize("split", ["train", "eval"])
def test_empty_split(changed, fails, split):
    changed(lambda rows: rows[split].clear())
    message = fails()
    assert f"Split {split!r} of the transformed examples is empty" in message and "split ratios" in message


def test_unknown_split(fails):
    message = fails(eval_split="evl")
    assert "no split 'evl'" in message and "Did you mean 'eval'?" in message


def test_missing_examples(fails, tmp_path):
    assert "No transformed examples at" in fails(transformed_examples=tmp_path / "none")


def test_folder_that_is_no_transformed_examples(fails, tmp_path):
    assert "has no manifest.json" in fails(transformed_examples=tmp_path)


def test_unknown_format(copied, fails):
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**manifest, "format": "csv"}))
    assert "are csv; trainers read tfrecord and parquet" in fails()


def test_unknown_compression(copied, fails):
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**manifest, "compression": "zstd"}))
    assert "are compressed by zstd; trainers read gzip and none" in fails()


def test_parquet_that_is_corrupt(step, tmp_path, fails):
    step.examples = as_parquet(step.examples, tmp_path / "parquet")
    (step.examples / "train" / "part-00001.parquet").write_bytes(b"PAR1 no more")
    message = fails()
    assert "part-00001.parquet' is corrupt" in message and "Run transform again" in message


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (None, "Feature: fare (data type: float32) is missing"),
        (pa.array([[1.0, 2.0]] * 350), "Feature: fare doesn't have 1 values in every row"),
        (pa.array([None] * 350, pa.float32()), "Feature: fare doesn't have 1 values in every row"),
        (pa.array(["a lot"] * 350), "Feature: fare"),
    ],
)
def test_parquet_that_does_not_fit_the_schema(step, tmp_path, fails, column, reason):
    step.examples = as_parquet(step.examples, tmp_path / "parquet")
    file = step.examples / "train" / "part-00001.parquet"
    table = pq.read_table(file)
    table = table.drop_columns("fare")
    pq.write_table(table if column is None else table.append_column("fare", column), file)
    message = fails()
    assert "part-00001.parquet' doesn't fit the transformed schema" in message and reason in message


def test_manifest_that_is_not_json(copied, fails):
    (copied / "manifest.json").write_text("{")
    assert "manifest.json' isn't valid JSON" in fails()


def test_missing_file(copied, fails):
    (copied / "train" / "part-00001.tfrecord.gz").unlink()
    assert "part-00001.tfrecord.gz' is named in the manifest but missing" in fails()


def test_corrupt_tfrecord(copied, fails):
    path = copied / "train" / "part-00001.tfrecord.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[100] ^= 0xFF
    path.write_bytes(gzip.compress(bytes(content)))
    message = fails()
    assert "train/part-00001.tfrecord.gz' is corrupt" in message and "Run transform again" in message


def test_truncated_tfrecord(copied, fails):
    path = copied / "eval" / "part-00000.tfrecord.gz"
    path.write_bytes(path.read_bytes()[:-200])
    message = fails()
    assert "eval/part-00000.tfrecord.gz'" in message and "Run transform again" in message


def test_file_that_is_no_tfrecord(copied, fails):
    path = copied / "train" / "part-00000.tfrecord.gz"
    path.write_bytes(b"a,b\n1,2\n" * 100)
    message = fails()
    assert "train/part-00000.tfrecord.gz' is corrupt" in message


def test_fewer_rows_than_the_manifest_says(copied, fails):
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["splits"]["train"]["files"][0]["rows"] += 1
    (copied / "manifest.json").write_text(json.dumps(manifest))
    message = fails()
    assert "train/part-00000.tfrecord.gz' has 350 examples, its manifest says 351" in message


def test_examples_of_another_transform(changed, fails):
    changed(lambda rows: [row.pop("area") for row in rows["train"]])
    message = fails()
    assert "doesn't fit the transformed schema" in message and "area" in message


def test_folder_that_is_no_transform_graph(fails, tmp_path):
    assert "no transform graph: it has no transform_fn/saved_model.pb" in fails(transform_graph=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [("feature {", "has an error in line 1"), (None, "is no transform graph: it has no")]
)
def test_graph_with_a_bad_schema(step, fails, tmp_path, text, message):
    step.graph = shutil.copytree(step.graph, tmp_path / "graph")
    path = step.graph / "metadata" / "schema.pbtxt"
    if text:
        path.write_text(text)
    else:
        path.unlink()
    said = fails()
    assert message in said and "metadata/schema.pbtxt" in said


def test_schema_with_a_type_that_examples_can_not_hold(step, fails, tmp_path):
    step.graph = shutil.copytree(step.graph, tmp_path / "graph")
    path = step.graph / "transformed_metadata" / "schema.pbtxt"
    path.write_text(path.read_text() + 'feature { name: "odd" type: STRUCT }')
    assert "gives the feature 'odd' the type STRUCT" in fails()


def test_diverging_training(fails):
    message = fails(MODULE.replace("Adam(", "SGD(").replace('"learning_rate": 0.02', '"learning_rate": 1e38'))
    assert "loss became nan in epoch 1" in message and "Lower the learning rate" in message


def test_nan_in_a_feature_is_named(changed, fails):
    changed(lambda rows: rows["train"][3].update(fare=math.nan))
    message = fails()
    assert "loss became nan in epoch 1" in message and "'fare'" in message


@pytest.mark.parametrize(
    "text", ["{", '{"cluster": {}}', '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "ps", "index": 0}}']
)
def test_bad_tf_config(fails, monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert "TF_CONFIG" in fails()


def test_example_helper_leaves_missing_values_out():
    assert example(a=None, b=[]) == b"" and example(a=1) != b""


def test_a_check_writes_nothing_and_needs_nothing(step, capfd):
    assert main(["--check", "--module", MODULE, "--epochs", "3"]) == 0
    assert main([*step.argv(), "--check"]) == 0
    assert main(["--check", "--module", f"TASK = 'bnary'\n{MODULE}"]) == 1
    assert "Did you mean 'binary'?" in capfd.readouterr().err
    assert main([*step.argv(label_key="bigtip"), "--check"]) == 1
    assert "Did you mean 'big_tip'?" in capfd.readouterr().err
    assert main(["--check", "--epochs", "0"]) == 2
    assert step.written() == []


def test_an_input_that_the_label_s_column_is_needed_for(tmp_path, capfd):
    step = odd.make(tmp_path)
    module = odd.module("multiclass").replace("'leak', ", "").replace(", 'leak'", "")
    assert step.run(module, label_key="species") == 1
    assert "input 'leak' is computed from the raw column 'kind of bird', which isn't there" in capfd.readouterr().err
    assert step.written() == []


def test_the_weight_is_no_input(tmp_path, capfd):
    step = odd.make(tmp_path)
    module = odd.module("multiclass", "WEIGHT = 'a b'").replace(
        "for name in transform.feature_spec if", "for name in [*transform.feature_spec, WEIGHT] if"
    )
    assert step.run(module, label_key="species") == 1
    assert "input 'a b' is the WEIGHT" in capfd.readouterr().err
