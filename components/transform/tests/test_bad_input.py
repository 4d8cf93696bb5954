"""Every wrong input ends with exit code 1 or 2, a message that says what to do, and nothing written."""

import json

import pyarrow as pa
import pytest
from conftest import PLAIN, SCHEMA, table
from transform import cli


def test_module_without_preprocessing_fn(inputs, refused):
    message = refused(inputs.with_module("def preprocess_fn(inputs):\n    return inputs\n"))
    assert "defines no function 'preprocessing_fn'. Did you mean 'preprocess_fn'?" in message


def test_module_with_a_syntax_error(inputs, refused):
    message = refused(inputs.with_module("import os\ndef preprocessing_fn(inputs:\n    return inputs\n"))
    assert "syntax error in line 2" in message


def test_module_that_raises_on_import(inputs, refused):
    assert "ZeroDivisionError in line 2" in refused(inputs.with_module("\n1 / 0\ndef preprocessing_fn(inputs): ...\n"))


def test_missing_module_file(inputs, refused, tmp_path):
    message = refused(inputs.with_module(""), "--module-uri", str(tmp_path / "nope.py"))
    assert "No pipeline module at" in message and "nope.py" in message


def test_two_modules(inputs, refused):
    assert "exactly one of --module and --module-uri" in refused(inputs, "--module-uri", "module.py", code=2)


def test_preprocessing_fn_that_raises(inputs, refused):
    message = refused(inputs.with_module("def preprocessing_fn(inputs):\n    raise ValueError('no such luck')\n"))
    assert "preprocessing_fn raised: ValueError in line 2: no such luck" in message


def test_preprocessing_fn_that_asks_for_an_unknown_input(inputs, refused):
    message = refused(inputs.with_module("def preprocessing_fn(inputs):\n\n    return {'a': inputs['fair']}\n"))
    assert "in line 3: 'fair' isn't a feature of the schema. Did you mean 'fare'?" in message


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ("[inputs['fare']]", "returned a list; return a dict of names to tensors"),
        ("None", "returned None; return a dict"),
        ("{}", "returned an empty dict"),
        ("{'a': 3.0}", "returned a float for 'a'; return a tf.Tensor"),
        ("{'a/b': inputs['fare']}", "named 'a/b', which no input of a Keras model can be called: it has '/'. Return"),
        ("{'': inputs['fare']}", "can be called: it is empty. Return it under another name, e.g. 'feature'"),
        ("{7: inputs['fare']}", "returned the name 7; names must be str"),
        ("{'a': tf.cast(inputs['fare'], tf.int32)}", "returned int32 for 'a', which tf.Example can't hold; tf.cast"),
        ("{'a': tf.reduce_sum(inputs['fare'])}", "returned shape () for 'a'; the first dimension must be the rows"),
        ("{'a': tf.reshape(inputs['fare'], [1, -1])}", "only the rows may be of unknown number"),
    ],
)
def test_preprocessing_fn_that_returns_what_examples_cannot_hold(inputs, refused, returned, problem):
    message = refused(
        inputs.with_module(f"import tensorflow as tf\ndef preprocessing_fn(inputs):\n    return {returned}\n")
    )
    assert problem in message


def test_output_with_another_number_of_rows(inputs, refused):
    body = "import tensorflow as tf\ndef preprocessing_fn(inputs):\n    return {'a': inputs['fare'][:5]}\n"
    assert "output 'a' has 5 rows for 80 rows of input" in refused(inputs.with_module(body))


def test_graph_that_fails_on_the_data(inputs, refused):
    body = (
        "import tensorflow as tf\ndef preprocessing_fn(inputs):\n"
        "    with tf.control_dependencies([tf.debugging.assert_less(inputs['hour'], tf.constant(5, tf.int64))]):\n"
        "        return {'a': tf.identity(inputs['hour'])}\n"
    )
    message = refused(inputs.with_module(body))
    assert "preprocessing_fn's graph failed on the data: assertion failed: [Condition x < y" in message


def test_analysis_that_fails_on_the_data(inputs, refused):
    body = (
        "import tensorflow as tf\nimport tensorflow_transform as tft\ndef preprocessing_fn(inputs):\n"
        "    with tf.control_dependencies([tf.debugging.assert_less(inputs['hour'], tf.constant(5, tf.int64))]):\n"
        "        return {'a': tft.scale_to_z_score(tf.identity(inputs['hour']))}\n"
    )
    message = refused(inputs.with_module(body))
    assert "preprocessing_fn's graph failed on the data: assertion failed: [Condition x < y" in message


def test_schema_that_names_an_absent_column(inputs, refused):
    message = refused(inputs.with_schema(SCHEMA.replace('"fare"', '"fair"')))
    assert "Column 'fair' of the schema isn't in" in message
    assert "part-00000.parquet" in message and "Did you mean 'fare'?" in message


def test_schema_that_is_not_one(inputs, refused):
    assert "has an error in line 1: 'fare: FLOAT'" in refused(inputs.with_schema("fare: FLOAT"))


def test_schema_without_features(inputs, refused):
    assert "has no features" in refused(inputs.with_schema(""))


