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


def test_long_tables_have_pages_and_a_search_and_all_rows():
    rows = [[f"<{number}>", number] for number in range(60)]
    table = report.paged_table(["name", "n"], rows, 20)
    page = report.page("p", [report.Section("s", table)])
    assert page.count("<script>") == 1 and page.count('type="search"') == 1
    assert 'data-size="20"' in page
    assert all(f"&lt;{number}&gt;" in page for number in range(60))
    assert report.paged_table(["name", "n"], rows, 60) == report.table(["name", "n"], rows)


def test_a_shape_is_small_and_whole():
    chart = report.shape({"train": [0.1, 0.4, 0.5], "eval": []})
    assert ET.fromstring(chart).tag == "svg"
    assert chart.count("<path") == 1 and len(chart) < 200
