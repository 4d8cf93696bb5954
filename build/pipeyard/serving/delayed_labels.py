"""Labels that come later, joined with sampled answers by request id: a metric of each version, and their comparison.

Labels are kept beside the samples, so that they may come in several files; of two of a request the later one counts.
What is compared is written to `comparisons.json`, where the supervisor's next look finds it.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.serving import sample_tables
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from pipeyard.system import files
from rollout import labels, log
from rollout.decision import alpha_of_check
from rollout.labels import Answer, Comparison, Scored
from rollout.policy import SHADOW

ACCURACY, ERROR, VALUE = "accuracy", "negative_error", "value"
METRICS = (ACCURACY, ERROR, VALUE)
# What a quality trigger reads, in a model's monitoring folder.
METRICS_FILE = "metrics.json"
_COMPARISONS = "comparisons.json"
_READERS = {
    ".parquet": "read_parquet(?)",
    ".csv": "read_csv(?, all_varchar = true)",
    ".jsonl": "read_json(?, format = 'newline_delimited')",
    ".ndjson": "read_json(?, format = 'newline_delimited')",
}
_REQUIRED, _OPTIONAL = ("request_id", "label"), ("row", "key")
_TRUTHS = {"true": 1.0, "false": 0.0}
# The latest label of a row of a request, with each version's answer to it.
_JOINED = """
WITH latest AS (
    SELECT request_id, row, max_by(label, taken) AS label, max_by(key, taken) AS key FROM labels GROUP BY ALL)
