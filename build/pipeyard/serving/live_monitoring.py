"""What is served, compared with what the model was trained on: by extract and data_validation, over sampled requests.

What it leaves in the monitoring folder of a model triggers read: `statistics/stats.tfrecord` for `drift`.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.repository import component_programs
from pipeyard.repository.project import Project
from pipeyard.serving import sample_tables, wanted_models
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from pipeyard.settings import durations
from rollout import desired
from rollout.errors import RolloutError
from stepkit import served

# What the model server adds to raw columns.
_ADDED = re.compile(r"_(time|request_id|row|model|version|class|score_.*)", re.DOTALL)
# Statistics are compared by the splits' names, and what a model was trained on is called so.
_SPLIT = "train"
_PURPOSE = "live data are compared"


@dataclass(frozen=True)
class MonitoringOptions:
    """How live data are compared.

    Attributes:
        seconds: of the past whose requests are taken; 0: all that are kept.
        schema: URI of the schema; empty: inferred of the live data.
        environment: of the schema, in which it says what requests have; empty: none.
        threshold: distance past which a feature is an anomaly, where the schema has none.
    """

    seconds: float = 0.0
    schema: str = ""
    environment: str = ""
    threshold: float = 0.0


@dataclass(frozen=True)
class LiveComparison:
    """What came of it.

    Attributes:
        lines: what data_validation says: rows, anomalies.
        valid: there are no anomalies.
        folder: with `report.html`, `statistics/` and `anomalies/`.
    """

    version: ServedVersion
    lines: tuple[str, ...]
    valid: bool
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        return {
            "model": self.version.model,
            "version": self.version.number,
            "valid": self.valid,
            "lines": list(self.lines),
            "folder": str(self.folder),
        }


def compare(
    project: Project,
    folder: ServingFolder,
    version: ServedVersion,
    options: MonitoringOptions,
    say: Callable[[str], None],
    now: float | None = None,
) -> LiveComparison:
    """Compares a version's sampled requests with what it was trained on (skew), and with those before (drift).

    Args:
        now: epoch seconds.

    Raises:
        PipeyardError: there are no samples, no statistics beside the version, or a component fails.
    """
    samples = folder.samples(version.model)
    files = f"{version.model}-v{version.number}-*.parquet"
    if not any(samples.glob(files)):
        raise PipeyardError(
            f"No request of version {version.number} of {version.model} was kept at {samples}. Start serving with "
            "`pipeyard serve start --sample 0.1`, or ask for another --version. Files appear within half a minute of "
            "a request."
        )
    training = folder.version(version) / served.STATISTICS
    if not training.is_file():
        raise PipeyardError(
            f"{training} isn't there: nothing tells what version {version.number} of {version.model} was trained on. "
            "Push it by a run whose deploy step gets data_validation's statistics."
        )
    out = folder.monitoring(version.model)
    out.mkdir(parents=True, exist_ok=True)
    query = f"SELECT {', '.join(map(sample_tables.column, _raw_columns(samples / files, say)))} FROM source"
    if options.seconds:
        query += f" WHERE epoch(_time) >= {(time.time() if now is None else now) - options.seconds:.0f}"
    say("reading sampled requests")
    extract = [
        *("--source", str(samples / files), "--query", query, "--splits", f'{{"{_SPLIT}": 1}}'),
        *("--examples", str(out / "examples"), "--manifest", str(out / "manifest"), "--row-count", str(out / "rows")),
    ]
    component_programs.run(project, "extract", ["-m", "extract", *extract], _PURPOSE, say)
    say("comparing them")
    validation = _validation(out, training, options)
    told = component_programs.run(project, "data_validation", ["-m", "data_validation", *validation], _PURPOSE, say)
    lines = tuple(line for line in told.splitlines() if line.strip())
    return LiveComparison(version, lines, (out / "valid").read_text(encoding="utf-8").strip().lower() == "true", out)


def _validation(out: Path, training: Path, options: MonitoringOptions) -> list[str]:
    """Returns the arguments of data_validation; what it last computed is what the new data may have drifted from."""
    statistics = out / "statistics"
    return [
        *("--examples", str(out / "examples"), "--serving-statistics-uri", str(training)),
        *("--baseline-statistics-uri", str(statistics), "--skew-threshold", f"{options.threshold:g}"),
        *("--drift-threshold", f"{options.threshold:g}"),
        *(("--schema-uri", options.schema) if options.schema else ()),
        *(("--environments", f'{{"{_SPLIT}": "{options.environment}"}}') if options.environment else ()),
        *("--statistics", str(statistics), "--schema", str(out / "schema.pbtxt")),
        *("--anomalies", str(out / "anomalies"), "--report", str(out / "report.html"), "--valid", str(out / "valid")),
        *("--anomaly-count", str(out / "anomaly_count"), "--drift-detected", str(out / "drift_detected")),
    ]


def _raw_columns(files: Path, say: Callable[[str], None]) -> list[str]:
    """Returns the columns that have statistics: raw ones of single values, as extract's examples have them."""
    with sample_tables.database(f"What is at {files}") as database:
        select = sample_tables.parquet(files)
        kinds = {name: kind for name, kind, *_ in database.execute(f"DESCRIBE {select}").fetchall()}
    raw = [name for name in kinds if not _ADDED.fullmatch(name)]
    lists = [name for name in raw if kinds[name].endswith("[]")]
    if lists:
        say(f"left out, as they have several values: {', '.join(lists)}")
    if len(lists) == len(raw):
        raise PipeyardError(f"The samples at {files} have no column of single values, so there is nothing to compare.")
    return [name for name in raw if name not in lists]


def read_options(last: str, schema: str, schema_environment: str, threshold: float) -> MonitoringOptions:
    """Returns the options of a command line.

    Args:
        last: a length of time, e.g. 1d; empty: all.

    Raises:
        PipeyardError: it is none.
    """
    return MonitoringOptions(durations.of_option("--last", last), schema, schema_environment, threshold)


def version_of(folder: ServingFolder, model: str, asked: int | None = None) -> ServedVersion:
    """Returns the version that is meant: the one asked for, else the stable one.

    Raises:
        PipeyardError: the model or the version isn't there.
    """
    models = folder.models()
    if model not in models:
        raise PipeyardError(f"No model {model!r} is in {folder.path}. {near_misses(model, models)}")
    try:
        wanted = desired.read(folder.model(model)) or wanted_models.highest(folder, model)
    except RolloutError as error:
        raise PipeyardError(str(error)) from error
    number = wanted.stable if asked is None else asked
    there = folder.versions(model)
    if number not in there:
        raise PipeyardError(f"{model} has no version {number}. There are: {', '.join(map(str, there))}.")
    return ServedVersion(model, number)
