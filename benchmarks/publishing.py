"""From measuring a table to files: JSON, Markdown, a plot, and README.md."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks import places, rendering, results
from benchmarks.table import run_case
from benchmarks.tables import TABLES
from benchmarks.tables.growth import points
from pipeyard.errors import near_misses
from pipeyard.system.files import write_whole

README = places.HERE / "README.md"


def measure(name: str, repeat: int, cases: Sequence[str], sides: Sequence[str], quick: bool) -> None:
    """Measures a table and writes its files; those of a part of its sides, or of small sizes, into .data/results.

    What a case measured is written when it ends, so that an interrupted run keeps the cases before it.

    Args:
        cases: names of those to measure; empty: all.
        sides: the same of sides.

    Raises:
        click.UsageError: there is no such case or side.
    """
    # What is measured is in a session of its own, and must not outlive this process when that is told to end.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    table = TABLES[name]
    offered = table.cases(quick)
    order = [case.name for case in offered]
    _check("case", cases, order)
    _check("side", sides, [side.name for case in offered for side in case.sides])
    published = not (quick or sides)
    folder = places.RESULTS if published else places.DATA / "results"
    folder.mkdir(parents=True, exist_ok=True)
    result = results.load(folder, name) if published else results.TableResult(name, [])
    for case in offered:
        if cases and case.name not in cases:
            continue
        result = result.with_cases([run_case(case, sides, repeat)], order)
        write_whole(folder / f"{name}.json", results.to_json(result))
        write_whole(folder / f"{name}.md", rendering.markdown(table, result) + "\n")
    plot(name, folder)
    if published:
        write()
    click.echo(rendering.markdown(table, result))
    click.echo(f"\nWritten to {folder}", err=True)


def _check(kind: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise click.UsageError(f"No {kind} {name!r}. {near_misses(name, known)}")


def expected() -> dict[Path, str]:
    """Returns every file that is rendered from the committed JSON, and its text."""
    found = {name: results.load(places.RESULTS, name) for name in TABLES}
    sections = {name: rendering.markdown(TABLES[name], result) for name, result in found.items()}
    files = {places.RESULTS / f"{name}.md": f"{section}\n" for name, section in sections.items() if found[name].cases}
    return {**files, README: rendering.readme(README.read_text(encoding="utf-8"), sections)}


def stale() -> list[Path]:
    """Returns the files that aren't what the JSON results say."""
    return [path for path, text in expected().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def write() -> list[Path]:
    """Writes the files that aren't what the JSON results say; returns them."""
    texts = expected()
    changed = stale()
    for path in changed:
        write_whole(path, texts[path])
    return changed


def plot(name: str, folder: Path) -> bool:
    """Draws a table's results in `folder`; False if there is nothing to draw, or nothing to draw with."""
    table, result = TABLES[name], results.load(folder, name)
    cases: list[dict[str, Any]] = [
        {
            "case": case.case,
            "rows": case.rows,
            "sides": [
                {"side": side.side, "value": value}
                for side in case.sides
                if (value := side.median(table.drawn)) is not None
            ],
        }
        for case in result.cases
    ]
    cases = [case for case in cases if case["sides"]]
    if not cases:
        return False
    content: dict[str, Any] = {
        "title": table.title,
        "chart": table.chart,
        "label": table.facts.get(table.drawn, "wall seconds of the whole process"),
        "ours": table.ours,
        "cases": cases,
        "lines": {},
    }
    if table.chart == "lines":
        sides = dict.fromkeys(side["side"] for case in cases for side in case["sides"])
        measured = {side: points(result, side, table.drawn) for side in sides}
        content["lines"] = {
            side: asdict(results.least_squares(each)) for side, each in measured.items() if len(each) > 1
        }
    try:
        interpreter = places.python(places.HERE)
    except places.UnavailableError as error:
        places.say(f"no plot: {error}")
        return False
    subprocess.run(
        [interpreter, places.PROGRAMS / "plot.py", folder / f"{name}.svg"],
        input=json.dumps(content), text=True, env=places.plain_env(), check=True,
    )  # fmt: skip
    return True
