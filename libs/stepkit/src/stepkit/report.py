"""Report pages: one HTML file each, readable offline, with charts as inline SVG; only long tables have a script.

Needs the extra `stepkit[report]`.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup

_STYLE = {
    "svg.fonttype": "none",  # text stays text: small files, searchable
    "svg.hashsalt": "stepkit",  # the same data gives the same bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa5b1",
    "axes.grid": True,
    "grid.color": "#e4e7eb",
    "axes.axisbelow": True,
}

_PAGED = Markup('<div class="paged" data-size="')
COLORS = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#dc2626", "#0891b2", "#ca8a04", "#4b5563")


def show(value: Any) -> str | Markup:
    """Formats a table cell: floats to 4 significant digits, integers with separators, None as a dash."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    text: str | Markup = value
    return text


_TEMPLATES = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_TEMPLATES.filters["show"] = show

_PAGE = _TEMPLATES.from_string(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root {
  color-scheme: light dark;
  --page: #fff; --ink: #1f2933; --soft: #52606d; --line: #e4e7eb; --quiet: #616e7c; --good: #15803d; --bad: #b91c1c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #18202a; --ink: #e5eaf0; --soft: #97a4b3; --line: #2a3542;
    --quiet: #98a4b1; --good: #5dd68a; --bad: #ff8088;
  }
  .charts svg { background: #fff; }
}
body {
  font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--page);
  margin: 0 auto; max-width: 1100px; padding: 1rem;
}
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: .95rem; margin: .8rem 0 .3rem; }
table { border-collapse: collapse; margin: .5rem 0; } th, td { padding: .2rem .7rem; text-align: left; }
th { color: var(--soft); font-weight: 600; } th, td { border-bottom: 1px solid var(--line); vertical-align: middle; }
td { overflow-wrap: anywhere; }
td.number { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.quiet { color: var(--quiet); }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } svg { max-width: 100%; height: auto; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
{% for section in sections %}
<section>
<h2>{{ section.title }}</h2>
{{ section.body }}
</section>
{% endfor %}
</main>
{{ script }}</body>
</html>
"""
)

_TABLE = _TEMPLATES.from_string(
    """<table>
<thead><tr>{% for header in headers %}<th>{{ header }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr>{% for cell in row %}<td{% if cell is number %} class="number"{% endif %}>{{ cell | show }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
"""
)


@dataclass(frozen=True)
class Section:
    """A headed part of a page; text in `body` is escaped unless it is Markup."""

    title: str
    body: str | Markup


# Without scripts all rows are there. Each `.paged` is a table with a box to search it and what turns its pages.
_PAGING = Markup("""<script>
for (const box of document.querySelectorAll(".paged")) {
  const rows = [...box.querySelectorAll("tbody tr")], size = +box.dataset.size;
  const [search, back, place, on] = box.querySelectorAll("input, button, output");
  const texts = rows.map(row => row.textContent.toLowerCase());
  let first = 0;
  const show = () => {
    const words = search.value.toLowerCase().split(" ");
    const found = rows.filter((row, i) => words.every(word => texts[i].includes(word)));
    first = Math.max(0, Math.min(first, Math.floor((found.length - 1) / size) * size));
    const shown = new Set(found.slice(first, first + size));
    rows.forEach(row => row.hidden = !shown.has(row));
    place.value = found.length ? `${first + 1} to ${first + shown.size} of ${found.length}` : "none";
    back.disabled = first === 0;
    on.disabled = first + size >= found.length;
  };
  search.oninput = () => { first = 0; show(); };
  back.onclick = () => { first -= size; show(); };
  on.onclick = () => { first += size; show(); };
  box.querySelector("p").hidden = false;
  show();
}
</script>
""")


def page(title: str, sections: Sequence[Section]) -> str:
    """Returns a whole HTML document."""
    script = _PAGING if any(_PAGED in section.body for section in sections) else ""
    return _PAGE.render(title=title, sections=sections, script=script)


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> Markup:
    """Returns an HTML table; Markup cells (charts, say) are left as they are, all else is escaped."""
    return Markup(_TABLE.render(headers=headers, rows=rows))


def paged_table(headers: Sequence[str], rows: Sequence[Sequence[Any]], size: int = 50) -> Markup:
    """Returns a table of which `size` rows are shown at once, with a box to search it; a plain one if it is shorter."""
    whole = table(headers, rows)
    if len(rows) <= size:
        return whole
    return Markup(
        '{}{}"><p hidden><input type="search" placeholder="Search" aria-label="Search">'
        " <button>Back</button> <output></output> <button>On</button></p>{}</div>"
    ).format(_PAGED, size, whole)


def shape(series: Mapping[str, Sequence[float]], size: tuple[int, int] = (120, 24)) -> Markup:
    """Returns bars of equal width for a table cell as SVG, as small as a page with thousands of them needs.

    Args:
        series: name to heights.
        size: width and height in pixels.
    """
    width, height = size
    top = max((value for heights in series.values() for value in heights), default=1.0) or 1.0
    paths = []
    for heights, color in zip(series.values(), _colors(len(series)), strict=True):
        if heights:
            step = round(width / len(heights), 1)
            steps = "".join(f"V{height - height * value / top:.0f}h{step:g}" for value in heights)
            paths.append(Markup('<path fill="{}" d="M0 {}{}V{}z"/>').format(color, height, steps, height))
    return Markup('<svg width="{}" height="{}">{}</svg>').format(width, height, Markup("").join(paths))


def bar(share: float, width: int = 120) -> Markup:
    """Returns a bar for a table cell as SVG, of which the number beside it tells all.

    Args:
        share: of the whole width, from 0 to 1.
        width: in pixels.
    """
    return Markup(
        '<svg width="{}" height="10" aria-hidden="true"><rect width="{}" height="10" fill="{}"/></svg>'
    ).format(width, round(width * share), COLORS[0])


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    size: tuple[float, float] = (4.6, 3.2),
) -> Markup:
    """Returns a line chart as SVG.

    Args:
        series: name to (xs, ys) of equal length.
        size: width and height in inches.
    """
    figure = _figure(size)
    axes = figure.subplots()
    for (name, (xs, ys)), color in zip(series.items(), _colors(len(series)), strict=True):
        axes.plot(xs, ys, label=name, color=color, linewidth=1.6, marker="o" if len(xs) < 15 else "", markersize=3)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def dots(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    reference: tuple[Sequence[float], Sequence[float]],
    size: tuple[float, float] = (4.6, 3.2),
) -> Markup:
    """Returns a scatter chart as SVG.

    Args:
        series: name to (xs, ys) of equal length.
        reference: (xs, ys) of a line that dots are seen against.
        size: width and height in inches.
    """
    figure = _figure(size)
    axes = figure.subplots()
    for (name, (xs, ys)), color in zip(series.items(), _colors(len(series)), strict=True):
        axes.plot(xs, ys, label=name, color=color, linestyle="", marker=".", markersize=3, alpha=0.5)
    axes.plot(*reference, color=COLORS[-1], linewidth=1)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def bars(
    series: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    y_label: str = "",
    size: tuple[float, float] = (4.6, 2.6),
) -> Markup:
    """Returns a grouped bar chart as SVG.

    Args:
        series: name to one height a label.
        labels: what stands below each group of bars.
        size: width and height in inches.
    """
    figure = _figure(size)
    axes = figure.subplots()
    width = 0.8 / max(len(series), 1)
    for index, ((name, heights), color) in enumerate(zip(series.items(), _colors(len(series)), strict=True)):
        axes.bar([i + index * width for i in range(len(labels))], heights, width, label=name, color=color)
    axes.set_xticks([i + 0.4 - width / 2 for i in range(len(labels))], labels, rotation=30 if len(labels) > 6 else 0)
    axes.set_ylabel(y_label)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def sparkline(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], size: tuple[int, int] = (150, 36)
) -> Markup:
    """Returns small overlaid histograms for a table cell, as SVG.

    Args:
        series: name to (edges, heights): one more edge than heights; heights are shares, so that splits compare.
        size: width and height in pixels.
    """
    width, height = size
    edges = [edge for xs, _ in series.values() for edge in xs]
    low, high = (min(edges), max(edges)) if edges else (0.0, 1.0)
    scale_x = width / ((high - low) or 1.0)
    top = max((value for _, heights in series.values() for value in heights), default=1.0) or 1.0
    shapes = []
    for (name, (xs, heights)), color in zip(series.items(), _colors(len(series)), strict=True):
        for left, right, value in zip(xs, xs[1:], heights, strict=False):
            tall = height * value / top
            shapes.append(
                Markup(
                    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}" opacity=".55">'
                    "<title>{}: {:.4g} to {:.4g}: {:.2%}</title></rect>"
                ).format(
                    (left - low) * scale_x,
                    height - tall,
                    max((right - left) * scale_x - 0.5, 0.5),
                    tall,
                    color,
                    name,
                    left,
                    right,
                    value,
                )
            )
    return Markup('<svg width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img">{2}</svg>').format(
        width, height, Markup("").join(shapes)
    )


def preload() -> None:
    """Imports what line charts take, by drawing one; else the first one does, which takes a second."""
    lines({"": ([0, 1], [0, 1])}, "", "")


def _colors(count: int) -> list[str]:
    return [COLORS[index % len(COLORS)] for index in range(count)]


def _figure(size: tuple[float, float]) -> Any:
    import matplotlib  # pylint: disable=import-outside-toplevel  # half a second, for pages without such charts too
    from matplotlib.figure import Figure  # pylint: disable=import-outside-toplevel

    matplotlib.rcParams.update(_STYLE)
    return Figure(figsize=size, layout="constrained")


def _svg(figure: Any) -> Markup:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return Markup(text.getvalue()[text.getvalue().index("<svg") :])
