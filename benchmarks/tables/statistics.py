"""Statistics of a data set: data_validation against TFDV's own call, profilers and dataframe engines."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import data, places, steps
from benchmarks.results import TableResult, Verdict, at_least, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

OURS = "data_validation (Parquet)"
OURS_CSV = "extract + data_validation (CSV)"
TFDV = "tfdv.generate_statistics_from_csv"
DUCKDB = "DuckDB SUMMARIZE (Parquet)"
_CSV = "From CSV."


def _prepared(rows: int) -> steps.Prepared:
    return steps.Prepared(data.flights(rows), steps.WHOLE, where="")


def _inputs() -> dict[str, str]:
    """No slices: none of the peers has any."""
    return steps.PARAMETERS["data_validation"] | {"slices": "[]"}


def _ours(rows: int) -> Ready:
    examples = _prepared(rows).examples
    interpreter = places.python(places.component("data_validation"))

    def command(each: Round) -> list[str]:
        return steps.command("data_validation", _inputs() | {"examples": str(examples)}, each.folder)

    versions = places.versions(interpreter, ["tensorflow-data-validation", "pyarrow"])
    return Ready(command, places.component_env("data_validation"), versions)


def _ours_from_csv(rows: int) -> Ready:
    source = data.flights(rows)
    for name in ("extract", "data_validation"):
        places.python(places.component(name))

    def command(each: Round) -> list[str]:
        extract = steps.PARAMETERS["extract"] | {"source": str(source), "splits": steps.WHOLE, "where": ""}
        validate = _inputs() | {"examples": str(each.folder / "examples")}
        parts = [("extract", extract), ("data_validation", validate)]
        given = [
            {"command": steps.command(name, inputs, each.folder), "env": places.component_env(name)}
            for name, inputs in parts
        ]
        return [sys.executable, str(places.PROGRAMS / "in_turn.py"), json.dumps(given)]

    return Ready(command)


def _program(folder: Path, program: str, source: Callable[[], str], packages: list[str]) -> Callable[[], Ready]:
    """A program of benchmarks/programs that takes a source and a file to write to."""

    def prepare() -> Ready:
        interpreter = places.python(folder)
        path = source()

        def command(each: Round) -> list[str]:
            return [str(interpreter), str(places.PROGRAMS / f"{program}.py"), path, str(each.folder / "out")]

        return Ready(command, versions=places.versions(interpreter, packages))

    return prepare


def _case(name: str, rows: int) -> Case:
    def csv() -> str:
        return str(data.flights(rows))

    def parquet() -> str:
        return str(_prepared(rows).examples / "*" / "*.parquet")

    dataframes, validation = places.PEERS / "dataframes", places.component("data_validation")
    return Case(
        name,
        lambda: rows,
        [
            Side(OURS, lambda: _ours(rows), "Checks the schema and writes a report, too."),
            Side(OURS_CSV, lambda: _ours_from_csv(rows), "Two processes; writes the rows as Parquet on the way."),
            Side(TFDV, _program(validation, "tfdv_csv", csv, ["tensorflow-data-validation", "apache-beam"]), _CSV),
            Side(DUCKDB, _program(dataframes, "duckdb_summarize", parquet, ["duckdb"]), "Approximate quantiles."),
            Side("DuckDB SUMMARIZE (CSV)", _program(dataframes, "duckdb_summarize", csv, ["duckdb"])),
            Side(
                "polars describe (Parquet)",
                _program(dataframes, "polars_describe", parquet, ["polars"]),
                "No distinct counts, no top values.",
            ),
            Side("polars describe (CSV)", _program(dataframes, "polars_describe", csv, ["polars"])),
            Side("whylogs", _program(places.PEERS / "whylogs", "whylogs_profile", csv, ["whylogs", "pandas"]), _CSV),
            Side(
                "ydata-profiling, minimal",
                _program(places.PEERS / "ydata_profiling", "ydata_minimal", csv, ["ydata-profiling", "pandas"]),
                _CSV,
            ),
            Side(
                "evidently, DataSummaryPreset",
                _program(places.PEERS / "evidently", "evidently_summary", csv, ["evidently", "pandas"]),
                _CSV,
            ),
        ],
    )


def _cases(quick: bool) -> list[Case]:
    sizes = data.QUICK_SIZES if quick else {name: data.SIZES[name] for name in ("0.34M", "3.4M")}
    return [_case(f"{name} rows", rows) for name, rows in sizes.items()]


def _verdicts(result: TableResult) -> list[Verdict]:
    case = "3.4M rows"
    ours, tfdv, duckdb = (result.median(case, side, "wall_s") for side in (OURS, TFDV, DUCKDB))
    return [
        at_least(f"{case}: at least 20x as fast as {TFDV}", quotient(tfdv, ours), 20),
        at_most(f"{case}: at most 1.2 of the wall of {DUCKDB}", quotient(ours, duckdb), 1.2),
    ]


TABLE = Table(
    name="statistics",
    title="Statistics",
    about=(
        "Statistics of all 19 columns of flights. The 3.4M rows are the 0.34M ten times, with seeded jitter on five "
        "numeric columns from the second time on; missing values are empty. Whole processes, imports included."
    ),
    ours=OURS,
    cases=_cases,
    verdicts=_verdicts,
)
