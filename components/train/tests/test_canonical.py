"""SavedModels in one form: what differs between processes is gone, and what the model computes is as it was."""

import shutil

import pytest
import tensorflow as tf
from conftest import TransformGraph

from stepkit import digest, saved_models


def raw(company: str) -> dict:
    """Returns a raw row, as the transform graph takes it."""
    nothing = {"area": tf.int64, "speed": tf.float32, "stops": tf.int64}
    empty = {
        name: tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.zeros([0], of), [1, 1]) for name, of in nothing.items()
    }
    dense = {name: tf.constant([[1.0]]) for name in ("fare", "tips")}
    return {**empty, **dense, "company": tf.sparse.from_dense([[company]])}


@pytest.fixture(name="save")
def _save(tmp_path):
    """Saves a transform graph with a vocabulary, in a folder of its own."""

    def save(name: str, words: list[str]):
        vocabulary = tmp_path / name / "company"
        vocabulary.parent.mkdir()
        vocabulary.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
        tf.saved_model.save(TransformGraph(vocabulary), str(tmp_path / name / "model"))
        return tmp_path / name / "model"

    return save


def test_equal_models_of_one_process_are_equal_files(save):
    first, second = save("first", ["A", "B"]), save("elsewhere", ["A", "B"])
    assert digest.of_tree(first) != digest.of_tree(second)  # TensorFlow has counted on, and the vocabulary has moved
    for model in (first, second):
        saved_models.make_canonical(model)
    assert digest.of_tree(first) == digest.of_tree(second)
    before = digest.of_tree(first)
    saved_models.make_canonical(first)
    assert digest.of_tree(first) == before


def test_other_models_stay_other_files(save):
    first, second = save("first", ["A", "B"]), save("second", ["B", "A"])
    for model in (first, second):
        saved_models.make_canonical(model)
    assert digest.of_tree(first) != digest.of_tree(second)


def test_models_that_are_loaded_together_keep_their_own_tables(save, tmp_path):
    """As a champion and a candidate are: their tables are shared by the same name in each."""
    models = [save("champion", ["A", "B", "C"]), save("candidate", ["C", "B", "A"])]
    expected = [tf.saved_model.load(str(model)).transform_fn(raw("A"))["company"].numpy() for model in models]
    assert [value.item() for value in expected] == [0, 2]
    for model in models:
        saved_models.make_canonical(model)
    loaded = [tf.saved_model.load(str(model)) for model in models]
    assert [model.transform_fn(raw("A"))["company"].numpy().item() for model in loaded] == [0, 2]
    moved = shutil.copytree(models[1], tmp_path / "moved")
    shutil.rmtree(models[1])
    assert tf.saved_model.load(str(moved)).transform_fn(raw("C"))["company"].numpy().item() == 0


def test_tensorflow_reads_the_fingerprint(save):
    model = save("model", ["A"])
    before = tf.saved_model.experimental.read_fingerprint(str(model))
    saved_models.make_canonical(model)
    after = tf.saved_model.experimental.read_fingerprint(str(model))
    assert after.signature_def_hash == before.signature_def_hash
    assert after.checkpoint_hash == before.checkpoint_hash
    assert after.singleprint()
