"""Tables as Markdown, and as parts of README.md."""

import re
from collections.abc import Mapping

from benchmarks.results import CaseResult, SideResult, TableResult, Verdict, quotient
from benchmarks.table import Table

_MARKS = {True: "met", False: "**missed**", None: "not measured"}


def command(table: Table) -> str:
    """Returns the command line that measures a table."""
    return f".venv/bin/python -m benchmarks {table.name}"


def markdown(table: Table, result: TableResult) -> str:
    """Returns a table's section: what was measured, the numbers, the goals. Depends on its arguments alone."""
    parts = [f"## {table.title}", table.about, f"`{command(table)}`"]
    if not result.cases:
        return "\n\n".join([*parts, "Not measured yet."])
    parts += [_case(table, case) for case in result.cases]
    verdicts = table.verdicts(result)
    if verdicts:
        parts.append(_goals(verdicts))
    parts.append(f"![{table.title}](results/{table.name}.svg)")
    parts += [_stated(result)]
    return "\n\n".join(parts)


def _case(table: Table, case: CaseResult) -> str:
    ours = case.side(table.ours)
    base = ours.median("wall_s") if ours else None
    compared = ["of ours"] if table.ours else []
    rate = ["rows/s"] if case.rows else []
    header = [f"{case.case}", "wall", *compared, "CPU", *rate, "peak PSS", "peak RSS", *table.facts.values()]
    notes: list[str] = []
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(_row(table, case, side, base, notes)) + " |" for side in case.sides]
    listed = [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join([*lines, *(["", *listed] if listed else [])])


def _row(table: Table, case: CaseResult, side: SideResult, base: float | None, notes: list[str]) -> list[str]:
    remark = _escaped(" ".join(filter(None, [side.note, f"Not measured: {side.missing}" if side.missing else ""])))
    if remark and remark not in notes:
        notes.append(remark)
    number = f" ({notes.index(remark) + 1})" if remark else ""
    wall = side.median("wall_s")
    cells = [
        _escaped(side.side) + number,
        _shown(wall, "{:.1f} s"),
        *([_shown(quotient(wall, base), "{:.2f}")] if table.ours else []),
        _shown(side.median("cpu_s"), "{:.1f} s"),
        *([_shown(quotient(case.rows, wall), "{:,.0f}")] if case.rows else []),
        _shown(side.median("pss_mb"), "{:,.0f} MB"),
        _shown(side.median("rss_mb"), "{:,.0f} MB"),
    ]
    return cells + [_shown(side.median(name), "{:.4g}") for name in table.facts]


def _goals(verdicts: list[Verdict]) -> str:
    lines = ["| goal | reached | |", "|---|---|---|"]
    lines += [f"| {_escaped(each.goal)} | {_escaped(each.reached)} | {_MARKS[each.met]} |" for each in verdicts]
    return "\n".join(lines)


def _stated(result: TableResult) -> str:
    """Says on what and with what it was measured; once, where all cases agree."""
    lines = []
    cases: dict[str, list[str]] = {}
    for case in result.cases:
        about = "; ".join(
            [
                ", ".join(f"{name} {value}" for name, value in case.machine.items()),
                f"medians of {case.repeat}, sides in turn",
                f"{case.taken}, commit {case.commit or 'unknown'}",
            ]
        )
        cases.setdefault(about, []).append(case.case)
    for about, names in cases.items():
        lines.append(f"- {', '.join(names)}: {about}." if len(cases) > 1 else f"- {about}.")
    versions = {
        side.side: ", ".join(f"{name} {value}" for name, value in side.versions.items())
        for case in result.cases
        for side in case.sides
        if side.versions
    }
    lines += [f"- {_escaped(side)}: {text}." for side, text in versions.items()]
    return "\n".join(lines)


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def readme(text: str, sections: Mapping[str, str]) -> str:
    """Returns README.md's text with each table's section between its markers.

    Raises:
        ValueError: a table has no markers.
    """
    for name, section in sections.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        found = pattern.search(text)
        if not found:
            raise ValueError(f"benchmarks/README.md has no place for {name}: add the lines {begin} and {end}")
        text = f"{text[: found.start()]}{begin}\n{section}\n{end}{text[found.end() :]}"
    return text
