"""batch_predict against the same SavedModel called on batches that were prepared beforehand."""

import functools
import json

from benchmarks import data, places, steps
from benchmarks.measuring import STDOUT
from benchmarks.results import TableResult, Verdict, at_least, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

OURS = "batch_predict"
PREPARED = "the SavedModel on prepared batches"
_BATCH_ROWS = 8192  # batch_predict's default
_GOAL = 0.8


def _side(rows: int, times: int, feed: str) -> Ready:
    prepared = steps.Prepared(data.flights(rows), steps.SPLIT)
    model, examples = prepared.model, steps.repeated(prepared.examples, times)
    interpreter = places.python(places.component("batch_predict"))
    given = {"examples": examples, "model": model, "batch-rows": _BATCH_ROWS, "feed": feed}
    program = [str(interpreter), str(places.PROGRAMS / "scoring_rate.py")]
    program += [f"--{name}={value}" for name, value in given.items()]

    def facts(each: Round) -> dict[str, float]:
        found: dict[str, float] = json.loads((each.folder / STDOUT).read_text(encoding="utf-8").splitlines()[-1])
        return found

    versions = places.versions(interpreter, ["tensorflow-cpu", "pyarrow"])
    return Ready(
        lambda each: [*program, f"--out={each.folder}"], places.component_env("batch_predict"), versions, facts
    )


def _cases(quick: bool) -> list[Case]:
    rows = 20_000 if quick else data.ALL_FLIGHTS
    sizes = {"20k rows": 1, "60k rows": 3} if quick else {"0.34M rows": 1, "10M rows": 30}
    notes = {
        (OURS, "step"): "Reads Parquet, applies the operating point, writes Parquet.",
        (
            PREPARED,
            "prepared",
        ): "Tensors of 40 batches, asked again and again, up to a million rows: no reading, no writing.",
    }
    return [
        Case(
            name,
            functools.partial(int, rows * times),
            [Side(side, functools.partial(_side, rows, times, feed), note) for (side, feed), note in notes.items()],
        )
        for name, times in sizes.items()
    ]


def _verdicts(result: TableResult) -> list[Verdict]:
    verdicts = [
        at_least(
            f"{case}: at least {_GOAL} of the rows/s on prepared batches",
            quotient(result.median(case, OURS, "rows_per_s"), result.median(case, PREPARED, "rows_per_s")),
            _GOAL,
            lambda value: f"{value:.2f}",
        )
        for case in ("0.34M rows", "10M rows")
    ]
    large, small = (result.median(case, OURS, "pss_mb") for case in ("10M rows", "0.34M rows"))
    return [
        *verdicts,
        at_most(
            "10M rows: at most 1.3x the memory of 0.34M", quotient(large, small), 1.3, lambda value: f"{value:.2f}"
        ),
    ]


TABLE = Table(
    name="batch_predict",
    title="Scores without a server",
    about=(
        f"Rows a second of scoring flights with the demo pipeline's model, {_BATCH_ROWS:,} rows at a time, from the "
        "first batch to the last row: neither imports nor loading the model count. The larger examples have each file "
        "thirty times. Wall, CPU and memory are of the whole process."
    ),
    ours=OURS,
    cases=_cases,
    verdicts=_verdicts,
    facts={"rows_per_s": "rows/s"},
    drawn="rows_per_s",
)
