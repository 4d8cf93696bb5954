"""Every bad input: exit code, a message that names it and the remedy, and nothing written."""

import contextlib
import errno
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SCHEMA, columns, flags, write_examples
from data_validation import cli, computing, slicing, storing
from test_workers import runs

from stepkit import uris


def test_examples_without_manifest(step, tmp_path):
    (tmp_path / "empty").mkdir()
    step(tmp_path / "empty").assert_refused("is no Examples artifact", "Give extract's output")


def test_a_missing_file(step, examples):
    (examples / "eval" / "part-00001.parquet").unlink()
    step(examples).assert_refused("part-00001.parquet", "missing. Run extract again")


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really"])
def test_a_corrupt_file(step, examples, content):
    (examples / "train" / "part-00000.parquet").write_bytes(content)
    step(examples).assert_refused("part-00000.parquet", "can't be read as Parquet", "Run extract again")


def test_a_file_with_damaged_pages(step, examples):
    path = examples / "train" / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)
    step(examples).assert_refused("part-00000.parquet", "damaged", "Run extract again")


def test_a_split_without_rows(step, tmp_path):
    empty = pa.table(columns(1)).slice(0, 0)
    examples = write_examples(tmp_path / "data", {"train": [pa.table(columns())], "eval": [empty]})
    step(examples).assert_refused("The split 'eval'", "has no rows", "Check the source")


def test_no_splits(step, tmp_path):
    step(write_examples((tmp_path / "data"), {"train": []})).assert_refused("has no rows")
    (tmp_path / "data" / "manifest.json").write_text('{"splits": {}}')
    step(tmp_path / "data").assert_refused("have no splits")


def test_a_column_that_changes_type_between_shards(step, tmp_path):
    other = pa.table(columns() | {"hour": ["7"] * 300})
    examples = write_examples(tmp_path / "data", {"train": [pa.table(columns()), other]})
    step(examples).assert_refused("Column 'hour' is int64 in", "but string in", "part-00001.parquet")


def test_a_column_of_lists(step, tmp_path):
    examples = write_examples(tmp_path / "data", {"train": [pa.table(columns() | {"tags": [["a", "b"]] * 300})]})
    step(examples).assert_refused("Column 'tags'", "Only numbers, text, booleans and times")


def test_a_number_above_64_bits(step, tmp_path):
    table = pa.table({"id": pa.array([1, 2**63], pa.uint64())})
    outcome = step(write_examples(tmp_path / "data", {"train": [table]}))
    outcome.assert_refused("Column 'id'", "exceeds signed 64-bit integers", """--column-types '{"id": "VARCHAR"}'""")


def test_a_schema_that_does_not_parse(step, examples):
    text = 'feature {\n  name: "fare"\n  typo: FLOAT\n}'
    step(examples, schema_text=text).assert_refused("given by --schema-text", "line 3", "typo: FLOAT")


def test_a_schema_file_that_does_not_parse(step, examples, tmp_path):
    (tmp_path / "schema.pbtxt").write_text('feature {\n  name: "fare"\n')
    outcome = step(examples, schema_uri=str(tmp_path / "schema.pbtxt"))
    outcome.assert_refused("schema.pbtxt", "has an error in line")


def test_no_schema_where_it_should_be(step, examples, tmp_path):
    step(examples, schema_uri=str(tmp_path / "none")).assert_refused("No schema at", "none")


def test_a_folder_where_a_schema_should_be(step, examples, tmp_path):
    step(examples, schema_uri=str(tmp_path)).assert_refused("No schema at", str(tmp_path))


def test_two_schemas(step, examples, tmp_path):
    outcome = step(examples, schema_text=SCHEMA, schema_uri=str(tmp_path))
    outcome.assert_refused("at most one of --schema-text and --schema-uri", code=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('default_environment: "TRAINING"', "has no features"),
        (
            'feature { name: "fare" }',
            "'fare' the type TYPE_UNKNOWN, which no column has. Set it to INT, FLOAT or BYTES",
        ),
        ('feature { name: "fare" type: STRUCT }', "gives the feature 'fare' the type STRUCT"),
        ('feature { name: "fare" type: INT } feature { name: "fare" type: FLOAT }', "the feature 'fare' twice"),
        (
            'feature { name: "pay" type: BYTES domain: "pai" } string_domain { name: "pay" value: "x" }',
            "Did you mean 'pay'",
        ),
    ],
)
def test_a_schema_that_makes_no_sense(step, examples, text, message):
    step(examples, schema_text=text).assert_refused("The schema given by --schema-text", message)


