"""The same statistics on a Beam runner: the functions of `computing`, with the merging as a combiner."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from tensorflow_data_validation.api.stats_api import WriteStatisticsToTFRecord
from tensorflow_metadata.proto.v0 import statistics_pb2

from data_validation import computing, reading, slicing, storing
from stepkit import uris
from stepkit.workplace import Workplace, explained, open_workplace

Splits = Mapping[str, tuple[Sequence[reading.Chunk], computing.Task]]


@dataclass(frozen=True)
class Source:
    """Where the examples are.

    Attributes:
        folder: that the chunks' files are in.
        uri: that it was downloaded from; empty: not known.
    """

    folder: Path
    uri: str = ""

    def uri_of(self, file: str) -> str:
        """Returns the URI that a file was downloaded from; empty: not known."""
        return uris.join(self.uri, Path(file).relative_to(self.folder).as_posix()) if self.uri else ""


def of_splits(
    splits: Splits, beam_args: Sequence[str], source: Source
) -> dict[str, dict[str, statistics_pb2.DatasetFeatureStatistics]]:
    """Returns, by split, the statistics of all rows under `""` and those of slices, in order of name, of one Beam job.

    Where workers are on other machines, they get the files of the chunks by way of `--temp_location`, unless they reach
    those that the launcher downloaded; the result comes back that way.

    Args:
        splits: by name, what to read and what to compute of it, with one schema.
        source: of the chunks.

    Raises:
        UsageError: the runner is unknown, or workers are elsewhere and there is no `--temp_location`.
        StepError: the runner fails, a worker met wrong input, or there are too many slices.
    """
    failing = explained("The statistics", "they are computed on this machine", beam_args)
    with failing, open_workplace(beam_args, "data_validation") as workplace:
        found = _run(splits, workplace, source)
    result: dict[str, dict[str, statistics_pb2.DatasetFeatureStatistics]] = {name: {} for name in splits}
    for (name, of), dataset in sorted(found.items()):
        result[name][of] = dataset
    for by_slice in result.values():
        slicing.check(len(by_slice) - 1)
    return result


def _sent(splits: Splits, workplace: Workplace, source: Source) -> list[tuple[str, reading.Chunk]]:
    """Returns the chunks, each with its split, with files that workers can read."""
    chunks = [(name, chunk) for name, (all_chunks, _) in splits.items() for chunk in all_chunks]
    files = dict.fromkeys(part.file for _, chunk in chunks for part in chunk)
    seen = {file: workplace.sent(Path(file), source.uri_of(file)) for file in files}
    return [(name, [replace(part, file=seen[part.file]) for part in chunk]) for name, chunk in chunks]


def _run(
    splits: Splits, workplace: Workplace, source: Source
) -> dict[tuple[str, str], statistics_pb2.DatasetFeatureStatistics]:
    chunks = _sent(splits, workplace, source)
    tasks = {name: task for name, (_, task) in splits.items()}
    output = uris.join(workplace.scratch, "statistics.tfrecord")
    with beam.Pipeline(options=workplace.options) as pipeline:
        _ = (
            pipeline
            | "Chunks" >> beam.Create(chunks)
            | "Spread" >> beam.Reshuffle()
            | "Accumulate" >> beam.FlatMap(_partials, tasks)
            | "Merge" >> beam.CombinePerKey(_Merge(next(iter(tasks.values()))))
            | "Gather" >> beam.combiners.ToList()
            | "List" >> beam.Map(_list)
            | "Write" >> WriteStatisticsToTFRecord(output)
        )
    with FileSystems.open(output) as stream:
        (record,) = storing.records(stream.read())
    every = statistics_pb2.DatasetFeatureStatisticsList.FromString(record)
    found = {_key(dataset.name): dataset for dataset in every.datasets}
    for dataset in every.datasets:
        dataset.ClearField("name")
    return found


def _key(name: str) -> tuple[str, str]:
    split, _, of = name.partition("/")
    return split, of


def _partials(chunk: tuple[str, reading.Chunk], tasks: Mapping[str, computing.Task]) -> Iterable[tuple[str, list[Any]]]:
    split, parts = chunk
    for of, accumulators in computing.accumulate(parts, tasks[split]).items():
        yield f"{split}/{of}", accumulators


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
