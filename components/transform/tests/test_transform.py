"""What comes out: the graph, the transformed examples, and how they belong together."""

import gzip
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from conftest import MODULE, PLAIN, table
from transform import cli, tracing

from stepkit import digest, examples, threads
from stepkit.errors import StepError


def _parsed(inputs, split: str, compression: str = "GZIP") -> dict:
    """Parses a split with the graph's feature spec; sparse features become their values."""
    spec = tft.TFTransformOutput(str(inputs.graph)).transformed_feature_spec()
    files = [str(file) for file in examples.split_files(inputs.transformed, split)]
    records = list(tf.data.TFRecordDataset(files, compression_type=compression).as_numpy_iterator())
    return tf.io.parse_example(records, spec)


def _raw(inputs, split: str):
    return pq.read_table(examples.split_files(inputs.examples, split))


def test_transformed_examples_equal_the_graph_applied_to_raw_rows(finished):
    loaded = tf.saved_model.load(str(finished.graph / "transform_fn"))  # as a served model does, without tft
    for split in ("train", "eval"):
        raw = _raw(finished, split)
        cities = [city.encode() if city else None for city in raw["city"].to_pylist()]
        rows = [index for index, city in enumerate(cities) if city is not None]
        expected = loaded.transform_fn(
            {
                "fare": tf.constant(raw["fare"].to_numpy()[:, None], tf.float32),
                "hour": tf.constant(raw["hour"].to_numpy()[:, None], tf.int64),
                "tips": tf.constant(raw["tips"].to_numpy()[:, None], tf.float32),
                "city": tf.SparseTensor(
                    [[row, 0] for row in rows], [city for city in cities if city is not None], [len(cities), 1]
                ),
            }
        )
        written = _parsed(finished, split)
        assert set(written) == set(expected) == {"fare", "hour", "city", "city_name", "label"}
        for name in ("fare", "hour", "city", "label"):
            np.testing.assert_array_equal(written[name], expected[name], err_msg=name)
        np.testing.assert_array_equal(written["city_name"].values, expected["city_name"].values)
        np.testing.assert_array_equal(written["city_name"].indices, expected["city_name"].indices)


def test_values_are_those_of_the_analysed_split_alone(finished):
    fares = _raw(finished, "train")["fare"].to_numpy().astype(np.float32)
    np.testing.assert_allclose(
        _parsed(finished, "train")["fare"][:, 0], (fares - fares.mean()) / fares.std(), atol=1e-5
    )
    other = _raw(finished, "eval")["fare"].to_numpy().astype(np.float32)
    np.testing.assert_allclose(_parsed(finished, "eval")["fare"][:, 0], (other - fares.mean()) / fares.std(), atol=1e-5)


def test_all_analysed_splits_count(inputs):
    module = """
import tensorflow_transform as tft


def preprocessing_fn(inputs):
    return {"fare": tft.scale_to_z_score(inputs["fare"])}
"""
    assert cli.main(inputs.with_module(module).arguments("--analyze-splits", '["train", "eval", "train"]')) == 0
    fares = np.concatenate([_raw(inputs, split)["fare"].to_numpy() for split in ("train", "eval")]).astype(np.float32)
    np.testing.assert_allclose(
        _parsed(inputs, "eval")["fare"][:, 0], (fares[210:] - fares.mean()) / fares.std(), atol=1e-5
    )


def test_graph_has_the_raw_schema_and_vocabularies(finished):
    graph = tft.TFTransformOutput(str(finished.graph))
    assert sorted(path.name for path in finished.graph.iterdir()) == [
        "metadata",
        "transform_fn",
        "transformed_metadata",
    ]
    assert set(graph.raw_feature_spec()) == {"fare", "hour", "city", "tips"}
    assert set(graph.vocabulary_by_name("city")) == {b"Oslo", b"Bergen", b"Voss", "Bodø".encode()}


