"""The statistics on the CPUs of this machine."""

from collections.abc import Callable, Mapping, Sequence

from tensorflow_metadata.proto.v0 import statistics_pb2

from data_validation import computing, reading, workers
from stepkit import machine

# Starting processes costs more than it gains for fewer rows.
_FEW_ROWS = 1 << 17


def of_splits(
    splits: Mapping[str, tuple[Sequence[reading.Chunk], computing.Task]],
    tell: Callable[[int], None] = lambda rows: None,
    cpus: int | None = None,
) -> dict[str, dict[str, statistics_pb2.DatasetFeatureStatistics]]:
    """Returns, by split, the statistics of all rows under `""` and those of slices, in order of name.

    Args:
        splits: by name, what to read and what to compute of it.
        tell: called with the rows of each chunk that is done.
        cpus: processes to use; None: as many as there are CPUs, or none but this one for little data.

    Raises:
        StepError: data can't be read, there are too many slices, or a process was killed.
    """
    chunks = [(name, chunk) for name, (all_chunks, _) in splits.items() for chunk in all_chunks]
    rows = sum(part.rows for _, chunk in chunks for part in chunk)
    processes = cpus or (machine.cpus() if rows > _FEW_ROWS else 1)
    generators = {name: task.generators() for name, (_, task) in splits.items()}
    merged: dict[str, computing.Partial] = {name: {} for name in splits}

    partials = workers.in_order(lambda of: computing.accumulate(of[1], splits[of[0]][1]), chunks, processes)
    for (name, chunk), partial in zip(chunks, partials, strict=True):
        computing.merge(generators[name], merged[name], partial)
        tell(sum(part.rows for part in chunk))

    datasets = [(name, of) for name, partial in merged.items() for of in sorted(partial)]
    finished = workers.in_order(
        lambda key: computing.finish(generators[key[0]], merged[key[0]][key[1]]), datasets, processes
    )
    result: dict[str, dict[str, statistics_pb2.DatasetFeatureStatistics]] = {name: {} for name in splits}
    for (name, of), dataset in zip(datasets, finished, strict=True):
        result[name][of] = dataset
    return result
