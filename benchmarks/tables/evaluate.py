"""The evaluate step against TFMA's own run_model_analysis."""

import json
import shutil
from pathlib import Path

from benchmarks import data, places, steps
from benchmarks.results import TableResult, Verdict, at_least, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

OURS = "evaluate"
PLAIN = "tfma.run_model_analysis"
_SPLIT = "train"  # steps.WHOLE has all rows in it
_THRESHOLDS = '{"AUC": {"lower": 0.7}}'


def _inputs(rows: int) -> dict[str, str]:
    prepared = steps.Prepared(data.flights(rows), steps.WHOLE)
    trained = steps.Prepared(data.flights(rows), steps.SPLIT)
    return steps.PARAMETERS["evaluate"] | {
        "examples": str(prepared.examples),
        "schema": str(trained.schema),
        "model": str(trained.model),
        "eval_split": _SPLIT,
        "thresholds": _THRESHOLDS,
    }


def _ours(rows: int) -> Ready:
    inputs = _inputs(rows)
    interpreter = places.python(places.component("evaluate"))

    def facts(each: Round) -> dict[str, float]:
        shutil.copytree(each.folder / "evaluation", each.shared / "ours", dirs_exist_ok=True)
        return {}

    return Ready(
        lambda each: steps.command("evaluate", inputs, each.folder),
        places.component_env("evaluate"),
        places.versions(interpreter, ["tensorflow-model-analysis", "tensorflow-cpu"]),
        facts,
    )


def _plain(rows: int) -> Ready:
    inputs = _inputs(rows)
    interpreter = str(places.python(places.component("evaluate")))
    env = places.component_env("evaluate")
    program = places.PROGRAMS / "examples_to_tfrecord.py"
    examples, schema, model = inputs["examples"], inputs["schema"], inputs["model"]
    records = steps.once(
        f"tfrecord-{Path(examples).parent.name}-{Path(model).parent.name}",
        lambda folder: places.told(
            [interpreter, program, examples, schema, _SPLIT, model, steps.LABEL, folder / "examples.tfrecord"], env
        ),
    )
    spec = {each["name"]: each for each in places.PROJECT.components["evaluate"].spec["inputs"]}
    given = {
        "data": records / "examples.tfrecord",
        "model": model,
        "label-key": steps.LABEL,
        "metrics": spec["metrics_config"]["default"],
        "thresholds": _THRESHOLDS,
        "slices": inputs["slices"],
    }

    def command(each: Round) -> list[str]:
        arguments = [f"--{name}={value}" for name, value in given.items()]
        return [interpreter, str(places.PROGRAMS / "tfma_plain.py"), *arguments, f"--out={each.folder}/evaluation"]

    def facts(each: Round) -> dict[str, float]:
        if not (each.shared / "ours").is_dir():
            return {}
        program = places.PROGRAMS / "compare_evaluations.py"
        told = places.told([interpreter, program, each.shared / "ours", each.folder / "evaluation"], env)
        return json.loads(told.splitlines()[-1])

    return Ready(command, env, places.versions(Path(interpreter), ["tensorflow-model-analysis"]), facts)


def _cases(quick: bool) -> list[Case]:
    rows = 20_000 if quick else data.ALL_FLIGHTS
    sides = [
        Side(OURS, lambda: _ours(rows), "Writes the report and KFP's metrics, too."),
        Side(PLAIN, lambda: _plain(rows), "FnApiRunner, in process; its input is TFRecord, with labels."),
    ]
    return [Case("20k rows" if quick else "0.34M rows", lambda: data.count_rows(data.arrived_flights(rows)), sides)]


def _verdicts(result: TableResult) -> list[Verdict]:
    case = "0.34M rows"
    ours, plain = (result.median(case, side, "wall_s") for side in (OURS, PLAIN))
    difference = result.median(case, PLAIN, "max_difference")
    missing = result.median(case, PLAIN, "values_missing")
    return [
        at_least(f"{case}: at least 12x as fast as {PLAIN}", quotient(plain, ours), 12),
        at_most(f"{case}: every metric of every slice within 1e-4", difference, 1e-4, lambda value: f"{value:.1e}"),
        at_most(f"{case}: no metric or slice that only one side has", missing, 0, lambda value: f"{value:.0f}"),
    ]


TABLE = Table(
    name="evaluate",
    title="Evaluate",
    about=(
        "Six metrics and two plots of the flights model, over all rows that have an arrival delay, with slices by "
        "carrier and origin, and a threshold. Same model, rows and configuration. Whole processes, imports included."
    ),
    ours=OURS,
    cases=_cases,
    verdicts=_verdicts,
    facts={"max_difference": "largest difference"},
)