SELECT DISTINCT latest.request_id || '#' || row, _version, {prediction}, label, coalesce(key, latest.request_id)
FROM latest JOIN samples ON latest.request_id = _request_id AND row = _row WHERE _version IN ({versions}){since}
"""


@dataclass(frozen=True)
class Labelled:
    """What the labels that have come say.

    Attributes:
        taken: labels of the file.
        metric: one of METRICS.
        means: version to how many answers have a label, and the metric's mean.
        comparisons: of the rollout, one a look; empty before there are enough labels, or without a rollout.
        needed: labels of the version with fewer that the next look needs.
    """

    taken: int
    metric: str
    means: Mapping[int, tuple[int, float]]
    comparisons: tuple[Comparison, ...] = ()
    needed: int = labels.FIRST_LOOK


@dataclass(frozen=True)
class KeptComparisons:
    """What `comparisons.json` holds: of the candidate that was staged then."""

    candidate: int
    staged_at: float
    metric: str
    means: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()


def take(folder: ServingFolder, version: ServedVersion, file: Path, metric: str = "") -> Labelled:
    """Keeps the labels of a file, joins all there are, and compares the versions of the last rollout.

    Args:
        version: the stable one, whose metric quality triggers read.
        file: Parquet, CSV or JSON Lines with `request_id` and `label`; `row` of requests with several rows, and `key`
            of what stays with one version, a user, say, if there are such.
        metric: one of METRICS; empty: by what the model answers.

    Raises:
        PipeyardError: the file can't be read, nothing was sampled, or a label doesn't fit the metric.
    """
    taken = _keep(folder.labels(version.model), file)
    begin = last_begin(folder, version.model)
    numbers = {version.number} | ({begin.stable, begin.candidate} if begin else set())
    metric, scored = _scored(folder, version.model, numbers, metric, begin)
    means = {number: _mean([each for each in scored if each.version == number]) for number in sorted(numbers)}
    _tell_triggers(folder, version, metric, means[version.number])
    if begin is None:
        return Labelled(taken, metric, means)
    kept = read(folder, begin)
    earlier = kept.comparisons if kept and kept.metric == metric else ()
    found = _compare(scored, begin, earlier)
    whole = KeptComparisons(
        begin.candidate, begin.staged_at, metric, {str(number): mean for number, mean in means.items()}, found
    )
    files.write_whole(folder.labels(version.model) / _COMPARISONS, json.dumps(asdict(whole), indent=2))
    looked = found[-1].look if found else 0
    return Labelled(taken, metric, means, found, labels.FIRST_LOOK * 2**looked)


def read(folder: ServingFolder, begin: log.Begin) -> KeptComparisons | None:
    """Returns what was compared of a rollout; None if nothing was."""
    try:
        content = json.loads((folder.labels(begin.model) / _COMPARISONS).read_text(encoding="utf-8"))
        found = KeptComparisons(
            **{**content, "comparisons": tuple(Comparison(**each) for each in content["comparisons"])}
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if (found.candidate, found.staged_at) == (begin.candidate, begin.staged_at) else None


def last_begin(folder: ServingFolder, model: str) -> log.Begin | None:
    """Returns the last rollout of a model that was logged."""
    with contextlib.suppress(OSError, ValueError), folder.looks(model).open(encoding="utf-8") as lines:
        found = log.read(lines, str(folder.looks(model)))
        return found[-1].begin if found else None
    return None


def _keep(folder: Path, file: Path) -> int:
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise PipeyardError(f"{file} is none of {', '.join(_READERS)}. Write the labels in one of these formats.")
    if not file.is_file():
        raise PipeyardError(f"There is no file {file}. Check the path.")
    folder.mkdir(parents=True, exist_ok=True)
    with sample_tables.database(f"What is in {file}") as database:
        columns = [each[0] for each in database.execute(f"SELECT * FROM {reader}", [str(file)]).description]
        for name in _REQUIRED:
            if name not in columns:
                raise PipeyardError(f"{file} has no column {name!r}. {near_misses(name, columns)}")
        row, key = (
            name if name in columns else default for name, default in zip(_OPTIONAL, ("0", "NULL"), strict=True)
        )
        now = time.time_ns()
        select = (
            f"SELECT request_id::VARCHAR AS request_id, label::VARCHAR AS label, {row}::INT AS row, "
            f"{key}::VARCHAR AS key, {now} AS taken FROM {reader} "
            "WHERE label IS NOT NULL AND request_id IS NOT NULL"
        )
        with files.aside_file(folder / f"{now}.parquet") as aside:
            copied = database.execute(f"COPY ({select}) TO {sample_tables.text(aside)} (FORMAT parquet)", [str(file)])
            count = int(copied.fetchall()[0][0])
            aside.replace(folder / f"{now}.parquet")
            return count


def _scored(
    folder: ServingFolder, model: str, versions: set[int], metric: str, begin: log.Begin | None
) -> tuple[str, list[Scored]]:
    samples = folder.samples(model)
    if not any(samples.glob("*.parquet")):
        raise PipeyardError(
            f"No answer of {model} was kept at {samples}, so there is nothing to join labels with. Start serving with "
            "`pipeyard serve start --sample 1`."
        )
    with sample_tables.database(f"What is in {samples}") as database:
        database.execute(f"CREATE VIEW samples AS {sample_tables.parquet(samples / '*.parquet')}")
        database.execute(f"CREATE VIEW labels AS {sample_tables.parquet(folder.labels(model) / '*.parquet')}")
        columns = [each[0] for each in database.execute("SELECT * FROM samples LIMIT 0").description]
        metric = metric or (ACCURACY if "_class" in columns else ERROR)
        # A candidate is compared with what the stable version answered meanwhile.
        since = f" AND epoch(_time) >= {begin.staged_at!r}" if begin else ""
        wanted = ", ".join(map(str, sorted(versions)))
        query = _JOINED.format(prediction=_prediction(metric, columns), versions=wanted, since=since)
        rows = database.execute(query).fetchall()
    answers = [Answer(request, version, predicted, key) for request, version, predicted, _, key in rows]
    known = {request: label for request, _, _, label, _ in rows}
    return metric, labels.join(answers, known, lambda label, predicted: worth(metric, label, predicted))


def worth(metric: str, label: str, prediction: Any) -> float:
    """Returns what an answer is worth: higher is better.

    Raises:
        PipeyardError: the label isn't of this metric.
    """
    number = _number(label)
    if metric == ACCURACY:
        predicted = _number(str(prediction))
        same = number == predicted if None not in (number, predicted) else label == str(prediction)
        return float(same)
    if number is None:
        raise PipeyardError(f"The label {label!r} is no number, which the metric {metric} needs. Choose by --metric.")
    return number if metric == VALUE else -abs(number - float(prediction))


def _prediction(metric: str, columns: list[str]) -> str:
    scores = [name for name in columns if name.startswith("_score_")]
    if metric == ACCURACY:
        if "_class" not in columns:
            raise PipeyardError(f"The model answers no class, so it has no {ACCURACY}. Choose another --metric.")
        return "_class"
    if metric == ERROR:
        if len(scores) != 1:
            raise PipeyardError(
                f"The model answers {len(scores)} numbers, so it has no {ERROR}. Choose another --metric."
            )
        return sample_tables.column(scores[0])
    return "NULL"


def _number(text: str) -> float | None:
    try:
        return _TRUTHS[text.lower()] if text.lower() in _TRUTHS else float(text)
    except ValueError:
        return None


def _mean(scored: list[Scored]) -> tuple[int, float]:
    return len(scored), sum(each.value for each in scored) / len(scored) if scored else 0.0


def _compare(scored: list[Scored], begin: log.Begin, earlier: tuple[Comparison, ...]) -> tuple[Comparison, ...]:
    """Returns the comparisons so far, with one more if there are enough labels for the next look."""
    paired = begin.strategy == SHADOW
    ids = [{each.request_id for each in scored if each.version == number} for number in (begin.stable, begin.candidate)]
    fewest = len(ids[0] & ids[1]) if paired else min(map(len, ids))
    look = labels.looks(fewest)
    if look <= (earlier[-1].look if earlier else 0):
        return earlier
    alpha = labels.alpha_of(look, alpha_of_check(begin.policy))
    found = labels.compare(scored, begin.stable, begin.candidate, alpha=alpha, look=look, paired=paired)
    return (*earlier, found) if found else earlier


def _tell_triggers(folder: ServingFolder, version: ServedVersion, metric: str, mean: tuple[int, float]) -> None:
    count, value = mean
    if count:
        out = folder.monitoring(version.model)
        out.mkdir(parents=True, exist_ok=True)
        content = {metric: value, "labels": count, "version": version.number}
        files.write_whole(out / METRICS_FILE, json.dumps(content, indent=2))
