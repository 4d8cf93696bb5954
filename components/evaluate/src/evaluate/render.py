"""The report page."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evaluate import slicing
from evaluate.curves import DECISION, Curves
from evaluate.results import SliceMetrics
from evaluate.slicing import OVERALL
from evaluate.thresholds import Threshold
from evaluate.validate import Check, Verdict
from stepkit import report

_BOUNDS = {"lower": "at least", "upper": "at most", "min_change": "change at least", "max_change": "change at most"}
# Slices and failures beyond these are only in TFMA's files.
_SHOWN = 200


def render(
    verdict: Verdict,
    metrics: Sequence[SliceMetrics],
    curves: Mapping[str, Curves],
    thresholds: Sequence[Threshold],
    about: Mapping[str, str],
    baseline: str | None,
) -> str:
    """Returns the page: verdict and thresholds first, then metrics, slices and curves.

    Args:
        metrics: overall first.
        curves: model to its curves.
        thresholds: as they were set, whether applied or not.
        about: facts on what was evaluated, for the top of the page.
        baseline: what the model was compared with.
    """
    sections = [
        report.Section("Verdict", _verdict(verdict, about)),
        report.Section("Thresholds", _thresholds(verdict.checks, thresholds, baseline)),
        report.Section("Metrics", _metrics(metrics[0], baseline)),
    ]
    if len(metrics) > 1:
        sections.append(report.Section("Slices", _slices(metrics, verdict.checks)))
    sections.append(report.Section("Curves", _curves(curves)))
    sections.append(report.Section("Confusion matrix", _confusion(curves["candidate"])))
    return report.page("Model evaluation", sections)


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
    if not baseline:
        return report.table(["Metric", "Value"], [[name, _number(value)] for name, value in overall.candidate.items()])
    rows = []
    for name, value in overall.candidate.items():
        before = overall.baseline.get(name, math.nan)
        rows.append([name, _number(value), _number(before), _number(value - before)])
    return report.table(["Metric", "Candidate", baseline.capitalize(), "Change"], rows)


def _slices(metrics: Sequence[SliceMetrics], checks: Sequence[Check]) -> Markup:
    names = [name for name in metrics[0].candidate if name != "ExampleCount"]
    failed = {check.metrics.key for check in checks if check.met is False}
    rows = [
        [
            slicing.label(item.key),
            item.examples,
            f"{item.positives / item.examples:.1%}",
            *[_number(item.candidate.get(name)) for name in names],
            _bad("threshold not met") if item.key in failed else _quiet("only one class") if item.one_class else "",
        ]
        for item in metrics[: _SHOWN + 1]
    ]
    table = report.table(["Slice", "Examples", "Positive", *names, ""], rows)
    hidden = len(metrics) - len(rows)
    return table + (Markup("<p>{:,} more slices are in the evaluation artifact.</p>").format(hidden) if hidden else "")


def _curves(curves: Mapping[str, Curves]) -> Markup:
    roc = {name: ([point[2] for point in item.roc], [point[1] for point in item.roc]) for name, item in curves.items()}
    calibration = {
        name: ([point[0] for point in item.calibration], [point[1] for point in item.calibration])
        for name, item in curves.items()
    }
    return Markup('<div class="charts"><figure>{}<figcaption>ROC</figcaption></figure>').format(
        report.lines({**roc, "chance": ([0, 1], [0, 1])}, "false positive rate", "recall")
    ) + Markup("<figure>{}<figcaption>Calibration</figcaption></figure></div>").format(
        report.lines({**calibration, "perfect": ([0, 1], [0, 1])}, "mean prediction", "share of positives")
    )


def _confusion(candidate: Curves) -> Markup:
    rows = [[f"label {label}", *row] for label, row in enumerate(candidate.confusion)]
    return report.table([f"At threshold {DECISION}", "predicted 0", "predicted 1"], rows)


def _number(value: Any) -> Any:
    return None if value is None or math.isnan(value) else value


def _good(text: str) -> Markup:
    return Markup('<span class="good">{}</span>').format(text)


def _bad(text: str) -> Markup:
    return Markup('<span class="bad">{}</span>').format(text)


def _quiet(text: str) -> Markup:
    return Markup('<span class="quiet">{}</span>').format(text)
