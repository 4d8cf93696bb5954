"""What a run's record says about its data, its model and its deployment.

Nothing here knows a pipeline: it goes by well-known names of output parameters and by what artifacts mean.
"""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeyard.runs import artifacts, formats, graph, record, run_lock
from pipeyard.runs.record import Artifact, Run, State, Task

# KFP shows flat names alone, so that groups of metrics are prefixes there: `val_` is Keras's.
_GROUPS = {"baseline_": "baseline", "val_": "validation"}


class Tone(StrEnum):
    """How something reads at a glance."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    QUIET = "quiet"


@dataclass(frozen=True)
class Verdict:
    """How a run ended, in a few words and in a sentence."""

    tone: Tone
    text: str
    detail: str = ""


@dataclass(frozen=True)
class OutputParameter:
    """An output parameter of a task."""

    task: Task
    value: Any


@dataclass(frozen=True)
class MetricsTable:
    """Metrics of one artifact: a row per metric, a column per group of them (the ungrouped ones' is '').

    Attributes:
        rows: metric to values by column; a column that a metric isn't in is absent.
        problem: why there are no rows.
    """

    task: Task
    name: str
    artifact: Artifact
    columns: list[str]
    rows: dict[str, dict[str, Any]]
    problem: str = ""


@dataclass(frozen=True)
class KeyMetric:
    """A metric for the top of the page; `baseline` is that of the model compared with."""

    name: str
    value: float
    baseline: float | None = None


def find(run: Run, parameter: str) -> list[OutputParameter]:
    """Returns the output parameters of that name, in the order of tasks."""
    return [
        OutputParameter(task, task.output_parameters[parameter])
        for task in run.tasks
        if parameter in task.output_parameters
    ]


def truth(value: Any) -> bool:
    """Reads a Boolean parameter, which backends may hand on as text."""
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)


def integer(value: Any) -> int:
    """Reads an Integer parameter (`3`, `3.0`, `"3"`); 0 if it is none."""
    try:
        return int(float(value))
    except (TypeError, ValueError):
        return 0


def load(folder: Path) -> Run:
    """Reads a run's record; its tasks are in the order of the graph, and where that leaves it open in that of time.

    One whose runner was killed is interrupted, as are the tasks that it was at.

    Raises:
        PipeyardError: there is no readable record.
    """
    run = record.load(folder)
    if not run.state.ended and run_lock.was_left(folder):
        run = record.load(folder)  # it may have ended meanwhile
        if not run.state.ended:
            _interrupt(run, run_lock.runner_of(folder))
    depths = graph.depths(run.tasks)
    last = max((task.started_at.timestamp() for task in run.tasks if task.started_at), default=0.0)
    run.tasks.sort(key=lambda task: (depths[task.path], task.started_at.timestamp() if task.started_at else last + 1.0))
    return run


def _interrupt(run: Run, pid: int | None) -> None:
    who = f"Its runner, process {pid}," if pid else "Its runner"
    run.state = State.INTERRUPTED
    run.error = f"{who} is gone. Go on with it: pipeyard run {run.pipeline} --resume {run.id}"
    for task in run.tasks:
        if task.state == State.RUNNING:
            task.state, task.reason = State.INTERRUPTED, "its runner was killed"


def labels(run: Run) -> dict[str, str]:
    """Returns what to call each task, by path: its name, or where several share that, its path."""
    names = Counter(task.name for task in run.tasks)
    return {task.path: task.name if names[task.name] == 1 else task.path for task in run.tasks}


def brief(reason: str, most: int = 400) -> str:
    """Returns one line of a reason of several, e.g. of an exit code and a log's tail: the first and the last."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    text = " ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))
    return text if len(text) <= most else f"{text[:most]}\N{HORIZONTAL ELLIPSIS}"


def why_no_result(run: Run, task: Task) -> str:
    """Returns in one line why a task has no outputs; empty if it has."""
    reason = brief(task.reason or (task.attempts[-1].error if task.attempts else ""))
    match task.state:
        case State.SKIPPED:
            cause = _skipping_cause(run, reason)
            return f"Skipped: {cause or reason or (f'not so: {task.condition}' if task.condition else 'not needed')}"
        case State.FAILED:
            return f"Failed: {reason or 'see its log'}"
        case State.CANCELED:
            return f"Canceled{f': {reason}' if reason else ''}"
        case State.INTERRUPTED:
            return f"Interrupted: {reason}"
        case State.RUNNING:
            return "Still running"
        case State.PENDING:
            return "Not started"
    return ""


def _skipping_cause(run: Run, reason: str) -> str:
    """Says in the pipeline's terms what a false condition on a well-known parameter means."""
    if ".valid " in reason and (problem := data_problem(run)):
        return f"the data is not valid ({problem})"
    if ".blessed " in reason and (problem := model_problem(run)):
        return f"the model is not blessed ({problem})"
    return ""


def data_problem(run: Run) -> str:
    """Returns what is wrong with the data, e.g. `2 anomalies, drift`; empty if it's valid or wasn't looked at."""
    if all(truth(finding.value) for finding in find(run, "valid")):
        return ""
    count = sum(integer(finding.value) for finding in find(run, "anomaly_count"))
    parts = [formats.counted(count, "anomaly", "anomalies")] if count else []
    if any(truth(finding.value) for finding in find(run, "drift_detected")):
        parts.append("drift")
    return ", ".join(parts) or "it didn't pass validation"


def anomalies(run: Run) -> tuple[list[str], int]:
    """Returns what is wrong with the data, a line each, as far as steps told it, and how many anomalies there are."""
    lines = [
        str(line)
        for task in run.tasks
        for artifact in task.output_artifacts.values()
        if artifact.meaning == "ExampleAnomalies"
        for line in artifact.metadata.get("anomalies") or []
    ]
    return lines, sum(integer(finding.value) for finding in find(run, "anomaly_count"))


def model_problem(run: Run) -> str:
    """Returns why a model isn't blessed; empty if all are, or none was evaluated."""
    for finding in find(run, "blessed"):
        if not truth(finding.value):
            return str(finding.task.output_parameters.get("reason") or "no reason given")
    return ""


def pushed(run: Run) -> list[OutputParameter]:
    """Returns the versions that tasks pushed, or had pushed before if they were cached."""
    return [finding for finding in find(run, "version") if finding.task.output_parameters.get("pushed_uri")]


def why_not_deployed(run: Run) -> str:
    """Returns the reason for which nothing was deployed; empty if something was, or the pipeline doesn't deploy."""
    if pushed(run):
        return ""
    if problem := data_problem(run):
        return f"the data is not valid ({problem})"
    if problem := model_problem(run):
        return f"the model is not blessed ({problem})"
    for task in run.tasks:
        if task.component == "deploy" and not task.state.has_outputs:
            return _lower_first(why_no_result(run, task))
    if any(finding.value == "not deployed" for finding in find(run, "outcome")):
        return "no version was pushed"
    return ""


def verdict(run: Run) -> Verdict:
    """Returns how the run ended, and for what reason."""
    versions = ", ".join(f"version {integer(finding.value)}" for finding in pushed(run))
    if run.state in (State.PENDING, State.RUNNING, State.INTERRUPTED):
        ended = sum(task.state.ended and task.state is not State.INTERRUPTED for task in run.tasks)
        done = f"{ended} of {formats.counted(len(run.tasks), 'step')} ended"
        if run.state is State.INTERRUPTED:
            return Verdict(Tone.WARN, "Interrupted", f"{done}. {run.error}")
        return Verdict(Tone.QUIET, "Running", done)
    if run.state in (State.FAILED, State.CANCELED):
        word = "Failed" if run.state is State.FAILED else "Canceled"
        culprits = [task for task in run.tasks if task.state is run.state]
        reason = "; ".join(dict.fromkeys(brief(task.reason) for task in culprits if task.reason)) or brief(run.error)
        where = f" at {', '.join(labels(run)[task.path] for task in culprits)}" if word == "Failed" and culprits else ""
        before = f"{versions[0].upper()}{versions[1:]} had been deployed." if versions else "Nothing was deployed."
        tone = Tone.BAD if word == "Failed" else Tone.WARN
        return Verdict(tone, f"{word}{where}", f"{_sentence(reason)} {before}".strip())
    if versions:
        places = ", ".join(str(finding.task.output_parameters["pushed_uri"]) for finding in pushed(run))
        earlier = ", ".join(dict.fromkeys(each.task.cached_from for each in pushed(run) if each.task.cached_from))
        since = f" (by run {earlier}; nothing has changed since)" if earlier else ""
        return Verdict(Tone.GOOD, f"Deployed {versions}", f"{places}{since}")
    if reason := why_not_deployed(run):
        return Verdict(Tone.WARN, "Not deployed", reason)
    return Verdict(Tone.GOOD, "Finished", "")


def metrics(run: Run, folder: Path) -> list[MetricsTable]:
    """Returns what the Metrics artifacts of a run hold, in the order of tasks."""
    return [
        metrics_table(task, name, artifact, folder)
        for task in run.tasks
        for name, artifact in task.output_artifacts.items()
        if artifact.type == "system.Metrics"
    ]


def metrics_table(task: Task, name: str, artifact: Artifact, folder: Path) -> MetricsTable:
    """Arranges one Metrics artifact: its metadata, else what its file holds."""
    found, problem = artifacts.values(artifact, folder)
    rows: dict[str, dict[str, Any]] = {}
    for key, value in found.items():
        if isinstance(value, dict):
            for metric, inner in _leaves(value).items():
                rows.setdefault(metric, {})[key] = inner
        else:
            column, metric = _column(key, found)
            rows.setdefault(metric, {})[column] = value
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    return MetricsTable(task, name, artifact, columns, rows, problem or ("" if rows else "It holds no metrics."))


def key_metrics(tables: list[MetricsTable], most: int = 8) -> list[KeyMetric]:
    """Returns the numbers of the last Metrics artifact that holds any: the evaluation's, where there is one."""
    for table in reversed(tables):
        baseline = next((column for column in table.columns if "baseline" in column.lower()), None)
        main = next((column for column in table.columns if column != baseline), None)
        found = [
            KeyMetric(name, row[main], row[baseline] if baseline is not None and is_number(row.get(baseline)) else None)
            for name, row in table.rows.items()
            if main is not None and is_number(row.get(main))
        ]
        if found:
            return found[:most]
    return []


def is_number(value: Any) -> bool:
    """True for integers and floats, not for Booleans."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _column(key: str, among: Container[str]) -> tuple[str, str]:
    """Returns the group and the metric of a name like `baseline_AUC`, if there is an `AUC` that it belongs to."""
    for prefix, column in _GROUPS.items():
        if key.startswith(prefix) and key.removeprefix(prefix) in among:
            return column, key.removeprefix(prefix)
    return "", key


def _leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flattens nested objects: {"a": {"b": 1}} to {"a.b": 1}."""
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    return found


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _sentence(text: str) -> str:
    return text if not text or text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."
