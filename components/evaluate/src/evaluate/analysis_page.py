"""The report's sections on gaps between slices and on what the model looks at."""

from collections.abc import Sequence

from markupsafe import Markup

from evaluate import slicing
from evaluate.gaps import Gap
from evaluate.importance import Importance
from stepkit import report

# Slices and columns of the table of slices; all are in the metrics file.
_SLICES = 8
_COLUMNS = 15


def sections(gaps: Sequence[Gap], found: Importance | None) -> list[report.Section]:
    """Returns the sections that there is something for."""
    made = []
    if gaps:
        made.append(report.Section("Gaps between slices", _gaps(gaps)))
    if found:
        made.append(report.Section("What the model looks at", _importance(found)))
    return made


def _gaps(gaps: Sequence[Gap]) -> Markup:
    rows = [
        [
            gap.metric,
            gap.features,
            gap.value,
            *_end(gap, highest=True),
            *_end(gap, highest=False),
            gap.compared,
            gap.left_out,
        ]
        for gap in gaps
    ]
    heads = ["Metric", "Slices by", "Gap", "Highest", "", "Lowest", "", "Slices compared", "Too small or undefined"]
    return report.table(heads, rows)


def _end(gap: Gap, highest: bool) -> list[str | float]:
    item = gap.highest if highest else gap.lowest
    return [slicing.label(item.key), item.candidate[gap.metric]]


def _importance(found: Importance) -> Markup:
    intro = Markup(
        "<p>How much the {} rises when a raw column's values are given to other rows: mean and standard deviation "
        "of {} permutations of {:,} rows, on which it is {}. Columns that say the same hide each other; 0 is a column "
        "that the model doesn't read or doesn't need.</p>"
    ).format(found.loss, found.repeats, found.rows, report.show(found.value))
    if found.screened:
        intro += Markup("<p>Of {:,} columns these were chosen by one permutation of {:,} rows.</p>").format(
            found.tried, found.screened
        )
    top = max((abs(item.mean) for item in found.columns), default=0.0)
    rows = [
        [item.column, item.mean, item.spread, report.bar(max(item.mean, 0.0) / top if top else 0.0)]
        for item in found.columns
    ]
    table = report.table(["Raw column", "Rise", "Standard deviation", ""], rows)
    if found.unused:
        table += Markup("<p>{:,} more columns aren't shown.</p>").format(found.unused)
    return intro + table + _by_slice(found)


def _by_slice(found: Importance) -> Markup:
    if not found.slices:
        return Markup()
    shown = found.slices[:_SLICES]
    rows = [[item.column, item.mean, *item.by_slice[: len(shown)]] for item in found.columns[:_COLUMNS]]
    heads = ["Raw column", "overall", *(f"{slicing.label(key)} ({rows:,})" for key, rows in shown)]
    more = len(found.slices) - len(shown)
    note = Markup("<p>{:,} more slices are in the metrics file.</p>").format(more) if more else Markup()
    return Markup("<h3>By slice</h3>") + report.table(heads, rows) + note
