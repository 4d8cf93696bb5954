"""Raw features have the names that the columns have, whatever these are."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from conftest import Inputs, write_examples
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from transform import cli

NAMES = [
    *("hours-per-week", "1st", "party.facts.id", "Fare (EUR)", "a/b", "x[0]", "it's", 'say "hi"', "100%", "k:v"),
    *("größe", "年齢", "_under", "__", "Case", "case", "a b", "a-b", "a_b", "{curly}", "back\\slash", "inputs", " "),
]
MODULE = """
import tensorflow as tf
import tensorflow_transform as tft
def preprocessing_fn(inputs):
    outputs = {}
    for name in NAMES:
        value = inputs[name]
        if isinstance(value, tf.SparseTensor):
            value = tf.sparse.to_dense(tf.SparseTensor(value.indices, value.values, [value.dense_shape[0], 1]))
        outputs[name.replace("/", "|")] = value
    outputs["least"] = inputs["1st"] - tft.min(inputs["1st"])
    return outputs
"""


@pytest.fixture(name="named", scope="module")
def fixture_named(tmp_path_factory):
    """A run over columns of these names, every other one of which is sparse."""
    folder = tmp_path_factory.mktemp("named")
    rows = pa.table([pa.array(np.arange(20.0) + 100 * number) for number in range(len(NAMES))], names=NAMES)
    schema = schema_pb2.Schema()
    for number, name in enumerate(NAMES):
        feature = schema.feature.add(name=name, type=schema_pb2.FLOAT)
        if number % 2:
            feature.shape.dim.add(size=1)
            feature.presence.min_fraction = 1.0
        else:
            feature.value_count.min = feature.value_count.max = 1
    (folder / "schema.pbtxt").write_text(text_format.MessageToString(schema), encoding="utf-8")
    module = f"NAMES = {NAMES!r}\n{MODULE}"
    inputs = Inputs(
        write_examples(folder / "examples", {"train": [rows]}), folder / "schema.pbtxt", folder / "outputs", module
    )
    assert cli.main(inputs.arguments()) == 0
    return inputs


def test_each_column_is_in_the_examples_by_its_name(named):
    (file,) = (named.transformed / "train").iterdir()
    (first, *_) = tf.data.TFRecordDataset([str(file)], "GZIP").as_numpy_iterator()
    features = tf.train.Example.FromString(first).features.feature
    found = {name: feature.float_list.value[0] for name, feature in features.items() if name != "least"}
    assert found == {name.replace("/", "|"): 100.0 * number for number, name in enumerate(NAMES)}


def test_the_graph_takes_the_columns_by_their_names(named):
    output = tft.TFTransformOutput(str(named.graph))
    assert set(output.raw_feature_spec()) == set(NAMES)
    raw = {
        name: tf.constant([[float(number)]]) if number % 2 else tf.sparse.from_dense([[float(number + 1)]])
        for number, name in enumerate(NAMES)
    }
    found = output.transform_features_layer()(raw)
    for number, name in enumerate(NAMES):
        assert found[name.replace("/", "|")].numpy().tolist() == [[number if number % 2 else number + 1]]
    assert found["least"].numpy().tolist() == [[1.0 - 100.0]]
