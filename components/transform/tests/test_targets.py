"""The label and the weight: what only they are made from isn't served, and what no model can learn from is refused."""

import json

import pyarrow as pa
import pytest
from conftest import SCHEMA, table
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from transform import cli

from stepkit import schemas

MODULE = """
import tensorflow as tf
import tensorflow_transform as tft
WEIGHT = "importance"
def preprocessing_fn(inputs):
    city = inputs["city"]
    shared = tf.math.log1p(inputs["fare"])
    return {
        "fare": tft.scale_to_z_score(shared),
        "hour": inputs["hour"] - tf.cast(tft.min(inputs["tips"]), tf.int64),
        "big": tf.cast(inputs["tips"] > shared, tf.int64),
        "importance": tf.sparse.to_dense(
            tf.SparseTensor(city.indices, tf.ones_like(city.values, tf.float32), [city.dense_shape[0], 1])
        ),
    }
"""
WHOLE = [("Oslo", "Voss")[row % 2] for row in range(60)]


def with_cities(inputs):
    """Every row has a city, and so a weight."""
    parts = [table(60, seed).set_column(3, "city", pa.array(WHOLE)) for seed in (1, 2)]
    return inputs.with_splits(train=[parts[0]], eval=[parts[1]])


def served(path):
    """Returns the raw features of a schema in the environment SERVING, and the environments that it knows."""
    schema = text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    return [feature.name for feature in schemas.in_use(schema, schemas.SERVING)], list(schema.default_environment)


@pytest.mark.parametrize("beam", [False, True])
def test_what_only_label_and_weight_depend_on_is_not_served(inputs, beam):
    inputs = with_cities(inputs).with_module(MODULE)
    raw = inputs.outputs / "raw_schema"
    flags = ["--beam-args", '["--direct_running_mode=in_memory"]'] if beam else []
    assert cli.main(inputs.arguments("--label-key", "big", "--raw-schema", str(raw), *flags)) == 0
    # The model's `hour` needs an analysis of `tips`, which is a constant by then.
    assert served(raw) == (["fare", "hour"], ["TRAINING", "SERVING"])
    assert raw.read_bytes() == (inputs.graph / "metadata" / "schema.pbtxt").read_bytes()


def test_the_label_may_be_the_modules(inputs):
    raw = inputs.outputs / "raw_schema"
    module = "LABEL = 'l'\ndef preprocessing_fn(inputs):\n    return {'fare': inputs['fare'], 'l': inputs['tips']}\n"
    assert cli.main(inputs.with_module(module).arguments("--raw-schema", str(raw))) == 0
    assert served(raw)[0] == ["fare", "hour", "city"]


@pytest.mark.parametrize(
    ("module", "schema"),
    [
        ("def preprocessing_fn(inputs):\n    return {'fare': inputs['fare'], 'l': inputs['tips']}\n", SCHEMA),
        (
            "LABEL = 'l'\ndef preprocessing_fn(inputs):\n    return {'fare': inputs['fare'], 'l': inputs['tips']}\n",
            SCHEMA + 'default_environment: "TRAINING"\n',
        ),
    ],
    ids=["no label", "environments are named"],
)
def test_the_schema_stays_as_it_is(inputs, module, schema):
    assert cli.main(inputs.with_module(module).with_schema(schema).arguments()) == 0
    written = (inputs.graph / "metadata" / "schema.pbtxt").read_text(encoding="utf-8")
    assert text_format.Parse(written, schema_pb2.Schema()) == text_format.Parse(schema, schema_pb2.Schema())


BAD = {
    "a missing label": ("inputs['city']", "The label 'l' is missing in", "of the split 'train'. Leave such rows out"),
    "an infinite label": ("inputs['fare'] / 0.0", "The label 'l' is NaN or infinite in 60 values of the split 'train'"),
    "a constant label": ("inputs['fare'] * 0.0 + 3.0", "The label 'l' is 3.0 in all 60 rows of the split 'train'"),
    "a constant text": ("tf.fill(tf.shape(inputs['fare']), 'no')", "The label 'l' is 'no' in all 60 rows"),
    "constant labels": (
        "tf.repeat([[0, 1]], tf.shape(inputs['fare'])[0], 0)",
        "The label 'l' is [0, 1] in all 60 rows",
    ),
}