def test_manifest_tells_what_is_there(finished):
    manifest = examples.read_manifest(finished.transformed)
    assert (manifest["format"], manifest["compression"]) == ("tfrecord", "gzip")
    assert {name: split["rows"] for name, split in manifest["splits"].items()} == {"train": 210, "eval": 80, "empty": 0}
    assert [file["path"] for file in manifest["splits"]["train"]["files"]] == [
        "train/part-00000.tfrecord.gz",
        "train/part-00001.tfrecord.gz",
    ]
    for split in manifest["splits"].values():
        assert split["rows"] == sum(file["rows"] for file in split["files"])
        assert split["bytes"] == sum(file["bytes"] for file in split["files"])
        for file in split["files"]:
            path = finished.transformed / file["path"]
            assert (path.stat().st_size, digest.of_file(path)) == (file["bytes"], file["sha256"])


def test_other_processes_give_the_same_bytes(inputs, finished):
    """In another process protobuf orders the entries of its maps otherwise, and threads end in another order."""
    subprocess.run([sys.executable, "-m", "transform", *inputs.arguments()], check=True)
    assert digest.of_tree(inputs.transformed) == digest.of_tree(finished.transformed)


def test_beam_is_not_imported_without_need(inputs):
    code = (
        "import sys; from transform import cli; code = cli.main(sys.argv[1:]); assert 'apache_beam' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", f"{code}; sys.exit(code)", *inputs.arguments()], check=True)


def test_options(inputs, tmp_path):
    """No compression, a module from a file, and metadata for KFP's user interface."""
    (tmp_path / "module.py").write_text(PLAIN, encoding="utf-8")
    executor_input = {
        "outputs": {
            "artifacts": {"transformed_examples": {"artifacts": [{"name": "t", "uri": "u"}]}},
            "outputFile": str(tmp_path / "executor_output.json"),
        }
    }
    more = [
        *("--module-uri", str(tmp_path / "module.py"), "--compression", "none"),
        *("--executor-input", json.dumps(executor_input)),
    ]
    assert cli.main(inputs.with_module("").arguments(*more)) == 0
    assert _parsed(inputs, "eval", compression="")["fare"].shape == (80, 1)
    assert (inputs.transformed / "eval" / "part-00000.tfrecord").is_file()
    written = json.loads((tmp_path / "executor_output.json").read_text(encoding="utf-8"))
    (artifact,) = written["artifacts"]["transformed_examples"]["artifacts"]
    assert artifact["metadata"] == {"format": "tfrecord", "rows": {"train": 210, "eval": 80, "empty": 0}}


def test_parquet(finished, tmp_path):
    records = _parsed(finished, "train")
    outputs = ("--transform-graph", str(tmp_path / "graph"), "--transformed-examples", str(tmp_path / "parquet"))
    assert cli.main(finished.arguments("--output-format", "parquet", *outputs)) == 0
    assert examples.read_manifest(tmp_path / "parquet")["format"] == "parquet"
    columns = pq.read_table(examples.split_files(tmp_path / "parquet", "train"))
    for name in ("fare", "hour", "city", "label"):
        np.testing.assert_array_equal(columns[name].to_numpy(), records[name][:, 0])
    raw = _raw(finished, "train")["city"].to_pylist()
    assert columns["city_name"].to_pylist() == [[city.encode()] if city else [] for city in raw]


def test_split_with_a_file_without_rows(inputs):
    prepared = inputs.with_module(PLAIN).with_splits(train=[table(30, 1)], eval=[table(0, 2)])
    assert cli.main(prepared.arguments()) == 0
    assert gzip.decompress((inputs.transformed / "eval" / "part-00000.tfrecord.gz").read_bytes()) == b""
    assert examples.read_manifest(inputs.transformed)["splits"]["eval"]["rows"] == 0


