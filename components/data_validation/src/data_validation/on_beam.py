"""The same statistics on a Beam runner: the functions of `computing`, with the merging as a combiner."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from tensorflow_data_validation.api.stats_api import WriteStatisticsToTFRecord
from tensorflow_metadata.proto.v0 import statistics_pb2

from data_validation import computing, reading, slicing, storing
from stepkit import uris
from stepkit.errors import StepError
from stepkit.workplace import Workplace, open_workplace, step_error


def of_chunks(
    chunks: Sequence[reading.Chunk], task: computing.Task, beam_args: Sequence[str]
) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
    """Returns the statistics of all rows under `""`, those of slices under TFDV's name for them, in order of name.

    Workers must reach the files of `chunks`. The result comes back through `--temp_location`, where workers are on
    other machines.

    Raises:
        UsageError: the runner is unknown, or workers are elsewhere and there is no `--temp_location`.
        StepError: the runner fails, a worker met wrong input, or there are too many slices.
    """
    try:
        with open_workplace(beam_args, "data_validation") as workplace:
            found = _run(chunks, task, workplace)
    except Exception as error:  # pylint: disable=broad-exception-caught  # runners raise whatever they like
        logging.debug("Beam", exc_info=True)
        if known := step_error(error):
            raise known from error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise StepError(
            f"The statistics failed on Beam with --beam-args {list(beam_args)}: {type(error).__name__}: {reason[-1]}. "
            "Check the options and the runner's own log; without a --runner they are computed on this machine."
        ) from error
    slicing.check(len(found) - 1)
    return dict(sorted(found.items()))


def _run(
    chunks: Sequence[reading.Chunk], task: computing.Task, workplace: Workplace
) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
    output = uris.join(workplace.scratch, "statistics.tfrecord")
    with beam.Pipeline(options=workplace.options) as pipeline:
        _ = (
            pipeline
            | "Chunks" >> beam.Create(list(chunks))
            | "Spread" >> beam.Reshuffle()
            | "Accumulate" >> beam.FlatMap(_partials, task)
            | "Merge" >> beam.CombinePerKey(_Merge(task))
            | "Gather" >> beam.combiners.ToList()
            | "List" >> beam.Map(_list)
            | "Write" >> WriteStatisticsToTFRecord(output)
        )
    with FileSystems.open(output) as stream:
        (record,) = storing.records(stream.read())
    every = statistics_pb2.DatasetFeatureStatisticsList.FromString(record)
    found = {dataset.name: dataset for dataset in every.datasets}
    for dataset in every.datasets:
        dataset.ClearField("name")
    return found


def _partials(chunk: reading.Chunk, task: computing.Task) -> Iterable[tuple[str, list[Any]]]:
    return computing.accumulate(chunk, task).items()


def _list(datasets: Iterable[tuple[str, bytes]]) -> statistics_pb2.DatasetFeatureStatisticsList:
    every = statistics_pb2.DatasetFeatureStatisticsList()
    for name, serialized in datasets:
        every.datasets.add().MergeFromString(serialized)
        every.datasets[-1].name = name
    return every


class _Merge(beam.CombineFn):
    """Merges the accumulators of a slice; gives its statistics, serialized."""

    def __init__(self, task: computing.Task) -> None:
        super().__init__()
        self._task = task
        self._generators: Sequence[Any] = ()

    def setup(self, *args: Any, **kwargs: Any) -> None:  # pylint: disable=unused-argument
        self._generators = self._task.generators()

    def create_accumulator(self) -> list[Any]:  # pylint: disable=arguments-differ
        return [generator.create_accumulator() for generator in self._generators]

    def add_input(self, mutable_accumulator: list[Any], element: list[Any]) -> list[Any]:  # pylint: disable=arguments-differ
        return computing.merge_one(self._generators, mutable_accumulator, element)

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:  # pylint: disable=arguments-differ
        result = self.create_accumulator()
        for accumulator in accumulators:
            result = computing.merge_one(self._generators, result, accumulator)
        return result

    def extract_output(self, accumulator: list[Any]) -> bytes:  # pylint: disable=arguments-differ
        return computing.finish(self._generators, accumulator).SerializeToString()