def test_missing_schema(inputs, refused):
    inputs.schema.unlink()
    assert "No schema at" in refused(inputs)
    inputs.schema.mkdir()
    assert "No schema at" in refused(inputs)


def test_schema_with_an_unusable_type(inputs, refused):
    message = refused(inputs.with_schema(SCHEMA.replace("type: INT", "type: STRUCT")))
    assert f"{str(inputs.schema)!r} gives the feature 'hour' the type STRUCT" in message
    assert "Set it to INT, FLOAT or BYTES" in message


def test_schema_with_a_wide_shape(inputs, refused):
    message = refused(inputs.with_schema(SCHEMA.replace("size: 1", "size: 3", 1)))
    assert "'fare'" in message and "has shape [3], but a row has one value of it" in message


def test_values_of_another_type_than_the_schema_says(inputs, refused):
    message = refused(inputs.with_schema(SCHEMA.replace('"fare" type: FLOAT', '"fare" type: INT')))
    assert "Column 'fare' in" in message and "isn't INT as the schema says" in message


def _without_tips(rows: list[int]) -> pa.Table:
    data = table(40, 5)
    tips = [None if row in rows else value for row, value in enumerate(data["tips"].to_pylist())]
    return data.set_column(data.schema.get_field_index("tips"), "tips", pa.array(tips, pa.float64()))


def test_label_that_is_null_everywhere(inputs, refused):
    message = refused(inputs.with_splits(train=[_without_tips(list(range(40)))], eval=[table(20, 6)]))
    assert "Column 'tips' has no value in any of the 40 rows of train" in message


def test_value_missing_where_the_schema_has_a_shape(inputs, refused):
    message = refused(inputs.with_module(PLAIN).with_splits(train=[table(20, 6)], eval=[_without_tips([3, 4])]))
    assert "Column 'tips' has 2 missing values in a batch of 40 rows of" in message
    assert "eval/part-00000.parquet" in message and "Remove the shape from the schema" in message


def test_no_rows_to_analyse(inputs, refused):
    assert "There are no rows to analyse in train" in refused(inputs.with_splits(train=[table(0, 1)]))


def test_no_rows_and_no_files_to_analyse(inputs, refused):
    assert "There are no rows to analyse in empty" in refused(inputs, "--analyze-splits", '["empty"]')


def test_unknown_split_to_analyse(inputs, refused):
    message = refused(inputs, "--analyze-splits", '["trian"]')
    assert "no split 'trian'. Did you mean 'train'?" in message


def test_no_split_to_analyse(inputs, refused):
    assert "--analyze-splits names no split" in refused(inputs, "--analyze-splits", "[]", code=2)


def test_parquet_without_a_footer(inputs, refused):
    file = inputs.examples / "train" / "part-00001.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    message = refused(inputs)
    assert "part-00001.parquet" in message and "can't be read as Parquet" in message


def test_parquet_with_a_damaged_page(inputs, refused):
    file = inputs.examples / "eval" / "part-00000.parquet"
    content = bytearray(file.read_bytes())
    content[4:300] = b"\xff" * 296
    file.write_bytes(content)
    message = refused(inputs.with_module(PLAIN))
    assert "eval/part-00000.parquet" in message and "can't be read as Parquet" in message


def test_file_of_the_manifest_that_is_missing(inputs, refused):
    (inputs.examples / "eval" / "part-00000.parquet").unlink()
    assert "is named in the manifest but missing. Run extract again" in refused(inputs)


def test_examples_without_a_manifest(inputs, refused):
    (inputs.examples / "manifest.json").unlink()
    assert "No manifest of the examples at" in refused(inputs)


def test_manifest_that_is_not_json(inputs, refused):
    (inputs.examples / "manifest.json").write_text("{", encoding="utf-8")
    assert "isn't valid JSON" in refused(inputs)


def test_missing_examples(inputs, refused, tmp_path):
    (inputs.examples).rename(tmp_path / "elsewhere")
    assert "No examples at" in refused(inputs)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--runner=FlinkRunner"], "FlinkRunner has workers elsewhere; add --temp_location=URI"),
        (["--runner=DataflowRuner"], "Did you mean 'DataflowRunner'"),
    ],
)
def test_beam_arguments(inputs, refused, arguments, problem):
    assert problem in refused(inputs, "--beam-args", json.dumps(arguments), code=2)


@pytest.mark.parametrize(
    ("module", "schema", "code", "message"),
    [
        (PLAIN, True, 0, ""),
        ("def preprocess_fn(inputs): ...", False, 1, "defines no function 'preprocessing_fn'"),
        ("TASK = 'regresion'\n" + PLAIN, False, 1, "TASK is 'regresion'"),
        ("WEIGHT = 'fair'\n" + PLAIN, True, 1, "returns no 'fair', the WEIGHT. Did you mean 'fare'?"),
        (
            "def preprocessing_fn(inputs):\n    return {'a/b': inputs['fare']}",
            True,
            1,
            "under another name, e.g. 'a_b'",
        ),
        ("", True, 0, ""),
    ],
)
def test_the_module_can_be_checked_before_there_are_examples(inputs, capsys, module, schema, code, message):
    given = ["--schema", str(inputs.schema)] if schema else []
    assert cli.main(["--check", "--module", module, *given]) == code
    assert message in capsys.readouterr().err
