"""The same graph and rows in this process as on Beam, for every kind of analyzer that isn't left to Beam."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from conftest import Inputs, write_examples
from transform import analysis, cli, raw_schema, shards
from transform.preprocessing import Preprocessing
from transform.tracing import Trace

from stepkit import examples

# Sums are added up in another order than on Beam, in float32 or float64.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}
# Rows of a batch, so few that there are several without many rows, which take Beam a minute of a core.
BATCH = 512
# TFT's sketch of quantiles promises their ranks within a hundredth, and depends on how accumulators were merged.
EPSILON = 0.01
SKETCHED = {"bucket": 7, "weighted_bucket": 5, "int_bucket": 4, "thrice": 5}  # to the number of buckets

MODULE = """
import tensorflow as tf
import tensorflow_transform as tft


def preprocessing_fn(inputs):
    x, y, n, w = inputs["x"], inputs["y"], inputs["n"], inputs["w"]
    ones = tf.ones_like(x)
    city = tf.sparse.to_dense(tf.SparseTensor(inputs["city"].indices, inputs["city"].values, [tf.shape(x)[0], 1]), "")
    words = tf.strings.split(tf.squeeze(inputs["words"], 1)).to_sparse()
    grams = tft.ngrams(words, (1, 2), " ")
    both = tf.concat([x, y], 1)
    terms = tft.compute_and_apply_vocabulary(words, vocab_filename="terms", top_k=20)
    indices, weights = tft.tfidf(terms, 21)
    outputs = {
        "min": ones * tft.min(x),
        "max": ones * tft.max(x),
        "mean": ones * tft.mean(x),
        "sum": ones * tft.sum(x),
        "variance": ones * tft.var(x),
        "size": tf.ones_like(n) * tft.size(x),
        "columns": tf.zeros_like(both) + tft.mean(both, reduce_instance_dims=False),
        "z_score": tft.scale_to_z_score(x),
        "int_z_score": tft.scale_to_z_score(n),
        "min_max": tft.scale_by_min_max(y),
        "to_0_1": tft.scale_to_0_1(x),
        "gaussian": tft.scale_to_gaussian(y),
        "bucket": tft.bucketize(x, 7),
        "weighted_bucket": tft.bucketize(x, 5, weights=w),
        "int_bucket": tft.bucketize(n, 4),
        "quantiles": tf.zeros([tf.shape(x)[0], 4]) + tft.quantiles(y, 5, 0.01),
        "covariance": tf.matmul(both, tft.covariance(both, tf.float32)),
        "pca": tf.matmul(both, tft.pca(both, 1, tf.float32)),
        "hash": tft.hash_strings(city, 50),
        "city": tft.compute_and_apply_vocabulary(city, vocab_filename="city", num_oov_buckets=1),
        "top": tft.compute_and_apply_vocabulary(inputs["words"], vocab_filename="top", top_k=7),
        "often": tft.compute_and_apply_vocabulary(inputs["words"], vocab_filename="often", frequency_threshold=3),
        "counted": tft.compute_and_apply_vocabulary(city, vocab_filename="counted", store_frequency=True),
        "shuffled": tft.compute_and_apply_vocabulary(city, vocab_filename="shuffled", fingerprint_shuffle=True),
        "weighted": tft.compute_and_apply_vocabulary(city, vocab_filename="weighted", weights=w),
        "numbers": tft.compute_and_apply_vocabulary(n, vocab_filename="numbers", top_k=5),
        "none": tft.compute_and_apply_vocabulary(city, vocab_filename="none", frequency_threshold=10**6),
        "no_top": tft.compute_and_apply_vocabulary(n, vocab_filename="no_top", frequency_threshold=10**6, top_k=3),
        "grams": tft.compute_and_apply_vocabulary(grams, vocab_filename="grams", top_k=30),
        "tfidf_indices": indices,
        "tfidf_weights": weights,
        "twice": tft.scale_to_0_1(tft.scale_to_z_score(x) * tft.mean(y)),
        "city_of_often": tft.scale_to_z_score(tf.cast(tft.compute_and_apply_vocabulary(
            city, vocab_filename="again"), tf.float32)),
    }
    outputs["thrice"] = tft.bucketize(outputs["twice"] * tft.max(outputs["twice"] - outputs["to_0_1"]), 5)
    tft.vocabulary(city, vocab_filename="annotated")
    return outputs