def test_an_unknown_environment(step, examples):
    outcome = step(examples, schema_text=SCHEMA, environments='{"train": "TRAINIGN"}')
    outcome.assert_refused("'TRAINIGN'", "Did you mean 'TRAINING'")


def test_an_environment_for_an_unknown_split(step, examples):
    outcome = step(examples, schema_text=SCHEMA, environments='{"trian": "TRAINING"}')
    outcome.assert_refused("a split 'trian'", "Did you mean 'train'")


def test_a_slice_by_an_unknown_column(step, examples):
    step(examples, slices='["payment"]').assert_refused("--slices names a column 'payment'", "Did you mean")


@pytest.mark.parametrize("slices", ["[1]", "[[]]", '[["pay", 2]]'])
def test_slices_that_are_no_names(step, examples, slices):
    step(examples, slices=slices).assert_refused("give names of features", code=2)


def test_too_many_slices(step, tmp_path):
    rows = slicing.MOST_SLICES + 1
    examples = write_examples(tmp_path / "data", {"train": [pa.table({"id": list(range(rows))})]})
    step(examples, slices='["id"]').assert_refused("more than 500 slices", "fewer values")


def test_a_slice_by_values_that_are_no_text(step, tmp_path):
    examples = write_examples(tmp_path / "data", {"train": [pa.table({"raw": [b"\xff\xfe"] * 5})]})
    step(examples, slices='["raw"]').assert_refused("Can't slice", "UTF-8")


@pytest.mark.parametrize("flag", ["drift_threshold", "skew_threshold"])
@pytest.mark.parametrize("value", ["-0.1", "nan"])
def test_thresholds_that_are_no_distance(step, examples, flag, value):
    step(examples, **{flag: value}).assert_refused(f"--{flag.replace('_', '-')}", "0 or a positive number", code=2)


@pytest.mark.parametrize(
    "more", [{"on_anomaly": "ignore"}, {"slices": "pay"}, {"environments": "[]"}, {"drift_threshold": "much"}]
)
def test_usage_errors(step, examples, more):
    step(examples, **more).assert_refused("usage: data_validation", code=2)


def test_an_unknown_beam_runner(step, examples):
    outcome = step(examples, beam_args='["--runner=FlinkRuner"]')
    outcome.assert_refused("Beam has no runner 'FlinkRuner'. Did you mean 'FlinkRunner'", code=2)


def test_beam_workers_elsewhere_need_a_shared_folder(step, examples):
    outcome = step(examples, beam_args='["--runner=PortableRunner", "--job_endpoint=localhost:1"]')
    outcome.assert_refused("PortableRunner has workers elsewhere; add --temp_location=URI", code=2)


def test_a_folder_for_beam_workers_that_beam_cannot_write_to_is_refused_before_any_work(step, examples):
    outcome = step(examples, beam_args='["--runner=FlinkRunner", "--temp_location=minio://mlpipeline/tmp"]')
    outcome.assert_refused("Beam can't write to --temp_location=minio://mlpipeline/tmp; give a folder at gs://", code=2)


def test_baseline_statistics_on_minio_without_access_are_refused_with_the_remedy(step, examples, monkeypatch):
    for name in uris.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    outcome = step(examples, baseline_statistics_uri="minio://mlpipeline/v2/artifacts/statistics")
    outcome.assert_refused(
        "Can't open 'minio://mlpipeline/v2/artifacts/statistics'",
        "Set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY in the step's environment",
    )


def test_beam_arguments_without_a_runner_mean_beam_too(step, examples, monkeypatch):
    def refuse(chunk, task):
        raise RuntimeError("a worker's failure")

    monkeypatch.setattr(computing, "accumulate", refuse)
    step(examples, beam_args='["--direct_num_workers=1"]').assert_refused(
        "The statistics failed on Beam with --beam-args"
    )


