"""stepkit.features, in a graph as transform traces it."""

from datetime import UTC, datetime

import numpy as np
import pytest
import tensorflow as tf
from conftest import write_examples
from transform import cli

from stepkit import features


def _sparse(values, dtype):
    present = [row for row, value in enumerate(values) if value is not None]
    return tf.SparseTensor(
        tf.constant([[row, 0] for row in present], tf.int64, shape=(len(present), 2)),
        tf.constant([values[row] for row in present], dtype),
        [len(values), 1],
    )


def test_missing_values_are_filled():
    assert features.dense(_sparse([1.5, None], tf.float32)).numpy().tolist() == [[1.5], [0.0]]
    assert features.dense(_sparse([None, "a"], tf.string)).numpy().tolist() == [[b""], [b"a"]]
    assert features.dense(_sparse([3, None], tf.int64), tf.float32, default=-1).numpy().tolist() == [[3.0], [-1.0]]
    assert features.dense(tf.constant([[2]]), tf.float32).dtype == tf.float32


def test_nan_is_filled_as_a_missing_number_is():
    assert features.filled(_sparse([1.5, None, np.nan], tf.float32), -1).numpy().tolist() == [[1.5], [-1.0], [-1.0]]
    found = features.filled(tf.constant([[np.nan], [np.inf]]))
    assert (found.numpy().tolist(), found.shape.as_list()) == ([[0.0], [np.inf]], [2, 1])
    assert features.filled(_sparse([3, None], tf.int64)).numpy().tolist() == [[3.0], [0.0]]


TIMES = ["1970-01-01T00:00:00", "2024-02-29 23:10", "2023-12-31", "1900-03-01T06:30:59.123456", "2400-02-29"]


def _expected(moment):
    day_of_year = moment.timetuple().tm_yday
    return [moment.year, moment.month, moment.day, day_of_year, moment.weekday(), moment.hour, moment.minute]


def _rows(parts):
    names = ("year", "month", "day", "day_of_year", "weekday", "hour", "minute")
    return np.concatenate([parts[name].numpy() for name in names], 1).tolist()


def test_dates_as_text():
    found = _rows(tf.function(features.date_parts)(tf.constant([[time] for time in TIMES])))
    assert found == [_expected(datetime.fromisoformat(time)) for time in TIMES]
    for mark in "/.":
        parts = features.date_parts(tf.constant([[time.replace("-", mark)] for time in TIMES]))
        assert _rows(parts) == found


def test_every_day_of_eight_years_as_seconds():
    seconds = [day * 86_400 + 7 * 3600 + 5 * 60 for day in range(-1000, 2000)]
    found = _rows(tf.function(features.date_parts)(tf.constant([[each] for each in seconds], tf.int64)))
    assert found == [_expected(datetime.fromtimestamp(each, UTC)) for each in seconds]


@pytest.mark.parametrize(
    "value", ["", "yesterday", "2023-02-30", "2023-13-01", "2023-1-1", "2023-01/01", "2023-01-01T25:00", None]
)
def test_what_is_no_date(value):
    assert _rows(features.date_parts(_sparse([value], tf.string))) == [[-1] * 7]


def test_a_missing_second_is_no_date():
    assert _rows(features.date_parts(_sparse([None], tf.int64))) == [[-1] * 7]


def test_what_goes_in_circles():
    found = features.cyclical(tf.constant([[0], [6], [24]]), 24).numpy()
    np.testing.assert_allclose(found, [[0, 1], [1, 0], [0, 1]], atol=1e-6)


def test_words_of_any_script():
    found = tf.sparse.to_dense(features.words(tf.constant([["It's ÉTÉ—again, 2x"], [""], ["日本 "]]))).numpy()
    assert [[word.decode() for word in row] for row in found] == [
        ["it's", "été", "again", "2x"],
        ["", "", "", ""],
        ["日本", "", "", ""],
    ]


def test_text_through_transform(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ["a b b c c c", "c b unseen-in-top", None, "c c b a a a a"]
    examples = write_examples(tmp_path / "examples", {"train": [pa.table({"text": texts})]})
    schema = tmp_path / "schema.pbtxt"
    schema.write_text('feature { name: "text" type: BYTES }')
    module = (
        "from stepkit import features\n"
        "def preprocessing_fn(inputs):\n"
        "    return {\n"
        "        'tokens': features.tokens(inputs['text'], 3, 'words', 2),\n"
        "        'bag': features.bag_of_words(inputs['text'], 'bag', 2),\n"
        "    }\n"
    )
    given = {"examples": examples, "schema": schema, "module": module, "output-format": "parquet"}
    given |= {"transform-graph": tmp_path / "graph", "transformed-examples": tmp_path / "out"}
    assert cli.main([text for name, value in given.items() for text in (f"--{name}", str(value))]) == 0
    (part,) = (tmp_path / "out" / "train").glob("*.parquet")
    found = pq.read_table(part)
    # c is there six times, a five times: they are 1 and 2, all others 3, and 0 follows the end.
    assert found["tokens"].to_pylist() == [[2, 3, 3], [1, 3, 3], [0, 0, 0], [1, 1, 3]]
    assert found["bag"].to_pylist() == [[3, 1], [1, 0], [0, 0], [2, 4]]