def test_analysis_in_three_phases(inputs):
    """Beam's in-process runner fails on these without deep copies (apache/beam#26190)."""
    module = """
import tensorflow as tf
import tensorflow_transform as tft


def preprocessing_fn(inputs):
    once = tft.scale_to_z_score(inputs["fare"])
    twice = tft.scale_to_0_1(once * tft.mean(once + inputs["tips"]))
    return {"a": tft.bucketize(twice, 5), "b": tft.scale_to_z_score(twice * twice)}
"""
    assert cli.main(inputs.with_module(module).arguments()) == 0
    assert set(np.unique(_parsed(inputs, "train")["a"])) == set(range(5))


def test_ragged_and_wide_outputs(inputs):
    module = """
import tensorflow as tf


def preprocessing_fn(inputs):
    letters = tf.strings.bytes_split(tf.strings.as_string(tf.squeeze(inputs["hour"], 1)))
    rows = tf.range(tf.shape(inputs["hour"], out_type=tf.int64)[0] + 1)
    return {
        "letters": letters,
        "nested": tf.RaggedTensor.from_row_splits(letters, rows),
        "first": tf.RaggedTensor.from_sparse(inputs["city"]),
        "wide": tf.concat([inputs["fare"], inputs["tips"]], 1),
    }
"""
    assert cli.main(inputs.with_module(module).arguments()) == 0
    parsed = _parsed(inputs, "eval")
    raw = _raw(inputs, "eval")
    np.testing.assert_array_equal(parsed["wide"][:, 0], raw["fare"].to_numpy().astype(np.float32))
    hours = ["".join(letter.decode() for letter in row) for row in parsed["letters"].to_list()]
    assert hours == [str(hour) for hour in raw["hour"].to_pylist()]
    assert parsed["nested"].to_list() == [[row] for row in parsed["letters"].to_list()]
    assert parsed["first"].to_list() == [[city.encode()] if city else [] for city in raw["city"].to_pylist()]


def test_nothing_is_looked_for_on_the_network(inputs, monkeypatch):
    def refuse(address, *_args, **_kwargs):
        raise AssertionError(f"connects to {address}")

    local = socket.socket.connect

    def connect(self, address):
        if self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost"):
            return local(self, address)
        return refuse(address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    assert cli.main(inputs.arguments()) == 0


def test_memory_holds_a_few_batches_at_a_time():
    taken = []

    def batches():
        for number in range(100):
            taken.append(number)
            yield number

    with threads.ordered_map() as mapped:
        doubled = mapped(lambda number: number * 2, batches())
        assert [next(doubled) for _ in range(10)] == list(range(0, 20, 2))
        assert len(taken) <= 10 + len(os.sched_getaffinity(0)) + 2
        assert list(doubled) == list(range(20, 200, 2))


@pytest.mark.parametrize("split", ["train", "eval"])
def test_rows_keep_their_order(finished, split):
    tips = _raw(finished, split)["tips"].to_numpy()
    np.testing.assert_array_equal(_parsed(finished, split)["label"][:, 0], (tips.astype(np.float32) > 1).astype(int))


def test_job_ships_the_module_as_source():
    from apache_beam.internal import pickler
    from transform.preprocessing import Preprocessing

    preprocessing = Preprocessing.load(MODULE, "")
    shipped = pickler.dumps(preprocessing)
    assert len(shipped) < 10_000
    restored = pickler.loads(shipped)
    with tf.Graph().as_default():
        fare = tf.compat.v1.placeholder(tf.float32, [None, 1])
        with pytest.raises(StepError, match="line 7: 'city' isn't a feature of the schema"):
            restored({"fare": fare})


def test_an_analysis_that_never_gets_ready_is_left_to_beam(inputs, monkeypatch, capsys):
    monkeypatch.setattr(tracing.Trace, "ready", lambda *_: [])
    assert cli.main(inputs.arguments()) == 0
    assert "Running on Beam, which is slower: no analysis of preprocessing_fn that is left" in capsys.readouterr().err
