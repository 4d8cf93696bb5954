"""Draws a table's results. Runs in the environment of benchmarks/.

Takes {"title", "chart": "bars" or "lines", "label": what is drawn, "ours": a side, "cases": [{"case", "rows",
"sides": [{"side", "value"}]}], "lines": {side: {"start", "per_row"}}} on stdin and the SVG file to write. Equal input
gives equal bytes.
"""

import json
import sys

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})

from matplotlib import pyplot as plt  # noqa: E402  pylint: disable=wrong-import-position

_COLOURS = ["#1f6f8b", "#e07a5f", "#81b29a", "#f2cc8f", "#6d597a", "#b56576", "#355070", "#99c24d", "#8d99ae", "#444"]


def bars(content: dict) -> plt.Figure:
    """One panel a case, one bar a side."""
    cases = content["cases"]
    heights = [len(case["sides"]) for case in cases]
    figure, panels = plt.subplots(
        len(cases), 1, figsize=(8, 0.9 * len(cases) + 0.3 * sum(heights)), height_ratios=heights, squeeze=False
    )
    for panel, case in zip(panels[:, 0], cases, strict=True):
        sides = case["sides"][::-1]
        values = [side["value"] for side in sides]
        colours = [_COLOURS[1 if side["side"] == content["ours"] else 0] for side in sides]
        drawn = panel.barh([side["side"] for side in sides], values, color=colours)
        panel.bar_label(drawn, [f"{value:,.1f}" for value in values], padding=3)
        panel.set_title(f"{case['case']} ({case['rows']:,} rows)", loc="left")
        panel.margins(x=0.12)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1, 0].set_xlabel(content["label"])
    return figure


def lines(content: dict) -> plt.Figure:
    """Medians over rows, and each side's least-squares line."""
    figure, panel = plt.subplots(figsize=(8, 5))
    names = list(dict.fromkeys(side["side"] for case in content["cases"] for side in case["sides"]))
    for name, colour in zip(names, _COLOURS, strict=False):
        points = {
            case["rows"]: side["value"] for case in content["cases"] for side in case["sides"] if side["side"] == name
        }
        panel.plot(list(points), list(points.values()), "o", color=colour)
        label = name
        if line := content["lines"].get(name):
            ends = [0, max(points)]
            panel.plot(ends, [line["start"] + line["per_row"] * rows for rows in ends], "-", color=colour, linewidth=1)
            label = f"{name}: {line['start']:.1f} s + {line['per_row'] * 1e6:.2f} s per million rows"
        panel.plot([], [], "o-", color=colour, label=label)
    panel.set_xlabel("rows (millions)")
    panel.set_ylabel(content["label"])
    panel.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}")
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False)
    panel.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Draws."""
    content = json.load(sys.stdin)
    figure = {"bars": bars, "lines": lines}[content["chart"]](content)
    figure.suptitle(content["title"])
    figure.tight_layout()
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
