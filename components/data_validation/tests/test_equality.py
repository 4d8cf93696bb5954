"""The statistics are TFDV's own: those of its Beam pipelines, whatever computes them here."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from apache_beam.options.pipeline_options import PipelineOptions
from conftest import SCHEMA, columns, write_examples
from data_validation import computing, on_cpus, reading
from pyarrow import csv
from tensorflow_metadata.proto.v0 import statistics_pb2

from stepkit import uris

ROWS = 3000
TAXI = Path(__file__).parents[3] / "pipelines" / "chicago_taxi" / "data" / "data.csv"

needs_taxi = pytest.mark.skipif(not TAXI.exists(), reason="the image has no pipelines")


@pytest.fixture(name="taxi", scope="module")
def taxi_fixture(tmp_path_factory) -> Path:
    """Returns the first rows of the taxi data as CSV."""
    path = tmp_path_factory.mktemp("taxi") / "data.csv"
    with TAXI.open(encoding="utf-8") as source:
        path.write_text("".join(line for line, _ in zip(source, range(ROWS + 1), strict=False)), encoding="utf-8")
    return path


def table_of(path: Path) -> pa.Table:
    return csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=True))


def edges(histogram: statistics_pb2.Histogram) -> list[float]:
    return [edge for bucket in histogram.buckets for edge in (bucket.low_value, bucket.high_value)]


def assert_same(mine: statistics_pb2.DatasetFeatureStatistics, theirs: statistics_pb2.DatasetFeatureStatistics) -> None:
    assert mine.num_examples == theirs.num_examples
    ours = {feature.path.step[0]: feature for feature in mine.features}
    assert set(ours) == {feature.path.step[0] for feature in theirs.features}
    for expected in theirs.features:
        name = expected.path.step[0]
        assert ours[name].type == expected.type, name
        which = expected.WhichOneof("stats")
        assert ours[name].WhichOneof("stats") == which, name
        stats, other = getattr(ours[name], which), getattr(expected, which)
        for count in ("num_non_missing", "num_missing", "tot_num_values", "min_num_values", "max_num_values"):
            assert getattr(stats.common_stats, count) == getattr(other.common_stats, count), (name, count)
        if which == "string_stats":
            assert stats.unique == other.unique, name
            assert stats.avg_length == pytest.approx(other.avg_length, rel=1e-6), name
            assert list(stats.top_values) == list(other.top_values), name
            assert stats.rank_histogram == other.rank_histogram, name
        else:
            for measure in ("mean", "std_dev", "min", "max", "num_zeros", "median"):
                value = getattr(other, measure)
                assert math.isclose(getattr(stats, measure), value, rel_tol=1e-6, abs_tol=1e-9), (name, measure)
            for mine_histogram, theirs_histogram in zip(stats.histograms, other.histograms, strict=True):
                assert edges(mine_histogram) == pytest.approx(edges(theirs_histogram), rel=1e-6), name


@needs_taxi
def test_statistics_equal_those_that_tfdv_computes_from_csv(step, taxi, tmp_path):
    examples = write_examples(tmp_path / "data", {"train": [table_of(taxi).slice(0, 1000), table_of(taxi).slice(1000)]})
    mine = step(examples).statistics["train"]
    options = PipelineOptions(["--runner=FnApiRunner"])
    theirs = tfdv.generate_statistics_from_csv(str(taxi), pipeline_options=options)
    assert_same(mine, theirs.datasets[0])


def test_missing_integers_and_columns_without_values_equal_those_that_tfdv_computes_from_csv(step, tmp_path):
    lines = ["some,large,nothing,word"]
    for row in range(1000):
        some = "" if row % 7 == 3 else row % 50 - 10
        large = "" if row % 2 else (1 << 62) - (1 << 45) * row
        lines.append(f"{some},{large},,{'' if row % 5 == 0 else 'ü' * (row % 4 + 1)}")
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = table_of(path)
    assert pa.types.is_null(table["nothing"].type) and pa.types.is_int64(table["large"].type)
    # The last file has one row, without `large`.
    mine = step(
        write_examples(tmp_path / "data", {"train": [table.slice(0, 3), table.slice(3, 996), table.slice(999)]})
    )
    options = PipelineOptions(["--runner=FnApiRunner"])
    theirs = tfdv.generate_statistics_from_csv(str(path), pipeline_options=options)
    assert_same(mine.statistics["train"], theirs.datasets[0])


# TFDV's StatsOptions.epsilon, which the README documents.
EPSILON = 0.01
README = Path(__file__).parents[1] / "README.md"


@pytest.mark.skipif(not README.exists(), reason="the image has no README")
def test_quantiles_and_histograms_are_as_close_as_documented(tmp_path):
    assert f"within {EPSILON} of the exact one" in " ".join(README.read_text(encoding="utf-8").split())
    rows = 400_000
    draw = np.random.default_rng(1)
    values = {
        "normal": draw.normal(size=rows),
        "skewed": draw.lognormal(sigma=1.0, size=rows),
        "whole": draw.integers(-1_000_000, 1_000_000, rows),
    }
    table = pa.table(values)
    parts = [table.slice(at, 20_000) for at in range(0, rows, 20_000)]
    for feature in statistics(write_examples(tmp_path / "data", {"train": parts}), cpus=2)[""].features:
        ordered = np.sort(values[feature.path.step[0]].astype(np.float32 if feature.type else np.int64))

        def rank(value: float, ordered: np.ndarray = ordered) -> float:
            return np.searchsorted(ordered, value) / rows

        stats = feature.num_stats
        assert rank(stats.median) == pytest.approx(0.5, abs=EPSILON)
        standard, quantiles = stats.histograms
        for number, bucket in enumerate(quantiles.buckets, start=1):
            assert rank(bucket.high_value) == pytest.approx(number / 10, abs=EPSILON)
        for bucket in standard.buckets:
            share = rank(bucket.high_value) - rank(bucket.low_value)
            assert bucket.sample_count / rows == pytest.approx(share, abs=EPSILON)


def test_text_statistics_equal_those_of_a_dataframe(step, tmp_path):
    table = pa.table(columns()).select(["pay", "fare"])
    mine = step(write_examples(tmp_path / "data", {"train": [table]})).statistics["train"]
    frame = table.to_pandas().astype({"fare": "float32"})
    assert_same(mine, tfdv.generate_statistics_from_dataframe(frame).datasets[0])


@needs_taxi
@pytest.mark.parametrize("schema", ["", SCHEMA])
def test_a_beam_runner_gives_the_same(step, taxi, tmp_path, monkeypatch, schema):
    monkeypatch.setattr(computing, "SLICED_ROWS", 100)  # a chunk a file: there is something to merge
    table = table_of(taxi) if not schema else pa.table(columns())
    slices = '["payment_type"]' if not schema else '["pay", ["pay", "hour"]]'
    examples = write_examples(tmp_path / "data", {"train": [table.slice(0, 200), table.slice(200)], "eval": [table]})
    here = step(examples, to="here", schema_text=schema, slices=slices)
    there = step(examples, to="there", schema_text=schema, slices=slices, beam_args='["--runner=FnApiRunner"]')
    assert list(here.statistics) == list(there.statistics)
    for name, dataset in here.statistics.items():
        assert_same(there.statistics[name], dataset)
    assert here.report == there.report
    assert here.parameters == there.parameters


# What the launcher of Kubeflow Pipelines tells with its default pipeline root, which no filesystem of a step's reads.
ON_MINIO = {"inputs": {"artifacts": {"examples": {"artifacts": [{"uri": "minio://mlpipeline/v2/artifacts/examples"}]}}}}


@pytest.mark.parametrize(
    "beam_args",
    [
        ["--runner=FnApiRunner"],
        [
            "--runner=PortableRunner",
            "--job_endpoint=embed",
            "--environment_type=beam:env:harness_subprocess_python:v1",
            f"--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main",
            "--temp_location=exchanged",
        ],
    ],
    ids=["in process", "as if elsewhere"],
)
def test_beam_reads_the_local_copy_of_examples_on_minio(step, tmp_path, monkeypatch, beam_args):
    monkeypatch.chdir(tmp_path)
    for name in uris.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    examples = write_examples(tmp_path / "data", {"train": [pa.table(columns())], "eval": [pa.table(columns(200))]})
    here = step(examples, to="here", schema_text=SCHEMA)
    there = step(
        examples,
        to="there",
        schema_text=SCHEMA,
        beam_args=json.dumps(beam_args),
        executor_input=json.dumps(ON_MINIO),
    )
    assert there.code == 0, there.err
    assert list(here.statistics) == list(there.statistics)
    for name, dataset in here.statistics.items():
        assert_same(there.statistics[name], dataset)
    assert (tmp_path / "exchanged").is_dir() == ("--temp_location=exchanged" in beam_args)
    assert not list(tmp_path.glob("exchanged/data_validation-*"))


def statistics(examples: Path, slices: tuple = (), cpus: int = 1) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
    (split,) = reading.open_splits(examples)
    kinds, _ = reading.choose_kinds(split, {})
    work = {split.name: (reading.chunks(split.parts, 500), computing.Task(kinds, slices))}
    return on_cpus.of_splits(work, cpus=cpus)[split.name]


@needs_taxi
def test_a_slice_has_the_statistics_of_its_rows_alone(taxi, tmp_path):
    table = table_of(taxi)
    mine = statistics(write_examples(tmp_path / "data", {"train": [table]}), (("payment_type",),))
    assert len(mine) > 4
    for name, dataset in mine.items():
        if name:
            value = name.removeprefix("payment_type_")
            rows = table.filter(pa.array([found == value for found in table["payment_type"].to_pylist()]))
            assert_same(dataset, statistics(write_examples(tmp_path / name, {"train": [rows]}))[""])


@needs_taxi
def test_the_number_of_workers_does_not_change_a_bit(taxi, tmp_path):
    table = table_of(taxi)
    examples = write_examples(tmp_path / "data", {"train": [table.slice(at, 400) for at in range(0, ROWS, 400)]})
    one, three = (statistics(examples, (("payment_type",),), cpus) for cpus in (1, 3))
    assert list(one) == list(three)
    assert one == three


def test_batches_do_not_change_the_statistics(tmp_path, monkeypatch):
    examples = write_examples(tmp_path / "data", {"train": [pa.table(columns(2000))]})
    found = []
    for rows in (100, 2000):
        monkeypatch.setattr(reading, "BATCH_ROWS", rows)
        found.append(statistics(examples)[""])
    assert_same(found[0], found[1])
