import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from conftest import TRAIN_ROWS, example, write_examples
from train import dataset

from trainkit import cache, reading
from trainkit.labels import Target
from trainkit.transform_graph import TransformGraph

BLOCK_ROWS = 50
BLOCK_BYTES = BLOCK_ROWS * (4 * 8 + 2 * 4)  # four integers and two floats a row
SCHEMA = pa.schema([("x", pa.int64())])
EVERYTHING = {
    "number": tf.io.FixedLenFeature([1], tf.float32),
    "scalar": tf.io.FixedLenFeature([], tf.int64),
    "pair": tf.io.FixedLenFeature([2], tf.float32),
    "text": tf.io.FixedLenFeature([1], tf.string),
    "several": tf.io.VarLenFeature(tf.int64),
    "label": tf.io.FixedLenFeature([1], tf.int64),
}


def opened(examples, graph, **bounds) -> dataset.Source:
    split = reading.find_split(examples, "train")
    return dataset.open_split(split, TransformGraph(graph).transformed_spec, Target("big_tip"), **bounds)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(reading, "BATCH_ROWS", BLOCK_ROWS)


@pytest.fixture(params=["in memory", "in windows", "on disk"])
def source(request, examples, graph, small_blocks):
    del small_blocks
    bounds = {"in memory": {}, "in windows": {"budget": 0, "window": 3 * BLOCK_BYTES}, "on disk": {"budget": 0}}
    return opened(examples, graph, **bounds[request.param])


def fares(batches: tf.data.Dataset) -> list[np.ndarray]:
    return [features["fare"].numpy().ravel() for features, _ in batches]


def epoch(source: dataset.Source, number: int, seed: int = 1, share: tuple[int, int] = (0, 1)) -> list[np.ndarray]:
    return fares(source.epochs(64, seed, lambda: number, share))


def test_every_epoch_has_every_row_once_in_another_order(source):
    numbers = iter((0, 1))
    batches = source.epochs(64, 1, lambda: next(numbers))
    steps = -(-TRAIN_ROWS // 64)
    assert batches.cardinality() == steps
    first, second = fares(batches), fares(batches)
    assert [len(batch) for batch in first] == [len(batch) for batch in second] == [*[64] * (steps - 1), TRAIN_ROWS % 64]
    first, second, stored = (np.concatenate(rows) for rows in (first, second, fares(source.batches())))
    np.testing.assert_array_equal(np.sort(first), np.sort(stored))
    np.testing.assert_array_equal(np.sort(second), np.sort(stored))
    assert (first != second).mean() > 0.9 and (first != stored).mean() > 0.9


def test_an_epoch_depends_on_its_number_and_the_seed_alone(source):
    expected = np.concatenate(epoch(source, 2))
    np.testing.assert_array_equal(expected, np.concatenate(epoch(source, 2)))
    assert (expected != np.concatenate(epoch(source, 2, seed=2))).mean() > 0.9


def test_examples_on_disk_come_as_those_in_memory(examples, graph, small_blocks):
    del small_blocks
    held, stored = opened(examples, graph), opened(examples, graph, budget=0)
    for there, here in zip(epoch(held, 3), epoch(stored, 3), strict=True):
        np.testing.assert_array_equal(there, here)
    np.testing.assert_array_equal(
        np.concatenate(fares(held.batches())), np.concatenate(fares(opened(examples, graph, budget=20_000).batches()))
    )


def test_rows_of_a_window_come_from_all_over_the_split(examples, graph, small_blocks):
    del small_blocks
    source = opened(examples, graph, budget=0, window=3 * BLOCK_BYTES)
    stored = np.concatenate(fares(source.batches()))
    first = np.flatnonzero(np.isin(stored, np.concatenate(epoch(source, 0)[:2]))) // BLOCK_ROWS
    assert len(set(first)) == 3 and max(first) - min(first) > 2


def test_what_is_in_memory_stays_below_the_budget():
    budget = 8 * 250
    kept = cache.Cache(SCHEMA, budget)
    for number in range(10):
        kept.add(pa.record_batch([pa.array(range(100 * number, 100 * number + 100))], schema=SCHEMA))
        assert kept.held_bytes == (kept.nbytes if kept.nbytes <= budget else 0)
    kept.finish()
    assert kept.held_bytes == 0 and kept.nbytes == 8 * 1000 and kept.block_rows == [100] * 10
    assert kept.read([2, 5]).column("x").to_pylist() == [*range(200, 300), *range(500, 600)]


def test_label_is_not_among_the_features(source):
    features, label = next(iter(source.batches()))
    assert set(features) == {"fare", "company", "area", "speed", "stops"}
    assert label.shape == features["fare"].shape and set(label.numpy().ravel()) == {0, 1}
    features, _ = next(iter(source.epochs(64, 1, lambda: 0, features=["area", "fare"])))
    assert list(features) == ["area", "fare"]


def test_workers_share_each_batch(source):
    whole = epoch(source, 0)
    shares = [epoch(source, 0, share=(index, 3)) for index in range(3)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert len({len(part) for part in parts}) == 1
        assert set(np.concatenate(parts)) == set(batch)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [
        {"number": index / 2, "scalar": index, "pair": [index + 0.5, -1.0], "text": f"row {index}",
         "several": list(range(index % 4)), "label": index % 2}
        for index in range(30)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["tfrecord", "parquet"])
@pytest.mark.parametrize("budget", [0, dataset.MEMORY_BUDGET_BYTES])
def test_every_kind_of_feature_comes_as_parsing_gives_it(tmp_path, rows, kind, budget):
    folder = write_examples(tmp_path / "all", {"train": rows}, files=1)
    if kind == "parquet":
        types = {"number": pa.float32(), "scalar": pa.int32(), "pair": pa.list_(pa.float32()), "text": pa.string()}
        columns = {name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0]}
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["splits"]["train"]["files"][0]["path"] = "train/part-00000.parquet"
        (folder / "manifest.json").write_text(json.dumps({**manifest, "format": "parquet"}))
        pq.write_table(pa.table(columns), folder / "train/part-00000.parquet")
    source = dataset.open_split(reading.find_split(folder, "train"), EVERYTHING, Target("label"), budget=budget)
    expected = tf.io.parse_example([example(**row) for row in rows], EVERYTHING)
    ((features, label),) = source.batches()
    _assert_equal({**features, "label": label}, expected)
    shuffled = list(source.epochs(8, 1, lambda: 0))
    assert [batch["text"].shape[0] for batch, _ in shuffled] == [8, 8, 8, 6]
    for batch, _ in shuffled:
        chosen = [example(**rows[int(index)]) for index in batch["scalar"]]
        parsed = tf.io.parse_example(chosen, EVERYTHING)
        del parsed["label"]
        _assert_equal(batch, parsed)


def _assert_equal(actual, expected) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert isinstance(actual[name], tf.SparseTensor) == isinstance(value, tf.SparseTensor)
        ours, theirs = (
            tf.sparse.to_dense(item) if isinstance(item, tf.SparseTensor) else item for item in (actual[name], value)
        )
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