"""
VOCABULARIES = (
    *("terms", "city", "top", "often", "counted", "shuffled", "weighted"),
    *("numbers", "none", "no_top", "grams", "again", "annotated"),
)
DENSE = 'feature { name: "%s" type: %s presence { min_fraction: 1.0 } shape { dim { size: 1 } } }\n'
TYPES = {"x": "FLOAT", "y": "FLOAT", "n": "INT", "w": "FLOAT", "words": "BYTES"}
SCHEMA = "".join([*(DENSE % pair for pair in TYPES.items()), 'feature { name: "city" type: BYTES }\n'])


def _table(rows: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    words = np.array([f"w{number}" for number in range(40)] + ["é", "a\rb"], object)
    cities = np.array(["Oslo", "Bergen", "Voss", "Bodø", None], object)
    return pa.table(
        {
            "x": random.normal(3.0, 2.0, rows),
            "y": random.gamma(2.0, 5.0, rows),
            "n": random.integers(-20, 20, rows),
            "w": random.uniform(0.5, 2.0, rows),
            "words": [
                " ".join(words[random.integers(0, 42, 3)]) if row % 3 else words[row % 42] for row in range(rows)
            ],
            "city": pa.array(cities[random.integers(0, 5, rows)], pa.string()),
        }
    )


@pytest.fixture(name="both", scope="module")
def _both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Inputs, Inputs]:
    """Runs in this process and on Beam, over two files of several batches each, and one of none."""
    folder = tmp_path_factory.mktemp("equality")
    schema = folder / "schema.pbtxt"
    schema.write_text(SCHEMA, encoding="utf-8")
    splits = {"train": [_table(2500, 1), _table(700, 2), _table(0, 3)], "eval": [_table(300, 4)]}
    here = Inputs(write_examples(folder / "examples", splits), schema, folder / "here", MODULE)
    on_beam = replace(here, outputs=folder / "on_beam")
    parquet = ("--output-format", "parquet")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_MOST_ROWS", "_FEWEST_ROWS"):
            patch.setattr(shards, name, BATCH)
        assert cli.main(here.arguments(*parquet)) == 0
        assert cli.main(on_beam.arguments(*parquet, "--beam-args", json.dumps(["--runner=FnApiRunner"]))) == 0
    return here, on_beam


@pytest.mark.parametrize("name", VOCABULARIES)
def test_vocabularies_are_the_same_bytes(both, name):
    here, on_beam = (Path(tft.TFTransformOutput(str(run.graph)).vocabulary_file_by_name(name)) for run in both)
    assert here.read_bytes() == on_beam.read_bytes() != b""


def test_metadata_are_the_same(both):
    here, on_beam = (tft.TFTransformOutput(str(run.graph)) for run in both)
    assert here.transformed_metadata == on_beam.transformed_metadata
    assert here.transformed_feature_spec() == on_beam.transformed_feature_spec()
    assert sorted(_files(both[0].graph)) == sorted(_files(both[1].graph))


def _files(graph: Path) -> list[str]:
    return [str(path.relative_to(graph)) for path in graph.rglob("*")]


@pytest.mark.parametrize("split", ["train", "eval"])
def test_rows_are_the_same(both, split):
    here, on_beam = (pq.read_table(examples.split_files(run.transformed, split)) for run in both)
    assert here.schema == on_beam.schema and here.num_rows == on_beam.num_rows > 0
    for name in here.column_names:
        ours, theirs = here[name].combine_chunks(), on_beam[name].combine_chunks()
        if pa.types.is_large_list(ours.type):
            assert ours.value_lengths().equals(theirs.value_lengths()), name
            ours, theirs = ours.flatten(), theirs.flatten()
        if name == "quantiles":
            values = np.sort(pq.read_table(both[0].examples / "train")["y"].to_numpy())
            ranks = [np.searchsorted(values, np.unique(boundaries)) / len(values) for boundaries in (ours, theirs)]
            np.testing.assert_allclose(*ranks, rtol=0, atol=EPSILON)
        elif name in SKETCHED:
            assert np.mean(ours.to_numpy() != theirs.to_numpy()) < EPSILON * SKETCHED[name]
        elif pa.types.is_floating(ours.type):
            np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), **TOLERANCE, err_msg=name)
        else:
            assert ours.equals(theirs), name


def test_graphs_map_the_same(both):
    row = {name: tf.constant([[1.5]]) for name in ("x", "y", "w")}
    row |= {"n": tf.constant([[3]], tf.int64), "words": tf.constant([["w1 w2"]])}
    row["city"] = tf.SparseTensor([[0, 0]], ["Voss"], [1, 1])
    here, on_beam = (tf.saved_model.load(str(run.graph / "transform_fn")).transform_fn(row) for run in both)
    for name in ("z_score", "twice", "city", "pca"):
        np.testing.assert_allclose(here[name], on_beam[name], **TOLERANCE)


# Expression of a feature to why only Beam can analyse for it.
ONLY_ON_BEAM = {
    "tft.scale_to_z_score_per_key(inputs['fare'][:, 0], tf.strings.as_string(inputs['hour'][:, 0]))": "CombinePerKey",
    "inputs['hour'] + tft.histogram(inputs['fare'])[0][0]": "CombinePerKey",
    "tft.compute_and_apply_vocabulary(inputs['hour'], labels=inputs['hour'] % 2)": "ordered by labels",
    "tft.compute_and_apply_vocabulary(inputs['hour'], file_format='tfrecord_gzip')": "other than text",
    "tft.compute_and_apply_vocabulary(tf.strings.as_string(inputs['hour']), reserved_tokens=['a'])": "reserved",
}


def _module_of(*expressions: str) -> str:
    features = ", ".join(f"'f{number}': {expression}" for number, expression in enumerate(expressions))
    imports = "import tensorflow as tf\nimport tensorflow_transform as tft\n"
    return f"{imports}def preprocessing_fn(inputs):\n    return {{{features}}}\n"


@pytest.mark.parametrize(("expression", "reason"), ONLY_ON_BEAM.items())
def test_other_analyzers_are_left_to_beam(inputs, tmp_path, expression, reason):
    preprocessing = Preprocessing.load(_module_of(expression), "")
    found = analysis.objections(Trace(preprocessing, raw_schema.read(str(inputs.schema)), tmp_path))
    assert any(reason in each for each in found)


def test_what_is_left_to_beam_runs_there(inputs, capfd):
    expression, reason = next(reversed(ONLY_ON_BEAM.items()))
    assert cli.main(inputs.with_module(_module_of(expression)).arguments()) == 0
    shown = capfd.readouterr().err
    assert "Running on Beam, which is slower: preprocessing_fn has " in shown and reason in shown
    assert examples.read_manifest(inputs.transformed)["splits"]["train"]["rows"] == 210


def test_other_versions_of_tft_go_to_beam(inputs, capfd, monkeypatch):
    monkeypatch.setattr("transform.in_process.SUPPORTED", ("1.2.3",))
    assert cli.main(inputs.arguments()) == 0
    shown = capfd.readouterr().err
    assert f"slower: tensorflow-transform {tft.__version__} isn't 1.2.3" in shown
