import xml.etree.ElementTree as ET

import pytest

from stepkit import report


def test_cells():
    shown = {
        None: "\N{EN DASH}",
        12345: "12,345",
        0.123456: "0.1235",
        2.5e6: "2,500,000",
        "x": "x",
        float("nan"): "nan",
    }
    assert [report.show(value) for value in shown] == list(shown.values())
    assert (report.show(True), report.show(False)) == ("yes", "no")


def test_a_page_is_whole_escaped_and_offline():
    chart = report.lines({"loss": ([1, 2], [0.5, 0.4])}, "epoch", "loss")
    table = report.table(["a<b", "n"], [["<script>", 1234], [chart, None]])
    page = report.page("A & B", [report.Section("<h>", table), report.Section("text", "1 < 2")])
    assert page.startswith("<!doctype html>")
    assert "<title>A &amp; B</title>" in page
    assert "<h2>&lt;h&gt;</h2>" in page
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "1 &lt; 2" in page
    assert '<td class="number">1,234</td>' in page
    assert "<td><svg" in page
    for loading in ("src=", "@import", "<link", "url(http"):
        assert loading not in page


CHARTS = {
    "lines": lambda: report.lines({"train": ([1, 2, 3], [3, 2, 1]), "eval": ([1, 2, 3], [3, 2, 2])}, "epoch", "loss"),
    "many points": lambda: report.lines({"roc": (range(100), range(100))}, "x", "y"),
    "bars": lambda: report.bars({"train": [1, 2], "eval": [2, 1]}, ["a", "b"], "rows"),
    "many bars": lambda: report.bars({str(i): [i] * 9 for i in range(10)}, list("abcdefghi")),
    "sparkline": lambda: report.sparkline({"tr<ain": ([0, 1, 2], [0.5, 0.5]), "eval": ([0, 1, 2], [0.0, 1.0])}),
    "flat sparkline": lambda: report.sparkline({"train": ([3, 3], [0.0])}),
    "empty sparkline": lambda: report.sparkline({}),
}


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_charts_are_repeatable_svg(draw):
    chart = draw()
    assert chart == draw()
    root = ET.fromstring(chart)
    assert root.tag.endswith("svg")


def test_charts_have_their_texts():
    chart = report.lines({"train": ([1, 2], [3, 2]), "eval": ([1, 2], [3, 2])}, "epoch", "loss")
    for text in ("epoch", "loss", "train", "eval"):
        assert f">{text}</text>" in chart
    spark = report.sparkline({"a": ([0, 1], [1.0])})
    assert "a: 0 to 1: 100.00%" in spark
    assert spark.count("<rect") == 1