@pytest.mark.parametrize("failing", [False, True])
def test_cancelled_on_beam(step, examples, monkeypatch, failing):
    accumulate = computing.accumulate

    def cancelled(chunk, task):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
        if failing:
            raise RuntimeError("interrupted")
        return accumulate(chunk, task)

    monkeypatch.setattr(computing, "accumulate", cancelled)
    outcome = step(examples, beam_args='["--runner=FnApiRunner"]')
    outcome.assert_refused(code=128 + signal.SIGTERM)


def test_what_a_beam_worker_refuses(step, tmp_path):
    examples = write_examples(tmp_path / "data", {"train": [pa.table({"raw": [b"\xff\xfe"] * 5})]})
    outcome = step(examples, slices='["raw"]', beam_args='["--runner=FnApiRunner"]')
    outcome.assert_refused("error: Can't slice by the value b'\\xff\\xfe', which isn't UTF-8.")
    assert "while running" not in outcome.err


@contextlib.contextmanager
def largest_file(size: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [1 << 10, 1 << 13])
def test_a_disk_that_takes_no_more(step, examples, size):
    with largest_file(size):
        outcome = step(examples, schema_text=SCHEMA)
    outcome.assert_refused("data_validation: error: ", "Nothing was written")


def test_a_full_disk(step, examples, monkeypatch):
    def full(folder: Path, statistics: object) -> None:
        del statistics
        (folder / storing.FILE).write_bytes(b"the first part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

    monkeypatch.setattr(storing, "write", full)
    step(examples, schema_text=SCHEMA).assert_refused("No space left on device", "Nothing was written")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_step_leaves_nothing_to_see(tmp_path, number):
    examples = write_examples(
        tmp_path / "data", {"train": [pa.table(columns(30))], "eval": [pa.table(columns(1_000_000))]}
    )
    command = [sys.executable, "-m", "data_validation", *flags(examples, tmp_path / "out", schema_text=SCHEMA)]
    with subprocess.Popen(command) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and not children.read_text(encoding="ascii"):  # until workers compute
            time.sleep(0.01)
        workers = children.read_text(encoding="ascii").split()
        process.send_signal(number)
        assert process.wait(60) != 0
    assert workers
    for worker in workers:
        for _ in range(1000):
            if not runs(worker):
                break
            time.sleep(0.01)
        else:
            pytest.fail(f"the worker {worker} outlives the step")
    assert not (tmp_path / "out").exists()


def test_a_rerun_replaces_what_was_there(step, examples, tmp_path):
    assert step(examples, schema_text=SCHEMA).parameters["valid"]
    table = pq.read_table(examples / "train" / "part-00000.parquet").drop(["fare"])
    pq.write_table(table, examples / "train" / "part-00000.parquet")
    assert not step(examples, schema_text=SCHEMA).parameters["valid"]
    assert not list(tmp_path.glob("out/.*"))


def test_code_in_a_parquet_file_is_not_run(tmp_path):
    """In a process of its own, which imports nothing but what the component does."""
    trace = tmp_path / "was run"

    class Code:
        def __reduce__(self):
            return os.mkdir, (str(trace),)

    metadata = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Code())}
    schema = pa.schema([pa.field("fare", pa.int64(), metadata=metadata)])
    examples = write_examples(tmp_path / "data", {"train": [pa.table({"fare": [1, 2]}, schema)]})
    ran = subprocess.run(
        [sys.executable, "-m", "data_validation", *flags(examples, tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert "'arrow.py_extension_type', which is Python code" in ran.stderr and "CVE-2023-47248" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not trace.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ([], 0, ""),
        (["--schema-text", SCHEMA], 0, ""),
        (["--schema-text", SCHEMA, "--environments", '{"train": "SERVINK"}'], 1, "Did you mean 'SERVING'?"),
        (["--schema-text", "feature {"], 1, "has an error in line 1"),
        (["--drift-threshold", "-1"], 2, "--drift-threshold is -1.0"),
        (["--slices", "[1]"], 2, "--slices has 1"),
    ],
)
def test_parameters_alone_can_be_checked(capsys, more, code, message):
    assert cli.main(["--check", *more]) == code
    assert message in capsys.readouterr().err


def test_parameters_can_be_checked_with_the_examples(capsys, examples):
    assert cli.main(["--check", "--examples", str(examples), "--slices", '["pai"]']) == 1
    assert "Did you mean 'pay'?" in capsys.readouterr().err
