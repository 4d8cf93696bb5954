"""What a run tells about itself: metrics, TensorBoard logs and the report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from markupsafe import Markup

from stepkit import report
from trainkit.course import Course, Log

_VALIDATION = "val_"


@dataclass(frozen=True)
class Words:
    """What the report calls the steps of a training, and what is exported of it."""

    step: str
    steps: str
    exported: str


EPOCHS = Words("epoch", "epochs", "weights")


def metrics(state: Course) -> dict[str, Any]:
    """Returns the `metrics` artifact.

    `best` are the values after the epoch whose weights were exported, `last` those after the last; `history` has one
    value an epoch and metric. Epochs count from 1. A value that isn't finite is null.
    """
    names = list(state.history[0])
    return {
        "epochs": len(state.history),
        "best_epoch": state.best_epoch + 1,
        "stopped_early": state.stopped,
        "best": _finite(state.history[state.best_epoch]),
        "last": _finite(state.history[-1]),
        "history": {name: [_finite(log)[name] for log in state.history] for name in names},
    }


def shown_metrics(state: Course) -> dict[str, float]:
    """Returns the numbers that KFP shows for the Metrics artifact: those of the exported weights."""
    best = {name: value for name, value in _finite(state.history[state.best_epoch]).items() if value is not None}
    return {**best, "epochs": len(state.history), "best_epoch": state.best_epoch + 1}


# TensorFlow puts the time, the machine and the process into the name. Of a step that is tried again in Kubeflow
# Pipelines, the files of both attempts would then stay in the artifact, and TensorBoard show both.
_EVENTS = "events.out.tfevents.1.v2"
_VERSION = "brain.Event:2"
_SCALARS = "scalars"  # TensorBoard's plugin


def write_tensorboard(folder: Path, state: Course) -> None:
    """Writes event files, always of the same names: the runs `train` and `validation`, a scalar a metric and epoch.

    TensorFlow's writer would record when it wrote each scalar. Here an epoch's time is its number in seconds, so that
    equal runs give equal files; TensorBoard's axes of time then count epochs, as that of steps does.
    """
    for run, wanted in (("train", False), ("validation", True)):
        (folder / run).mkdir()
        with tf.io.TFRecordWriter(str(folder / run / _EVENTS)) as writer:
            writer.write(tf.compat.v1.Event(file_version=_VERSION).SerializeToString(deterministic=True))
            for epoch, log in enumerate(state.history, 1):
                for name, value in log.items():
                    if name.startswith(_VALIDATION) == wanted:
                        event = _scalar(f"epoch_{name.removeprefix(_VALIDATION)}", value, epoch)
                        writer.write(event.SerializeToString(deterministic=True))


def _scalar(tag: str, value: float, epoch: int) -> tf.compat.v1.Event:
    """Returns what `tf.summary.scalar` writes."""
    event = tf.compat.v1.Event(step=epoch, wall_time=epoch)
    summary = event.summary.value.add(tag=tag, tensor=tf.make_tensor_proto(value, tf.float32))
    summary.metadata.plugin_data.plugin_name = _SCALARS
    summary.metadata.data_class = 1  # summary.proto's DATA_CLASS_SCALAR
    return event


def render(
    state: Course,
    hyperparameters: Mapping[str, Any],
    facts: Mapping[str, Any],
    trials: Sequence[Any],
    words: Words = EPOCHS,
) -> str:
    """Returns the report as HTML.

    Args:
        facts: what else to say about the run, by label.
        trials: `trainkit.tuning.Trial`s, best first.
    """
    sections = [
        report.Section("Result", report.table(["", ""], _summary(state, facts, words))),
        report.Section("Learning curves", _curves(state.history, words)),
        report.Section("Metrics", report.table(["Metric", "Training", "Validation"], _rows(state))),
        report.Section(
            "Hyperparameters",
            report.table(["Name", "Value"], [[name, _text(v)] for name, v in hyperparameters.items()]),
        ),
    ]
    if trials:
        headers = ["Trial", "Validation loss", words.steps.capitalize(), "Hyperparameters", "Outcome"]
        rows = [
            [
                trial.name,
                trial.val_loss,
                trial.epochs,
                ", ".join(f"{k} {_text(v)}" for k, v in trial.values.items()),
                trial.outcome,
            ]
            for trial in trials
        ]
        sections.append(report.Section("Tuning", report.table(headers, rows)))
    return report.page("Training", sections)


def _summary(state: Course, facts: Mapping[str, Any], words: Words) -> list[list[Any]]:
    ended = "the validation loss had stopped improving" if state.stopped else f"all {words.steps} were done"
    best = f"those after {words.step} {state.best_epoch + 1}"
    own = {
        words.steps.capitalize(): f"{len(state.history)}: {ended}",
        f"Exported {words.exported}": f"{best}, with the lowest validation loss",
    }
    return [[label, value] for label, value in {**own, **facts}.items()]


def _curves(history: Sequence[Log], words: Words) -> Any:
    charts = [Markup('<div class="charts">')]
    epochs = [float(epoch + 1) for epoch in range(len(history))]
    for name in history[0]:
        if name.startswith(_VALIDATION):
            continue
        series = {"training": (epochs, [log[name] for log in history])}
        if _VALIDATION + name in history[0]:
            series["validation"] = (epochs, [log[_VALIDATION + name] for log in history])
        charts.append(report.lines(series, words.step, name))
    return Markup("").join([*charts, Markup("</div>")])


def _rows(state: Course) -> list[list[Any]]:
    best = state.history[state.best_epoch]
    names = [name for name in best if not name.startswith(_VALIDATION)]
    return [[name, best[name], best.get(_VALIDATION + name)] for name in names]


def _finite(log: Log) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in log.items()}


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
