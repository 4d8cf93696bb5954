"""What the catalog of a large component store costs: to build, and to search in a browser."""

import functools
import json

from benchmarks import places, steps
from benchmarks.results import TableResult, Verdict, at_most
from benchmarks.table import Case, Ready, Round, Side, Table

COMPONENTS = (100, 1_000)
SIDE = "pipeyard catalog build"
MOST_SECONDS = 10.0
MOST_MS = 100.0
_PROGRAM = places.PROGRAMS / "catalog_site.py"
_PYTHON = places.PIPEYARD.with_name("python")


def _side(components: int) -> Ready:
    store = steps.once(
        f"store-of-{components}-components", lambda folder: places.told([_PYTHON, _PROGRAM, "make", folder, components])
    )

    def facts(each: Round) -> dict[str, float]:
        site = each.folder / "catalog"
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 1e6
        return {"written_mb": size, **json.loads(places.told([_PYTHON, _PROGRAM, "search", site]))}

    return Ready(
        lambda each: [str(places.PIPEYARD), "catalog", "build", f"--store=c={store}", f"-o{each.folder / 'catalog'}"],
        facts=facts,
    )


def _name(components: int) -> str:
    return f"{components:,} components"


def _cases(quick: bool) -> list[Case]:
    sizes = (20,) if quick else COMPONENTS
    return [Case(_name(each), lambda: 0, [Side(SIDE, functools.partial(_side, each))]) for each in sizes]


def _verdicts(result: TableResult) -> list[Verdict]:
    large = _name(COMPONENTS[-1])
    built, searched = (result.median(large, SIDE, measure) for measure in ("wall_s", "search_ms"))
    return [
        at_most(f"{large}: built in at most {MOST_SECONDS:g} s", built, MOST_SECONDS, lambda value: f"{value:.1f} s"),
        at_most(f"{large}: searched in at most {MOST_MS:g} ms", searched, MOST_MS, lambda value: f"{value:.0f} ms"),
    ]


TABLE = Table(
    name="catalog",
    title="Catalog of a large store",
    about=(
        "What `pipeyard catalog build` takes for a folder of components with three versions of twelve inputs each, "
        "imports included, and the slowest of five searches in Chromium, from a key to what is found being laid out "
        "(the median of nine each)."
    ),
    ours="",
    cases=_cases,
    verdicts=_verdicts,
    facts={"written_mb": "written, MB", "search_ms": "search, ms"},
)
