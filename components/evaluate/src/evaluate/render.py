"""The report page."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from evaluate import slicing
from evaluate.config import BASELINE
from evaluate.curves import DECISION, Curves
from evaluate.drawing import DOTS
from evaluate.problem import Problem
from evaluate.results import CANDIDATE, CHANGE, Interval, SliceMetrics
from evaluate.slicing import OVERALL
from evaluate.thresholds import Threshold
from evaluate.validate import Check, Verdict
from stepkit import report, tasks

_BOUNDS = {"lower": "at least", "upper": "at most", "min_change": "change at least", "max_change": "change at most"}
# Slices and failures beyond these are only in TFMA's files.
_SHOWN = 200
# A wider confusion matrix isn't read.
_CLASSES = 25


def render(
    verdict: Verdict,
    metrics: Sequence[SliceMetrics],
    curves: Mapping[str, Curves],
    thresholds: Sequence[Threshold],
    about: Mapping[str, str],
    baseline: str | None,
    problem: Problem,
    more: Sequence[report.Section] = (),
) -> str:
    """Returns the page: verdict and thresholds first, then metrics, slices and curves.

    Args:
        metrics: overall first.
        curves: model to its curves.
        thresholds: as they were set, whether applied or not.
        about: facts on what was evaluated, for the top of the page.
        baseline: what the model was compared with.
        more: sections that come after the slices.
    """
    sections = [
        report.Section("Verdict", _verdict(verdict, about)),
        report.Section("Thresholds", _thresholds(verdict.checks, thresholds, baseline)),
        report.Section("Metrics", _metrics(metrics[0], baseline)),
    ]
    if len(metrics) > 1:
        sections.append(report.Section("Slices", _slices(metrics, verdict.checks, problem)))
    sections += more
    if problem.task == tasks.REGRESSION:
        sections.append(report.Section("Errors", _charts(_errors(curves))))
    else:
        sections.append(report.Section("Curves", _charts(_curves(curves))))
    if curves["candidate"].confusion:
        sections.append(report.Section("Confusion matrix", _confusion(curves["candidate"], problem)))
    return report.page("Model evaluation", sections)


def _charts(figures: Markup) -> Markup:
    return Markup('<div class="charts">{}</div>').format(figures)


def _verdict(verdict: Verdict, about: Mapping[str, str]) -> Markup:
    mark = _good("Blessed") if verdict.blessed else _bad("Not blessed")
    return Markup("<p>{}: {}.</p>{}").format(mark, verdict.reason, report.table(["Input", ""], list(about.items())))


def _thresholds(checks: Sequence[Check], thresholds: Sequence[Threshold], baseline: str | None) -> Markup:
    if not thresholds:
        return Markup("<p>None were set.</p>")
    # Of slices only the failures are listed: they are few if the model is any good, and the slices are all below.
    listed = [check for check in checks if check.metrics.key == OVERALL or check.met is False]
    listed.sort(key=lambda check: (check.met is not False, check.metrics.key != OVERALL))
    rows = [
        [
            check.threshold.metric,
            slicing.label(check.metrics.key),
            check.metrics.examples,
            f"{_BOUNDS[check.threshold.bound]} {check.threshold.limit:g}",
            _number(check.value),
            _number(check.baseline),
            _good("met") if check.met else _bad("not met"),
        ]
        for check in listed[:_SHOWN]
    ]
    rows += [
        [item.metric, "overall", None, f"{_BOUNDS[item.bound]} {item.limit:g}", None, None, _quiet("no baseline")]
        for item in thresholds
        if item.is_change and not baseline
    ]
    table = report.table(["Metric", "Slice", "Examples", "Threshold", "Value", "Baseline", ""], rows)
    outcomes = Counter(
        "met" if check.met else f"not applied, {check.note}"
        for check in checks
        if check.metrics.key != OVERALL and check.met is not False
    )
    if len(listed) > _SHOWN:
        outcomes["not met and not listed"] = len(listed) - _SHOWN
    if not outcomes:
        return table
    counted = "; ".join(f"{number:,} {outcome}" for outcome, number in outcomes.most_common())
    return table + Markup("<p>Other checks of slices: {}.</p>").format(counted)


def _metrics(overall: SliceMetrics, baseline: str | None) -> Markup:
    columns = {CANDIDATE: "Candidate" if baseline else "Value"}
    if baseline:
        columns |= {BASELINE: baseline.capitalize(), CHANGE: "Change"}
    sure = [whose for whose in columns if overall.intervals]
    rows = []
    for name, value in overall.candidate.items():
        before = overall.baseline.get(name, math.nan)
        numbers = {CANDIDATE: value, BASELINE: before, CHANGE: value - before}
        row: list[Any] = [name]
        for whose in columns:
            row.append(_number(numbers[whose]))
            if whose in sure:
                row.append(_interval(overall.intervals.get(whose, {}).get(name)))
        rows.append(row)
    heads = [[head, *(["95% interval"] if whose in sure else [])] for whose, head in columns.items()]
    return report.table(["Metric", *itertools.chain(*heads)], rows)


def _interval(interval: Interval | None) -> str:
    return f"{report.show(interval.lower)} to {report.show(interval.upper)}" if interval else ""


def _slices(metrics: Sequence[SliceMetrics], checks: Sequence[Check], problem: Problem) -> Markup:
    names = [name for name in metrics[0].candidate if name != "ExampleCount"]
    positive = problem.task == tasks.BINARY  # of other tasks no class stands out
    failed = {check.metrics.key for check in checks if check.met is False}
    rows = [
        [
            slicing.label(item.key),
            item.examples,
            *([f"{item.of_classes[0] / item.examples:.1%}"] if positive else []),
            *[_number(item.candidate.get(name)) for name in names],
            _bad("threshold not met") if item.key in failed else _quiet("only one class") if item.one_class else "",
        ]
        for item in metrics[: _SHOWN + 1]
    ]
    table = report.table(["Slice", "Examples", *(["Positive"] if positive else []), *names, ""], rows)
    hidden = len(metrics) - len(rows)
    return table + (Markup("<p>{:,} more slices are in the evaluation artifact.</p>").format(hidden) if hidden else "")


def _curves(curves: Mapping[str, Curves]) -> Markup:
    """Draws each class of each model, of many classes those of the candidate alone."""
    candidate = curves["candidate"]
    if len(candidate.by_class) > 1:
        lines = dict(list(candidate.by_class.items())[: len(report.COLORS)])
    else:
        lines = {name: curve for name, item in curves.items() for curve in item.by_class.values()}
    roc = {name: _columns([point[:0:-1] for point in curve.roc]) for name, curve in lines.items()}
    precision = {name: _columns(curve.precision) for name, curve in lines.items()}
    calibration = {name: _columns([point[:2] for point in curve.calibration]) for name, curve in lines.items()}
    hidden = max(len(candidate.by_class) - len(lines), 0) if len(candidate.by_class) > 1 else 0
    return (
        _figure("ROC", report.lines({**roc, "chance": ([0, 1], [0, 1])}, "false positive rate", "recall"))
        + _figure("Precision and recall", report.lines(precision, "recall", "precision"))
        + _figure(
            "Calibration",
            report.lines({**calibration, "perfect": ([0, 1], [0, 1])}, "mean prediction", "share of positives"),
        )
        + (Markup("<p>{:,} more classes aren't drawn.</p>").format(hidden) if hidden else "")
    )


def _errors(curves: Mapping[str, Curves]) -> Markup:
    """Draws a sample of a regression's rows: predictions and residuals."""
    low, high = _bounds([value for item in curves.values() for pair in item.dots for value in pair])
    against = {name: _columns(item.dots) for name, item in curves.items()}
    residuals = {name: [label - prediction for label, prediction in item.dots] for name, item in curves.items()}
    by_prediction = {name: (against[name][1], values) for name, values in residuals.items()}
    edge = _bounds([value for values in residuals.values() for value in values])
    return (
        _figure("Predicted against actual", report.dots(against, "actual", "predicted", ([low, high], [low, high])))
        + _figure("Residuals", report.dots(by_prediction, "predicted", "actual less predicted", ([low, high], [0, 0])))
        + _figure("Distribution of residuals", report.lines(_shares(residuals, edge), "actual less predicted", "share"))
        + Markup("<p>A sample of at most {:,} rows.</p>").format(DOTS)
    )


