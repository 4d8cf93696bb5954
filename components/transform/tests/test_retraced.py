"""A graph that was traced once gives what TFT's traces of it give: phases of analyses, control flow, eager values."""

import pytest
import tensorflow as tf
from conftest import table
from transform import cli
from transform.retraced import TracedGraph

MODULE = """
import tensorflow as tf
import tensorflow_transform as tft
CAPTURED = tf.range(200, dtype=tf.float32)  # too large for TensorFlow to make a constant of it in the graph
def preprocessing_fn(inputs):
    print("traced")
    fare = tft.scale_to_z_score(inputs["fare"])
    with tf.control_dependencies([tf.debugging.assert_greater_equal(inputs["fare"], 0.0)]):
        second = tft.scale_to_0_1(tf.identity(fare))
    odd = tf.map_fn(lambda row: tf.cond(row[0] % 2 == 1, lambda: row, lambda: -row), inputs["hour"])
    return {
        "fare": fare,
        "scaled": second,
        "odd": odd,
        "city": inputs["city"],
        "same": inputs["hour"],
        "known": tf.gather(CAPTURED, inputs["hour"]),
        "mean": tf.ones_like(fare) * tft.mean(inputs["tips"]),
    }
"""


def _apply(inputs):
    batch = table(40, 9)
    model = tf.saved_model.load(str(inputs.graph / "transform_fn"))
    city = tf.SparseTensor([[3, 0]], ["Oslo"], [40, 1])
    raw = {name: tf.constant(batch[name].to_numpy()[:, None]) for name in ("fare", "hour", "tips")}
    raw = {name: tf.cast(value, tf.float32) if value.dtype.is_floating else value for name, value in raw.items()}
    return model.transform_fn({**raw, "city": city})


@pytest.fixture(name="with_module")
def _with_module(inputs):
    return inputs.with_module(MODULE)


def test_the_graph_of_one_trace_is_that_of_three(with_module, tmp_path, monkeypatch, capfd):
    assert cli.main(with_module.arguments()) == 0
    assert capfd.readouterr().out.count("traced") == 1
    stock = type(with_module)(with_module.examples, with_module.schema, tmp_path / "stock", MODULE)
    monkeypatch.setattr(TracedGraph, "is_whole", False)
    assert cli.main(stock.arguments()) == 0
    assert capfd.readouterr().out.count("traced") >= 4

    for file in sorted(stock.transformed.rglob("*.tfrecord.gz")):
        assert (with_module.transformed / file.relative_to(stock.transformed)).read_bytes() == file.read_bytes()
    for name in ("metadata", "transformed_metadata"):
        files = [inputs.graph / name / "schema.pbtxt" for inputs in (with_module, stock)]
        assert files[0].read_bytes() == files[1].read_bytes()
    one, three = _apply(with_module), _apply(stock)
    assert set(one) == set(three)
    for name in set(one) - {"city"}:
        tf.debugging.assert_equal(one[name], three[name])
    assert one["city"].values.numpy().tolist() == three["city"].values.numpy().tolist() == [b"Oslo"]


def test_what_a_graph_cannot_hold_is_left_to_tft(inputs, capfd):
    """A vocabulary's table and file, and a function of Python."""
    module = MODULE.replace('"city": inputs["city"]', '"city": tft.compute_and_apply_vocabulary(inputs["city"])')
    assert cli.main(inputs.with_module(module).arguments()) == 0
    assert capfd.readouterr().out.count("traced") > 1
