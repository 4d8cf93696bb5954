"""The same statistics on a Beam runner."""

import logging
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import tensorflow_data_validation as tfdv
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from tensorflow_data_validation import constants
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from data_validation import computing, reading
from stepkit import uris
from stepkit.beam import pipeline_options
from stepkit.errors import StepError


def of_parts(
    parts: Sequence[reading.Part],
    kinds: Mapping[str, str],
    schema: schema_pb2.Schema | None,
    slices: Sequence[Sequence[str]],
    beam_args: Sequence[str],
) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
    """Computes statistics as `computing.of_batches` does, reading and combining on the runner of `beam_args`.

    Workers must reach the files of `parts`. The result comes back through `--temp_location`, which a runner on other
    machines must be given; else through a temporary folder here.

    Raises:
        StepError: the runner is unknown or fails, or there are too many slices.
    """
    try:
        options = pipeline_options(beam_args)
        with tempfile.TemporaryDirectory(prefix="data-validation-") as folder:
            return _run(parts, kinds, computing.options(schema, slices), options, folder)
    except StepError:
        raise
    except Exception as error:  # pylint: disable=broad-exception-caught  # runners raise whatever they like
        logging.debug("Beam", exc_info=True)
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise StepError(
            f"The statistics failed on Beam with --beam-args {list(beam_args)}: {type(error).__name__}: {reason[-1]}. "
            "Check the options and the runner's own log; without a --runner they are computed in this process."
        ) from error


def _run(
    parts: Sequence[reading.Part],
    kinds: Mapping[str, str],
    wanted: tfdv.StatsOptions,
    options: PipelineOptions,
    folder: str,
) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
    shared = options.view_as(GoogleCloudOptions).temp_location
    output = uris.join(shared or folder, f"statistics-{uuid.uuid4().hex}.tfrecord")
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Parts" >> beam.Create(list(parts))
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(reading.batches, dict(kinds)).with_output_types(pa.RecordBatch)
            | "Statistics" >> tfdv.GenerateStatistics(wanted)
            | "Write" >> tfdv.WriteStatisticsToTFRecord(output)
        )
    with tempfile.TemporaryDirectory(prefix="data-validation-") as here:
        local = Path(here) / "statistics.tfrecord"
        with FileSystems.open(output) as stream:
            local.write_bytes(stream.read())
        found = tfdv.load_statistics(str(local))
    FileSystems.delete([output])
    by_name = {dataset.name: dataset for dataset in found.datasets}
    computing.check_slices(len(by_name) - 1)
    whole = by_name.pop(constants.DEFAULT_SLICE_KEY) if wanted.experimental_slice_functions else by_name.pop("")
    return {"": whole, **{name: by_name[name] for name in sorted(by_name)}}
