"""Counting of values, reading of columns, and the command line."""

import collections
import json
import pickle
import random
import re
import subprocess
import sys
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from conftest import columns, write_examples
from data_validation import cli, on_beam, reading, slicing, topk
from tensorflow_data_validation import StatsOptions

from stepkit import workplace

COMPONENT = Path(__file__).parents[1] / "component.yaml"


def batch(values: list) -> pa.RecordBatch:
    rows = pa.array([None if value is None else [value] for value in values], pa.list_(pa.binary()))
    return pa.RecordBatch.from_arrays([rows], ["x"])


def count(values: list, pieces: int, **caps: int):
    """Returns string statistics of `values`, counted in pieces that are merged."""
    generator = topk.ExactTopK(StatsOptions(), **caps)
    parts = []
    for piece in range(pieces):
        part = generator.add_input(generator.create_accumulator(), batch(values[piece::pieces]))
        parts.append(pickle.loads(pickle.dumps(generator.compact(part))))  # as between Beam's workers
    (feature,) = generator.extract_output(generator.merge_accumulators(parts)).features
    return feature.string_stats


@pytest.fixture(name="words", scope="module")
def words_fixture() -> list[bytes]:
    draw = random.Random(1)
    return [f"w{int(draw.paretovariate(0.3)) % 5000}".encode() for _ in range(30000)]


@pytest.mark.parametrize("pieces", [1, 7])
def test_counts_are_exact(words, pieces):
    expected = collections.Counter(words)
    stats = count([*words, None], pieces)
    assert stats.unique == len(expected) > 1024
    ranked = sorted(((number, word.decode()) for word, number in expected.items()), reverse=True)
    assert [(top.frequency, top.value) for top in stats.top_values] == ranked[:20]
    assert [(b.sample_count, b.label) for b in stats.rank_histogram.buckets] == ranked[:1000]


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("caps", [{"most_values": 500}, {"most_bytes": 2000}])
def test_past_the_cap_counts_are_estimates(words, pieces, caps):
    expected = collections.Counter(words)
    stats = count(words, pieces, **caps)
    assert stats.unique == len(expected)  # below the sketch's size it still is exact
    word, number = expected.most_common(1)[0]
    assert stats.top_values[0].value == word.decode()
    assert stats.top_values[0].frequency == pytest.approx(number, rel=0.2)


def test_values_that_are_no_text_get_a_placeholder():
    assert {top.value for top in count([b"\xff", b"ok"], 1).top_values} == {"ok", "__BYTES_VALUE__"}


def test_nothing_but_missing_values_has_no_counts():
    generator = topk.ExactTopK(StatsOptions())
    assert not generator.extract_output(generator.add_input(generator.create_accumulator(), batch([None]))).features


def test_rows_without_a_value_are_in_no_slice():
    rows = pa.RecordBatch.from_arrays(
        [pa.array([None, None], pa.list_(pa.binary())), pa.array([[7], None], pa.list_(pa.int64()))], ["none", "some"]
    )
    assert not list(slicing.slices(rows, ["none"]))
    assert not list(slicing.slices(rows, ["some", "none"]))
    ((name, found),) = slicing.slices(rows, ["some"])
    assert (name, found["some"].to_pylist()) == ("some_7", [[7]])


def test_types_of_columns(tmp_path):
    table = pa.table(
        {
            "i": pa.array([1], pa.int32()),
            "f": pa.array([1.5], pa.float64()),
            "s": ["x"],
            "b": [True],
            "t": pa.array([0], pa.timestamp("us")),
            "n": pa.nulls(1),
        }
    )
    (split,) = reading.open_splits(write_examples(tmp_path / "data", {"train": [table]}))
    kinds, misfits = reading.choose_kinds(split, {"i": "FLOAT"})
    assert kinds == {"i": "FLOAT", "f": "FLOAT", "s": "BYTES", "b": "BYTES", "t": "BYTES", "n": "BYTES"}
    assert not misfits
    (found,) = reading.batches(split.parts[0], kinds)
    assert [column.type.value_type for column in found.columns] == [
        pa.float32(), pa.float32(), pa.binary(), pa.binary(), pa.binary(), pa.binary(),
    ]  # fmt: skip
    assert found.to_pydict()["n"] == [None]


def test_the_uri_that_kfp_names_is_known_where_it_tells_it():
    executor = {"inputs": {"artifacts": {"examples": {"artifacts": [{"uri": "gs://bucket/run/examples"}]}}}}
    assert reading.declared_uri(json.dumps(executor)) == "gs://bucket/run/examples"
    assert [reading.declared_uri(nothing) for nothing in ("", "{{$}}", "{}")] == [""] * 3


@pytest.mark.parametrize(
    ("uri", "scratch", "direct"),
    [
        ("gs://bucket/run/examples", "gs://bucket/tmp", True),
        ("minio://mlpipeline/run/examples", "gs://bucket/tmp", False),
        ("s3://bucket/run/examples", "memory://tmp", False),
        ("", "gs://bucket/tmp", False),
    ],
)
def test_workers_elsewhere_read_where_they_are_sure_to_and_else_copies(tmp_path, monkeypatch, uri, scratch, direct):
    (split,) = reading.open_splits(write_examples(tmp_path / "data", {"train": [pa.table(columns())]}))
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr("stepkit.uris.filesystem", lambda uri: (memory, uri.partition("://")[2]))
    place = workplace.Workplace(None, scratch, shared=True)
    splits = {"train": (reading.chunks(split.parts), None)}
    ((name, (part,)),) = on_beam._sent(splits, place, on_beam.Source(tmp_path / "data", uri))
    assert (name, part.rows) == ("train", 300)
    if direct:
        assert part.file == "gs://bucket/run/examples/train/part-00000.parquet"
    else:
        assert part.file.startswith(f"{scratch}/")
        assert memory.cat(part.file.partition("://")[2]) == Path(split.parts[0].file).read_bytes()


def test_parts_are_read_from_remote_files_too(tmp_path):
    (split,) = reading.open_splits(write_examples(tmp_path / "data", {"train": [pa.table(columns())]}))
    part = split.parts[0]
    remote = reading.Part(f"local://{part.file}", part.row_group, part.rows)
    kinds, _ = reading.choose_kinds(split, {})
    assert list(reading.batches(remote, kinds)) == list(reading.batches(part, kinds))


def test_help_imports_nothing_heavy():
    program = (
        "import sys\nfrom data_validation import cli\n"
        "print(cli.build_parser().format_help())\n"
        "print([name for name in ('tensorflow_data_validation', 'tensorflow', 'pyarrow') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "--drift-threshold" in shown
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.skipif(not COMPONENT.exists(), reason="the image has no specs")
def test_flags_and_defaults_are_those_of_the_spec():
    text = COMPONENT.read_text(encoding="utf-8")
    declared = dict(re.findall(r"^- \{name: (\w+), type: \w+(?:, default: ('[^']*'|\w+))?", text, re.MULTILINE))
    parser = cli.build_parser()
    spelled = set(re.findall(r"^  (?:-h, )?--([a-z-]+)", parser.format_help(), re.MULTILINE))
    assert spelled - {"help", "executor-input"} == {name.replace("_", "-") for name in declared}
    required = []
    for name in ("examples", "statistics", "schema", "anomalies", "report"):
        required += [f"--{name}", "x"]
    optional = []
    for name, default in declared.items():
        optional += [f"--{name.replace('_', '-')}", default.strip("'")] if default else []
    assert parser.parse_args([*required, *optional]) == parser.parse_args(required)
