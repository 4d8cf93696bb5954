"""The same scoring on a Beam runner: files spread over workers, what is known of their rows merged."""

import contextlib
import logging
import pickle
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from apache_beam.utils.shared import Shared
from tensorflow_model_analysis.proto import config_pb2

from evaluate import models, scoring
from evaluate.aggregate import Aggregator
from evaluate.scoring import Scores
from stepkit import uris
from stepkit.beam import pipeline_options
from stepkit.errors import StepError, UsageError, near_misses


def score(
    task: scoring.Task, by_name: Mapping[str, models.Model], parts: Sequence[Path], beam_args: Sequence[str]
) -> Scores:
    """Scores `parts` as `scoring.Scorer` does, on the runner that `beam_args` name.

    Workers elsewhere get the files and the models by way of `--temp_location`; so does what they found come back.

    Raises:
        UsageError: the runner is unknown, or workers are elsewhere and there is no `--temp_location`.
        StepError: the runner fails, or a worker met wrong input.
    """
    try:
        options = pipeline_options(beam_args)
        with _shared_folder(options) as folder:
            return _run(task, by_name, parts, options, folder)
    except StepError:
        raise
    except Exception as error:  # pylint: disable=broad-exception-caught  # runners raise whatever they like
        logging.debug("Beam", exc_info=True)
        # Workers' errors come as text.
        known = re.search(r"\bStepError: (.+?)(?: \[while running .*)?$", str(error), re.MULTILINE)
        if known:
            raise StepError(known[1]) from error
        reason = str(error).strip().splitlines() or [""]
        raise StepError(
            f"The evaluation failed on Beam with --beam-args {list(beam_args)}: {type(error).__name__}: {reason[-1]}. "
            "Check the options and the runner's own log; without a --runner it is done in this process."
        ) from error


def _run(
    task: scoring.Task,
    by_name: Mapping[str, models.Model],
    parts: Sequence[Path],
    options: PipelineOptions,
    folder: str | None,
) -> Scores:
    files = [_reachable(part, folder) for part in parts]
    sources = {name: (_reachable(model.path, folder), model.what, model.remedy) for name, model in by_name.items()}
    with tempfile.TemporaryDirectory(prefix="evaluate-") as here:
        output = uris.join(folder or here, "scores.pickle")
        with beam.Pipeline(options=options) as pipeline:
            _ = (
                pipeline
                | "Parts" >> beam.Create(files)
                | "Spread" >> beam.Reshuffle()
                | "Score" >> beam.ParDo(_Score(task, sources))
                | "Merge" >> beam.CombineGlobally(_Merge(task.config))
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
        self._scorer = scoring.Scorer(self._task, Aggregator(self._task.config), by_name)

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

    def __init__(self, config: config_pb2.EvalConfig) -> None:
        self._config = config
        self._aggregator: Any = None

    def setup(self) -> None:  # pylint: disable=arguments-differ
        self._aggregator = Aggregator(self._config)

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


@contextlib.contextmanager
def _shared_folder(options: PipelineOptions) -> Iterator[str | None]:
    """Gives the URI of a folder that workers on other machines reach, for as long; None if workers are on this one."""
    runner = options.view_as(StandardOptions).runner
    spellings = {runner.lower(), f"{runner.lower()}runner"}
    if "." not in runner and not spellings & {name.lower() for name in StandardOptions.KNOWN_RUNNER_NAMES}:
        raise UsageError(
            f"--beam-args: Beam has no runner {runner!r}. {near_misses(runner, StandardOptions.KNOWN_RUNNER_NAMES)}"
        )
    here = bool(spellings & {name.lower() for name in StandardOptions.LOCAL_RUNNERS})
    if here or options.view_as(PortableOptions).environment_type == "LOOPBACK":
        yield None
        return
    base = options.view_as(GoogleCloudOptions).temp_location
    if not base:
        raise UsageError(
            f"--beam-args: {runner} has workers elsewhere; add --temp_location=URI, a folder that all reach"
        )
    folder = uris.join(base, f"evaluate-{uuid.uuid4().hex}")
    fs, path = uris.filesystem(folder)
    fs.makedirs(path, exist_ok=True)
    try:
        yield folder
    finally:
        fs.rm(path, recursive=True)


def _reachable(path: Path, folder: str | None) -> str:
    """Returns where workers find a local file or folder, after copying it there if need be."""
    if folder is None:
        return str(path.absolute())
    uri = uris.join(folder, uuid.uuid4().hex, path.name)
    fs, target = uris.filesystem(uri)
    fs.makedirs(target.rpartition("/")[0], exist_ok=True)
    fs.put(str(path), target, recursive=path.is_dir())
    return uri
