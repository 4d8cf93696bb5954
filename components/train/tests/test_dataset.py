# pylint: disable=redefined-outer-name  # pytest fixtures are arguments
import numpy as np
import pytest
import tensorflow as tf
from conftest import TRAIN_ROWS
from train import dataset
from train.transform_graph import TransformGraph


@pytest.fixture(params=[dataset.MEMORY_BUDGET_BYTES, 0], ids=["in memory", "streamed"])
def source(request, examples, graph):
    split = dataset.read_split(examples, "train")
    return dataset.open_split(split, TransformGraph(graph).transformed_spec, "big_tip", budget=request.param)


def fares(batches: tf.data.Dataset) -> list[np.ndarray]:
    return [features["fare"].numpy().ravel() for features, _ in batches]


def test_every_epoch_has_every_row_once_in_another_order(source):
    batches = fares(source.epochs(64, seed=1, first=0, last=2))
    steps = -(-TRAIN_ROWS // 64)
    assert [len(batch) for batch in batches] == 2 * [*[64] * (steps - 1), TRAIN_ROWS % 64]
    first, second = np.concatenate(batches[:steps]), np.concatenate(batches[steps:])
    stored = np.concatenate(fares(source.batches()))
    np.testing.assert_array_equal(np.sort(first), np.sort(stored))
    np.testing.assert_array_equal(np.sort(second), np.sort(stored))
    assert (first != second).mean() > 0.9 and (first != stored).mean() > 0.9


def test_an_epoch_does_not_depend_on_where_training_started(source):
    whole = fares(source.epochs(64, seed=1, first=0, last=3))
    resumed = fares(source.epochs(64, seed=1, first=2, last=3))
    for expected, actual in zip(whole[-len(resumed) :], resumed, strict=True):
        np.testing.assert_array_equal(expected, actual)
    other = np.concatenate(fares(source.epochs(64, seed=2, first=2, last=3)))
    assert (np.concatenate(resumed) != other).mean() > 0.9


def test_label_is_not_among_the_features(source):
    features, label = next(iter(source.batches()))
    assert set(features) == {"fare", "company", "area", "speed", "stops"}
    assert label.shape == features["fare"].shape and set(label.numpy().ravel()) == {0, 1}


def test_workers_share_each_batch(source):
    whole = fares(source.epochs(64, seed=1, first=0, last=1))
    shares = [fares(source.epochs(64, seed=1, first=0, last=1, share=(index, 3))) for index in range(3)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert len({len(part) for part in parts}) == 1
        assert set(np.concatenate(parts)) == set(batch)


def test_sparse_features_are_streamed(examples):
    spec = {"fare": tf.io.VarLenFeature(tf.float32), "big_tip": tf.io.FixedLenFeature([1], tf.int64)}
    source = dataset.open_split(dataset.read_split(examples, "train"), spec, "big_tip")
    features, _ = next(iter(source.epochs(8, seed=1, first=0, last=1)))
    assert isinstance(features["fare"], tf.SparseTensor) and features["fare"].dense_shape[0] == 8
