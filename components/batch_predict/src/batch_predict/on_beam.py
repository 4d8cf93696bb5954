"""The same scoring on a Beam runner: files spread over workers, each writes the predictions of a file."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from batch_predict import writing
from batch_predict.planning import Plan, Shard
from batch_predict.scoring import Scorer
from stepkit import uris
from stepkit.outputs import Outputs
from stepkit.workplace import Workplace, explained


def run(plan: Plan, model: Path, folder: Path, workplace: Workplace) -> None:
    """Scores all shards on a runner.

    Args:
        plan: of files that workers read.
        model: folder of the SavedModel; workers elsewhere are sent it.
        folder: gets each shard's target.

    Raises:
        StepError: the runner fails, or a worker met wrong input.
    """
    # Logs every exception of a worker with a traceback, besides passing it on.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    failing = explained("Scoring", "it is done in this process")
    with failing, workplace.folder(folder) as target, beam.Pipeline(options=workplace.options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(plan.shards)
            | "Spread" >> beam.Reshuffle()
            | "Score" >> beam.ParDo(_Score(plan, workplace.sent(model), target))
        )


class _Score(beam.DoFn):
    """Files to files; the model of a process is loaded once."""

    def __init__(self, plan: Plan, model: str, folder: str) -> None:
        self._plan, self._source, self._folder = plan, model, folder
        self._shared = Shared()
        self._scorer: Any = None

    def setup(self) -> None:
        self._scorer = self._shared.acquire(self._load)

    def process(self, element: Shard) -> Iterator[None]:  # pylint: disable=arguments-differ
        """Writes the shard's predictions, whole or not at all; yields nothing."""
        with Outputs() as outputs:
            target = outputs.file(uris.join(self._folder, element.target))
            writing.write(target, self._plan.schema, map(self._scorer.score, self._scorer.read(element)))
        return iter(())

    def _load(self) -> Scorer:
        with uris.local_copy(self._source, "model") as path:
            return Scorer(path, self._plan)
