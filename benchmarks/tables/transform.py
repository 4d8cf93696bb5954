"""The transform step against TFX's Transform, stock TFT, and what the machine can do at best."""

import json
from pathlib import Path

from benchmarks import data, places, steps
from benchmarks.results import TableResult, Verdict, at_least, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

OURS = "transform"
TFX = "TFX 1.16's Transform"
STOCK = "stock TFT from CSV"
_TFX = places.PEERS / "tfx"
_SPARSE = f"--sparse={json.dumps(steps.SPARSE)}"


def _prepared(rows: int) -> steps.Prepared:
    return steps.Prepared(data.flights(rows), steps.SPLIT)


def _ours(rows: int) -> Ready:
    prepared = _prepared(rows)
    inputs = steps.PARAMETERS["transform"] | {"examples": str(prepared.examples), "schema": str(prepared.schema)}
    interpreter = places.python(places.component("transform"))
    return Ready(
        lambda each: steps.command("transform", inputs, each.folder),
        places.component_env("transform"),
        places.versions(interpreter, ["tensorflow-transform", "tensorflow-cpu"]),
    )


def _tfx(rows: int, *options: str) -> Ready:
    interpreter = places.python(_TFX)
    program = [str(interpreter), str(_TFX / "run_transform.py")]
    source = steps.split_csv(_prepared(rows))
    prepared = steps.once(
        f"tfx-{source.name}", lambda folder: places.told([*program, f"--prepare={source}", f"--root={folder}"])
    )

    def command(each: Round) -> list[str]:
        return [
            *program,
            f"--prepared={prepared}",
            f"--module={steps.MODULE}",
            f"--root={each.folder}",
            _SPARSE,
            *options,
        ]

    return Ready(command, versions=places.versions(interpreter, ["tfx", "tensorflow-transform", "apache-beam"]))


def _stock(rows: int) -> Ready:
    prepared = _prepared(rows)
    interpreter = str(places.python(places.component("transform")))
    env = places.component_env("transform")
    program = places.PROGRAMS / "examples_to_csv.py"
    csv = steps.once(
        f"split-{rows}-{prepared.examples.parent.name}",
        lambda folder: places.told([interpreter, program, prepared.examples, folder, prepared.schema], env),
    )

    def command(each: Round) -> list[str]:
        sources = [f"--{split}={csv}/{split}.csv" for split in ("train", "eval")]
        given = [*sources, f"--schema={prepared.schema}", f"--module={steps.MODULE}", f"--out={each.folder}"]
        return [interpreter, str(places.PROGRAMS / "tft_csv.py"), *given]

    versions = places.versions(Path(interpreter), ["tensorflow-transform", "apache-beam"])
    return Ready(command, env, versions)


def _polars(rows: int) -> Ready:
    examples = _prepared(rows).examples
    interpreter = places.python(places.PEERS / "dataframes")
    program = str(places.PROGRAMS / "polars_features.py")
    return Ready(
        lambda each: [str(interpreter), program, str(examples), str(each.folder)],
        versions=places.versions(interpreter, ["polars"]),
    )


def _case(name: str, rows: int, peers: bool) -> Case:
    sides = [Side(OURS, lambda: _ours(rows), "Parquet to gzipped TFRecord.")]
    if peers:
        sides += [
            Side(TFX, lambda: _tfx(rows), "disable_statistics=True; the component alone, from TFRecord."),
            Side(
                f"{TFX}, statistics on",
                lambda: _tfx(rows, "--transform-statistics"),
                "As it comes: pre- and post-transform statistics too, work that isn't matched.",
            ),
            Side(STOCK, lambda: _stock(rows), "CsvTFXIO, FnApiRunner, gzipped TFRecord; the 13 columns of the schema."),
        ]
    sides.append(
        Side("polars", lambda: _polars(rows), "The same features to Parquet, no graph to serve: the physical limit.")
    )
    return Case(name, lambda: rows, sides)


def _cases(quick: bool) -> list[Case]:
    small, large = data.QUICK_SIZES if quick else ("0.34M", "3.4M")
    sizes = data.QUICK_SIZES if quick else data.SIZES
    return [_case(f"{small} rows", sizes[small], True), _case(f"{large} rows", sizes[large], False)]


def _verdicts(result: TableResult) -> list[Verdict]:
    ours = result.median("0.34M rows", OURS, "wall_s")
    verdicts = [
        at_least(
            f"0.34M rows: at least 4x as fast as {side}", quotient(result.median("0.34M rows", side, "wall_s"), ours), 4
        )
        for side in (TFX, STOCK)
    ]
    seconds, megabytes = (result.median("3.4M rows", OURS, measure) for measure in ("wall_s", "pss_mb"))
    return [
        *verdicts,
        at_most("3.4M rows: at most 25 s", seconds, 25, lambda value: f"{value:.1f} s"),
        at_most("3.4M rows: at most 1.3 GB", megabytes, 1300, lambda value: f"{value:,.0f} MB"),
    ]


TABLE = Table(
    name="transform",
    title="Transform",
    about=(
        "The preprocessing_fn of flights (z-scores, quantile buckets, vocabularies, hashes), analysed on two thirds of "
        "the rows and applied to all that have an arrival delay. Whole processes, imports included."
    ),
    ours=OURS,
    cases=_cases,
    verdicts=_verdicts,
)
