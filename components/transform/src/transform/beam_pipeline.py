"""Analyses and applies on Beam: any runner, and all that TFT can analyse."""

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

import apache_beam
import pyarrow as pa
import tensorflow_transform.beam as tft_beam

from stepkit import uris
from stepkit.errors import StepError
from stepkit.outputs import Outputs
from stepkit.workplace import explained
from transform import shards, writing
from transform.applying import Transformation, graph_failed
from transform.job import Job
from transform.shards import Shard

# What a full disk looks like once Beam has turned a worker's exception into text.
_FULL = re.compile(r"(\S+); No space left on device")
# How TFT reports a graph that fails while it is analysed.
_TFT_ERROR = re.compile(r'An error occurred while trying to apply the transformation: "(.*?)"\.\n', re.DOTALL)


def run(job: Job, options: Any, scratch: str, graph: str, transformed: str) -> None:
    """Runs the job as one Beam pipeline and waits for its end.

    Args:
        options: Beam's PipelineOptions.
        scratch: folder URI for intermediate files; it, `graph` and `transformed` are reachable by all workers.
        graph: folder URI that gets TFT's transform_fn and transformed_metadata.
        transformed: folder URI that gets each shard's target.

    Raises:
        StepError: preprocessing_fn or the data is wrong.
    """
    # Deep copies make each phase of the analysis read its input again. Without them Beam buffers the input between
    # phases, and fails where there are three of them (apache/beam#26190).
    context = tft_beam.Context(temp_dir=uris.join(scratch, "tft"), use_deep_copy_optimization=True)
    # Logs every exception of a worker with a traceback, besides passing it on.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    failing = explained("The transformation", "it runs in this process")
    with failing, _translated(), context, apache_beam.Pipeline(options=options) as pipeline:
        written = analyze(pipeline, job) | "WriteGraph" >> tft_beam.WriteTransformFn(graph)
        apply(pipeline, job, graph, transformed, written)


def analyze(pipeline: Any, job: Job) -> Any:
    """Adds the analysis to the pipeline; returns TFT's transform function and metadata, deferred."""
    batches = (
        pipeline
        | "Analyzed" >> apache_beam.Create(job.analyzed)
        | "SpreadAnalyzed" >> apache_beam.Reshuffle()
        | "Read" >> apache_beam.FlatMap(shards.read, job.schema).with_output_types(pa.RecordBatch)
    )
    return (batches, job.schema.adapter_config()) | "Analyze" >> tft_beam.AnalyzeDataset(job.preprocessing)


def apply(pipeline: Any, job: Job, graph: str, transformed: str, written: Any) -> None:
    """Adds reading, applying and writing of all shards, once `written` says that the graph is there."""
    _ = (
        pipeline
        | "Applied" >> apache_beam.Create(job.applied)
        | "SpreadApplied" >> apache_beam.Reshuffle()
        | "Apply" >> apache_beam.ParDo(_ApplyShard(job, graph, transformed), apache_beam.pvalue.AsSingleton(written))
    )


class _ApplyShard(apache_beam.DoFn):
    """Reads, transforms and writes one shard, a batch in memory at a time."""

    def __init__(self, job: Job, graph: str, transformed: str) -> None:
        self._schema, self._graph, self._transformed = job.schema, graph, transformed
        self._format, self._compression = job.output_format, job.compression
        self._transformation: Transformation | None = None

    def process(self, shard: Shard, written: None) -> Iterator[None]:  # pylint: disable=arguments-differ
        """Writes the shard's target; yields nothing."""
        del written
        if self._transformation is None:
            with uris.local_copy(self._graph, "transform graph") as graph:
                self._transformation = Transformation(graph, self._schema)
        raw = shards.read(shard, self._schema)
        with Outputs() as outputs:
            target = outputs.file(uris.join(self._transformed, shard.target))
            writing.write_transformed(raw, self._transformation, target, self._format, self._compression)
        return iter(())


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Makes errors of what a worker or TFT can tell only by text."""
    try:
        yield
    except StepError:
        raise
    except Exception as error:  # pylint: disable=broad-exception-caught  # runners raise their own types
        text = str(error)
        if found := _FULL.findall(text):
            raise StepError(
                f"Can't write {found[-1]!r}: No space left on device. Nothing was kept; make room and run again."
            ) from error
        if found := _TFT_ERROR.findall(text):
            raise StepError(graph_failed(found[-1])) from error
        raise