def _shares(residuals: Mapping[str, Sequence[float]], edge: tuple[float, float]) -> dict[str, Any]:
    found = {}
    for name, values in residuals.items():
        counts, edges = np.histogram(values, bins=30, range=edge)
        found[name] = (((edges[1:] + edges[:-1]) / 2).tolist(), (counts / max(len(values), 1)).tolist())
    return found


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _columns(points: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]


def _figure(caption: str, drawing: Markup) -> Markup:
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(drawing, caption)


def _confusion(candidate: Curves, problem: Problem) -> Markup:
    names = problem.class_names[:_CLASSES]
    rows = [[f"label {name}", *row[:_CLASSES]] for name, row in zip(names, candidate.confusion, strict=False)]
    head = f"At threshold {DECISION}" if problem.task == tasks.BINARY else "Highest score"
    table = report.table([head, *(f"predicted {name}" for name in names)], rows)
    if never := candidate.never_predicted(problem):
        table += Markup("<p>{}: {}</p>").format(_bad("Never predicted"), ", ".join(never[:_SHOWN]))
    hidden = len(problem.class_names) - len(names)
    return table + (Markup("<p>{:,} more classes are in the evaluation artifact.</p>").format(hidden) if hidden else "")


def _number(value: Any) -> Any:
    return None if value is None or math.isnan(value) else value


def _good(text: str) -> Markup:
    return Markup('<span class="good">{}</span>').format(text)


def _bad(text: str) -> Markup:
    return Markup('<span class="bad">{}</span>').format(text)


def _quiet(text: str) -> Markup:
    return Markup('<span class="quiet">{}</span>').format(text)
