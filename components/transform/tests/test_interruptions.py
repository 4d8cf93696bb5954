"""Full disks, killed processes, and workers in other processes."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import PLAIN, table
from transform import cli, writing

from stepkit import beam, uris
from stepkit.errors import StepError
from stepkit.outputs import Outputs
from stepkit.workplace import Workplace, open_workplace

BATCH = pa.record_batch({"a": pa.array([[1.0]] * 100, pa.list_(pa.float32()))})
# Forked from one that has imported TensorFlow, which takes 3 s.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["transform.in_process"])
FULL = Path("/dev/full")  # every write to it fails as on a full disk


def test_full_disk_under_records():
    with pytest.raises(
        StepError, match="Can't write '/dev/full': No space left on device. Nothing was kept; make room"
    ):
        writing.write_tfrecords(
            [BATCH], lambda batch: pa.array([b"x" * 1000] * batch.num_rows, pa.large_binary()), FULL, "none"
        )


def test_full_disk_under_parquet():
    with pytest.raises(StepError, match="Can't write '/dev/full': .*No space left on device.*make room"):
        writing.write_parquet([BATCH], BATCH.schema, ["a"], FULL, "gzip")


def test_full_disk_ends_the_step(inputs, refused, monkeypatch):
    write = writing.write_transformed
    monkeypatch.setattr(writing, "write_transformed", lambda raw, graph, _, *more: write(raw, graph, FULL, *more))
    assert "Can't write '/dev/full': No space left on device" in refused(inputs.with_module(PLAIN))


def test_full_disk_ends_the_step_on_beam(inputs, refused, monkeypatch):
    monkeypatch.setattr(Outputs, "file", lambda _, uri: FULL)
    message = refused(inputs.with_module(PLAIN), "--beam-args", '["--runner=FnApiRunner"]')
    assert "Can't write '/dev/full': No space left on device" in message


@pytest.mark.parametrize("more", [[], ["--beam-args", '["--runner=FnApiRunner"]']])
def test_full_disk_under_the_graph(inputs, refused, monkeypatch, more):
    import tensorflow as tf

    def full(_module, folder, **_):
        raise tf.errors.ResourceExhaustedError(None, None, f"{folder}/saved_model.pb; No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    message = refused(inputs, *more)
    assert "Can't write '" in message and "': No space left on device. Nothing was kept; make room" in message


def _stopped(inputs, there: str, sent: int) -> int:
    """Starts a run, sends it a signal as soon as something like `there` is below the outputs; returns its exit code."""
    process = PROCESSES.Process(target=_exit, args=(inputs.arguments(),))
    process.start()
    try:
        deadline = time.monotonic() + 60
        while not list(inputs.outputs.glob(there)):
            assert process.is_alive() and time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, sent)
        process.join(30)
    finally:
        process.kill()
    return process.exitcode


def _exit(arguments: list[str]) -> None:
    sys.exit(cli.main(arguments))


def test_killed(inputs):
    inputs = inputs.with_module(PLAIN)
    assert _stopped(inputs, ".transformed.*", signal.SIGKILL) == -signal.SIGKILL
    assert not inputs.graph.exists() and not inputs.transformed.exists()
    assert cli.main(inputs.arguments()) == 0  # what it left does not hinder the next attempt
    assert inputs.graph.is_dir() and inputs.transformed.is_dir()


def test_cancelled_while_it_writes(inputs):
    longer = inputs.with_module(PLAIN).with_splits(train=[table(300_000, 1)])
    assert _stopped(longer, ".transformed.*/train/part-00000*", signal.SIGTERM) == 128 + signal.SIGTERM
    assert not any(inputs.outputs.iterdir())


def test_workers_elsewhere_get_and_leave_files_by_uri(tmp_path):
    (tmp_path / "examples" / "train").mkdir(parents=True)
    (tmp_path / "examples" / "train" / "a.parquet").write_text("rows", encoding="utf-8")
    (tmp_path / "local").mkdir()
    workplace = Workplace(beam.pipeline_options([]), "memory://bucket/job", shared=True)
    with workplace.readable(str(tmp_path / "examples"), "examples") as examples:
        assert examples.startswith("memory://bucket/job/")
        assert uris.read_text(uris.join(examples, "train", "a.parquet"), "file") == "rows"
    copy = workplace.sent(tmp_path / "examples" / "train" / "a.parquet")
    assert copy.startswith("memory://bucket/job/") and copy.endswith("/a.parquet")
    assert uris.read_text(copy, "file") == "rows"
    with workplace.readable("memory://data/examples", "examples") as examples:
        assert examples == "memory://data/examples"
    with workplace.folder(tmp_path / "local") as uri, Outputs() as outputs:
        outputs.file(uris.join(uri, "train", "b.tfrecord")).write_text("records", encoding="utf-8")
    assert (tmp_path / "local" / "train" / "b.tfrecord").read_text(encoding="utf-8") == "records"


def test_what_was_exchanged_is_removed(monkeypatch):
    # fsspec's memory stands for an object store; Beam, which writes nothing here, has no filesystem for it.
    monkeypatch.setattr("apache_beam.io.filesystems.FileSystems.get_filesystem", lambda _path: None)
    arguments = ["--runner=FlinkRunner", "--temp_location=memory://exchanged"]
    with open_workplace(arguments, "transform") as workplace:
        fs, scratch = uris.filesystem(workplace.scratch)
        fs.pipe(f"{scratch}/file", b"rows")
    assert not fs.exists(scratch)
    with pytest.raises(StepError, match="the first error"), open_workplace(arguments, "transform") as workplace:
        fs.rm(uris.filesystem(workplace.scratch)[1])  # as in an object store, where empty folders aren't there
        raise StepError("the first error")
