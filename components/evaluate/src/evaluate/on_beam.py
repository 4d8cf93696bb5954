"""The same scoring on a Beam runner: files spread over workers, what is known of their rows merged."""

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils.shared import Shared

from evaluate import models, scoring
from evaluate.aggregate import Aggregator
from evaluate.scoring import Scores
from stepkit import uris
from stepkit.workplace import Workplace, explained, open_workplace


def score(
    task: scoring.Task, by_name: Mapping[str, models.Model], parts: Sequence[Path], beam_args: Sequence[str]
) -> Scores:
    """Scores `parts` as `scoring.Scorer` does, on the runner that `beam_args` name, else on Beam in this process.

    Workers elsewhere get the files and the models by way of `--temp_location`; so does what they found come back.

    Raises:
        UsageError: the runner is unknown, or workers are elsewhere and there is no `--temp_location`.
        StepError: the runner fails, or a worker met wrong input.
    """
    failing = explained("The evaluation", "it is done in this process", beam_args)
    with failing, open_workplace(beam_args, "evaluate") as workplace:
        return _run(task, by_name, parts, workplace)


def _run(
    task: scoring.Task, by_name: Mapping[str, models.Model], parts: Sequence[Path], workplace: Workplace
) -> Scores:
    files = [workplace.sent(part) for part in parts]
    sources = {name: (workplace.sent(model.path), model.what, model.remedy) for name, model in by_name.items()}
    output = uris.join(workplace.scratch, "scores.pickle")
    with beam.Pipeline(options=workplace.options) as pipeline:
        _ = (
            pipeline
            | "Parts" >> beam.Create(files)
            | "Spread" >> beam.Reshuffle()
            | "Score" >> beam.ParDo(_Score(task, sources))
            | "Merge" >> beam.CombineGlobally(_Merge(task))
            | "Write" >> beam.Map(_write, output)
        )
    with FileSystems.open(output) as stream:
        return pickle.load(stream)


class _Score(beam.DoFn):
    """Files to scores; the models of a process are loaded once."""

    def __init__(self, task: scoring.Task, sources: Mapping[str, tuple[str, str, str]]) -> None:
        self._task = task
        self._sources = sources
        self._shared = Shared()
        self._scorer: Any = None

    def setup(self) -> None:
        by_name = self._shared.acquire(lambda: _Models(self._sources)).by_name
        self._scorer = scoring.Scorer(self._task, Aggregator(self._task.config, self._task.problem), by_name)

    def process(self, element: str) -> Iterator[Scores]:  # pylint: disable=arguments-differ
        with uris.local_copy(element, "file of the split") as path:
            yield self._scorer.score([path])


class _Models:  # pylint: disable=too-few-public-methods  # a dict can't be shared: nothing can refer to it weakly
    def __init__(self, sources: Mapping[str, tuple[str, str, str]]) -> None:
        self.by_name = {}
        for name, (uri, what, remedy) in sources.items():
            with uris.local_copy(uri, what) as path:
                self.by_name[name] = models.load(path, what, remedy)


class _Merge(beam.CombineFn):
    """Scores of files to those of all of them."""

    def __init__(self, task: scoring.Task) -> None:
        self._task = task
        self._aggregator: Any = None

    def setup(self) -> None:  # pylint: disable=arguments-differ
        self._aggregator = Aggregator(self._task.config, self._task.problem)

    def create_accumulator(self) -> Scores:  # pylint: disable=arguments-differ
        return Scores()

    def add_input(self, mutable_accumulator: Scores, element: Scores) -> Scores:  # pylint: disable=arguments-differ
        return self.merge_accumulators([mutable_accumulator, element])

    def merge_accumulators(self, accumulators: Iterable[Scores]) -> Scores:  # pylint: disable=arguments-differ
        return scoring.merge(self._aggregator, accumulators)

    def extract_output(self, accumulator: Scores) -> Scores:  # pylint: disable=arguments-differ
        return accumulator


def _write(scores: Scores, output: str) -> None:
    with FileSystems.create(output) as stream:
        stream.write(pickle.dumps(scores))
