"""How time and memory of the steps grow with the rows."""

import functools

from benchmarks import data, places, steps
from benchmarks.results import TableResult, Verdict, at_most, largest_deviation, least_squares, quotient
from benchmarks.table import Case, Ready, Side, Table

STEPS = ("extract", "data_validation", "transform", "evaluate")


def _inputs(step: str, rows: int, trained_rows: int) -> dict[str, str]:
    source = data.flights(rows)
    if step == "extract":
        return steps.PARAMETERS[step] | {"source": str(source), "splits": steps.WHOLE}
    inputs = steps.PARAMETERS[step] | {"examples": str(steps.Prepared(source, steps.WHOLE).examples)}
    trained = steps.Prepared(data.flights(trained_rows), steps.SPLIT)
    if step == "transform":
        inputs |= {"schema": str(trained.schema)}
    if step == "evaluate":
        inputs |= {"schema": str(trained.schema), "model": str(trained.model), "eval_split": "train"}
    return inputs


def _side(step: str, rows: int, trained_rows: int) -> Ready:
    inputs = _inputs(step, rows, trained_rows)
    places.python(places.component(step))
    return Ready(lambda each: steps.command(step, inputs, each.folder), places.component_env(step))


def _case(name: str, rows: int, trained_rows: int) -> Case:
    sides = [Side(step, functools.partial(_side, step, rows, trained_rows)) for step in STEPS]
    return Case(f"{name} rows", lambda: rows, sides)


def _cases(quick: bool) -> list[Case]:
    sizes = data.QUICK_SIZES if quick else data.SIZES
    trained_rows = min(sizes.values())
    return [_case(name, rows, trained_rows) for name, rows in sizes.items()]


def points(result: TableResult, step: str, measure: str) -> dict[int, float]:
    """Returns rows to median, of the cases in which the step was measured."""
    medians = {case.rows: result.median(case.case, step, measure) for case in result.cases}
    return {rows: value for rows, value in medians.items() if value is not None}


def _verdicts(result: TableResult) -> list[Verdict]:
    verdicts = []
    for step in STEPS:
        seconds = points(result, step, "wall_s")
        goal = f"{step}: wall within 15% of a line through all four sizes"
        if len(seconds) < len(data.SIZES):
            verdicts.append(Verdict(goal, "not measured", None))
        else:
            line, off = least_squares(seconds), largest_deviation(seconds)
            reached = f"{off:.1%} ({line.start:.1f} s + {line.per_row * 1e6:.2f} s per million rows)"
            verdicts.append(Verdict(goal, reached, off <= 0.15))
        large, small = (result.median(f"{size} rows", step, "pss_mb") for size in ("10M", "1M"))
        growth = quotient(large, small)
        verdicts.append(
            at_most(
                f"{step}: peak memory grows by less than 20% from 1M to 10M rows",
                None if growth is None else growth - 1,
                0.2,
                lambda value: f"{value:+.1%}",
            )
        )
    return verdicts


TABLE = Table(
    name="growth",
    title="Growth",
    about=(
        "The steps over all rows in one split, of 0.34M real flights and of multiples with seeded jitter. The line is "
        "wall = start-up + rows x time a row, by least squares of relative errors; how far the medians are from it, "
        "in relation to it, is what is judged. evaluate takes one model at all sizes."
    ),
    ours="",
    cases=_cases,
    verdicts=_verdicts,
    chart="lines",
)
