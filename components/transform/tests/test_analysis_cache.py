"""What is kept of an analysis: only new files are read again, and results don't depend on it."""

import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow_transform as tft
from conftest import MODULE, table, write_examples
from transform import cli, shards

from stepkit import code, digest, examples


@pytest.fixture(name="read")
def _read(monkeypatch):
    """The files that are read, in order; every run reads each once more to transform it."""
    files = []
    original = shards.read

    def read(shard, schema):
        files.append(shard.target)
        return original(shard, schema)

    monkeypatch.setattr(shards, "read", read)
    return files


@pytest.fixture(name="kept")
def _kept(inputs, tmp_path):
    """The cache's folder after a run over two files, and those inputs with a third file."""
    folder = tmp_path / "cache"
    assert cli.main(inputs.arguments("--analysis-cache-uri", str(folder))) == 0
    more = inputs.with_splits(train=[table(150, 1), table(60, 2), table(70, 7)], eval=[table(80, 3)])
    return folder, more


NAMES = [f"train/part-{index:05d}.tfrecord.gz" for index in range(3)]
APPLIED = ["eval/part-00000.tfrecord.gz", *NAMES]  # by the names of their splits


def _fares(inputs) -> np.ndarray:
    return pq.read_table(examples.split_files(inputs.transformed, "train"))["fare"].to_numpy()


def test_only_new_files_are_analysed_with_the_same_result(kept, read, tmp_path, capfd):
    folder, more = kept
    parquet = ("--output-format", "parquet")
    assert cli.main(more.arguments(*parquet, "--analysis-cache-uri", str(folder))) == 0
    assert [name.replace("parquet", "tfrecord.gz") for name in read] == [NAMES[2], *APPLIED]
    assert "2 of 3 shards were known" in capfd.readouterr().out
    with_cache, vocabulary = _fares(more), tft.TFTransformOutput(str(more.graph)).vocabulary_by_name("city")

    assert cli.main(more.arguments(*parquet)) == 0
    np.testing.assert_allclose(with_cache, _fares(more), rtol=1e-6, atol=1e-7)
    assert vocabulary == tft.TFTransformOutput(str(more.graph)).vocabulary_by_name("city")

    assert cli.main(more.arguments(*parquet, "--analysis-cache-uri", str(tmp_path / "empty"))) == 0
    np.testing.assert_array_equal(with_cache, _fares(more))  # not even rounding tells whether a file was known


def test_other_module_or_schema_is_another_entry(inputs, kept, read):
    folder, _ = kept
    before = set(folder.iterdir())
    other = inputs.with_module(MODULE.replace('bucketize(inputs["hour"], 4)', 'bucketize(inputs["hour"], 5)'))
    assert cli.main(other.arguments("--analysis-cache-uri", str(folder))) == 0
    assert read[:2] == NAMES[:2] and len(set(folder.iterdir()) - before) == 2
    schema = inputs.schema.read_text(encoding="utf-8") + 'feature { name: "unused" type: INT }\n'
    assert cli.main(inputs.with_schema(schema).arguments("--analysis-cache-uri", str(folder))) == 0
    assert len(set(folder.iterdir()) - before) == 4


def test_other_code_is_another_entry(inputs, kept, read, monkeypatch):
    folder, _ = kept
    asked = []
    monkeypatch.setattr(code, "fingerprint", lambda *packages: asked.append(packages) or "other code")
    assert cli.main(inputs.arguments("--analysis-cache-uri", str(folder))) == 0
    assert asked == [("transform", "stepkit")]
    assert read[:2] == NAMES[:2] and len(list(folder.iterdir())) == 4


def test_damaged_and_foreign_entries_are_ignored_with_a_message(inputs, kept, read, caplog):
    folder, _ = kept
    damaged, foreign = sorted(folder.iterdir())
    whole = digest.of_tree(folder)
    with zipfile.ZipFile(foreign, "w") as content:
        content.writestr("header.json", "{}")
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert cli.main(inputs.arguments("--analysis-cache-uri", str(folder))) == 0
    messages = [record.getMessage() for record in caplog.records if record.name == "transform"]
    assert len(messages) == 2 and all("It is computed again" in message for message in messages)
    assert "its header tells of another shard" in " ".join(messages)
    assert sorted(read[:2]) == NAMES[:2] and digest.of_tree(folder) == whole


def test_a_step_that_fails_keeps_nothing(inputs, tmp_path):
    missing = table(20, 6).set_column(4, "tips", [[None] * 20])
    prepared = inputs.with_splits(train=[table(30, 1)], eval=[missing])
    assert cli.main(prepared.arguments("--analysis-cache-uri", str(tmp_path / "cache"))) == 1
    assert not (tmp_path / "cache").exists() or not any((tmp_path / "cache").iterdir())


def test_what_has_no_coder_is_analysed_again(inputs, tmp_path):
    body = "import tensorflow_transform as tft\ndef preprocessing_fn(inputs):\n"
    gaussian = inputs.with_module(f"{body}    return {{'a': tft.scale_to_gaussian(inputs['fare'])}}\n")
    assert cli.main(gaussian.arguments("--analysis-cache-uri", str(tmp_path / "cache"))) == 0
    assert not (tmp_path / "cache").exists()


def test_later_phases_are_computed_again(inputs, read, tmp_path):
    body = "import tensorflow_transform as tft\ndef preprocessing_fn(inputs):\n"
    twice = inputs.with_module(
        f"{body}    return {{'a': tft.scale_to_0_1(inputs['fare'] * tft.mean(inputs['tips']))}}\n"
    )
    twice = twice.__class__(write_examples(tmp_path / "one", {"train": [table(50, 1)]}), *_rest(twice))
    for _ in range(2):
        assert cli.main(twice.arguments("--analysis-cache-uri", str(tmp_path / "cache"))) == 0
    assert read == [NAMES[0]] * 5  # two phases and the transformation, then the second phase and the transformation


def _rest(inputs):
    return inputs.schema, inputs.outputs, inputs.module