@pytest.mark.parametrize(("label", "messages"), [(bad[0], bad[1:]) for bad in BAD.values()], ids=BAD)
def test_labels_that_nothing_can_be_learned_from(inputs, refused, label, messages):
    label = label.replace("[[0, 1]]", "tf.constant([[0, 1]], tf.int64)")
    module = (
        f"import tensorflow as tf\ndef preprocessing_fn(inputs):\n    return {{'f': inputs['fare'], 'l': {label}}}\n"
    )
    found = refused(
        inputs.with_splits(train=[table(60, 1)], eval=[table(60, 2)]).with_module(module), "--label-key", "l"
    )
    assert all(message in found for message in messages), found


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("inputs['fare'] - 1000.0", "a weight is 0 or more"),
        ("inputs['fare'] * 0.0", "The weight 'w' is 0 in all 60 rows"),
        ("tf.math.log(inputs['fare'] - 1000.0)", "The weight 'w' is NaN or infinite in"),
    ],
)
def test_weights_that_do_not_weigh(inputs, refused, weight, message):
    module = (
        "import tensorflow as tf\nWEIGHT = 'w'\ndef preprocessing_fn(inputs):\n"
        f"    return {{'f': inputs['fare'], 'w': {weight}}}\n"
    )
    assert message in refused(inputs.with_splits(train=[table(60, 1)]).with_module(module))


@pytest.mark.parametrize(
    ("weight", "message"), [("c", "The weight 'c' (WEIGHT of the module) is text"), ("f", "'f', which is the label")]
)
def test_weights_that_are_none_are_known_without_data(inputs, capsys, weight, message):
    module = f"LABEL, WEIGHT = 'f', {weight!r}\n" + (
        "def preprocessing_fn(inputs):\n    return {'f': inputs['fare'], 'c': inputs['city']}\n"
    )
    argv = inputs.with_module(module).arguments("--check")
    assert cli.main(argv) == 1
    assert message in capsys.readouterr().err


def test_targets_that_preprocessing_fn_does_not_return(inputs, refused):
    module = "def preprocessing_fn(inputs):\n    return {'tip': inputs['tips']}\n"
    assert "returns no 'tips', the label. Did you mean 'tip'?" in refused(
        inputs.with_module(module), "--label-key", "tips"
    )
    assert "returns no 'tpi', the WEIGHT. Did you mean 'tip'?" in refused(
        inputs.with_module(f"WEIGHT = 'tpi'\n{module}")
    )
    assert "TASK is 'binry'" in refused(inputs.with_module(f"TASK = 'binry'\n{module}"))


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("inputs['city']", "'Bergen'"),
        ("tf.cast(tf.strings.length(inputs['city']), tf.int64)", "6"),
        ("tf.strings.regex_replace(inputs['city'], 'Bergen', 'Oslo')", ""),
    ],
)
def test_a_class_that_the_training_split_lacks(inputs, refused, label, shown):
    """Evaluation would find it, when the model is trained."""
    label = label.replace("inputs['city']", "tf.ensure_shape(tf.sparse.to_dense(inputs['city']), [None, 1])")
    module = (
        "import tensorflow as tf\nTASK = 'multiclass'\nCLASSES = []\ndef preprocessing_fn(inputs):\n"
        f"    return {{'f': inputs['fare'], 'l': {label}}}\n"
    )
    kinds = ("Oslo", "Bodo", "Voss", "Trondheim")
    parts = [table(60, seed).set_column(3, "city", pa.array([kinds[row % 4] for row in range(60)])) for seed in (1, 2)]
    other = parts[1].set_column(3, "city", pa.array(["Bergen", *WHOLE[1:]]))
    changed = inputs.with_splits(train=[parts[0]], eval=[parts[1]], test=[other]).with_module(module)
    if not shown:
        assert cli.main(changed.arguments("--label-key", "l")) == 0
        return
    found = refused(changed, "--label-key", "l")
    assert f"The label 'l' is {shown} in the split 'test', and never in 'train'" in found


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_split_of_one_label_that_no_model_can_be_judged_on(inputs, refused, task):
    """Evaluation would find it, when the model is trained."""
    module = (
        f"TASK = {task!r}\ndef preprocessing_fn(inputs):\n    return {{'f': inputs['fare'], 'l': inputs['hour']}}\n"
    )
    tables = [table(60, 1), table(60, 2), table(20, 3).set_column(2, "hour", pa.array([3] * 20))]
    changed = inputs.with_splits(**dict(zip(("train", "eval", "test"), ([each] for each in tables), strict=True)))
    found = refused(changed.with_module(module), "--label-key", "l")
    assert "The label 'l' is 3 in all 20 rows of the split 'test': no model can be judged on it." in found


def test_a_constant_label_elsewhere_is_none_of_its_business_without_a_task(inputs):
    module = "LABEL = 'l'\ndef preprocessing_fn(inputs):\n    return {'f': inputs['fare'], 'l': inputs['hour']}\n"
    constant = table(20, 2).set_column(2, "hour", pa.array([3] * 20))
    assert cli.main(inputs.with_splits(train=[table(60, 1)], eval=[constant]).with_module(module).arguments()) == 0
    manifest = json.loads((inputs.transformed / "manifest.json").read_text())
    assert manifest["splits"]["eval"]["rows"] == 20
