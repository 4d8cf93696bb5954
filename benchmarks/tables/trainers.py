"""Trees and a Keras model of the same flights: how good, how fast, how large; and train_trees against XGBoost alone."""

import functools
import json
from pathlib import Path
from typing import Any

from benchmarks import data, places, steps
from benchmarks.measuring import STDOUT
from benchmarks.results import TableResult, Verdict, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table
from benchmarks.tables import model_server

OURS = "train_trees"
KERAS = "train (Keras)"
XGBOOST = "xgboost alone"
_TREES = "500 trees"
_SERVED = "served"
_LEAVES = "every row's leaves"
_SMALL, _LARGE = "on disk, 0.34M rows", "on disk, 3.4M rows"
_MB = 1e6
_COMPONENTS = {OURS: "train_trees", KERAS: "train"}
_PROBABILITIES, _REGRESSIONS = ("binary:logistic", "multi:softprob"), ("reg:squarederror",)


def _prepared(rows: int) -> steps.Prepared:
    return steps.Prepared(data.flights(rows), steps.SPLIT)


def _inputs(component: str, transformed: Path, graph: Path) -> dict[str, str]:
    given = {**steps.PARAMETERS[component], "transformed_examples": str(transformed), "transform_graph": str(graph)}
    # Both are at their defaults: 5 epochs or 300 rounds, or fewer by early stopping.
    return {name: value for name, value in given.items() if name != "epochs"}


def _ready(component: str, command: Any, facts: Any) -> Ready:
    interpreter = places.python(places.component(component))
    library = "xgboost-cpu" if component == OURS else "keras"
    versions = places.versions(interpreter, ["tensorflow-cpu", library])
    return Ready(command, places.component_env(component), versions, facts)


def _step(side: str, rows: int) -> Ready:
    prepared, component = _prepared(rows), _COMPONENTS[side]
    inputs = _inputs(component, prepared.transformed, prepared.graph)

    def facts(each: Round) -> dict[str, float]:
        best = json.loads((each.folder / "metrics").read_text(encoding="utf-8"))["best"]
        size = sum(path.stat().st_size for path in (each.folder / "model").rglob("*") if path.is_file())
        return {"auc": best["val_auc"], "loss": best["val_loss"], "model_mb": size / _MB}

    return _ready(component, lambda each: steps.command(component, inputs, each.folder), facts)


def _served(side: str, rows: int, seconds: float) -> Ready:
    prepared, component = _prepared(rows), _COMPONENTS[side]

    def train(folder: Path) -> None:
        inputs = _inputs(component, prepared.transformed, prepared.graph)
        places.told(steps.command(component, inputs, folder), places.component_env(component))

    source = places.PROJECT.components[component].source_digest[:16]
    folder = steps.once(f"trainers-{component}-{source}-{prepared.transformed.parent.name}", train)
    return model_server.server(model_server.OURS, seconds, folder / "model")


def _program(feed: str, rows: int, rounds: int, times: int = 1) -> Ready:
    prepared = _prepared(rows)
    given = _inputs(OURS, steps.repeated(prepared.transformed, times), prepared.graph)
    given |= {"rounds": str(rounds), "early_stopping_patience": "0"}
    program = str(places.PROGRAMS / "tree_training.py")

    def command(each: Round) -> list[str]:
        interpreter, _, _, *flags = steps.command(OURS, given, each.folder)
        return [interpreter, program, feed, *flags]

    return _ready(OURS, command, _printed)


def _printed(each: Round) -> dict[str, float]:
    found: dict[str, float] = json.loads((each.folder / STDOUT).read_text(encoding="utf-8").splitlines()[-1])
    return found


def _leaves(rows: int, rounds: int) -> Ready:
    source = data.flights(rows)
    program = [str(places.PROGRAMS / "tree_leaves.py"), str(source), f"--rounds={rounds}"]
    program += [f"--objective={name}" for name in (*_PROBABILITIES, *_REGRESSIONS)]
    interpreter = str(places.python(places.component(OURS)))

    def facts(each: Round) -> dict[str, float]:
        found = json.loads((each.folder / STDOUT).read_text(encoding="utf-8").splitlines()[-1])
        return {
            "other_leaves": sum(one["other_leaves"] for one in found.values()),
            "probability_error": max(found[name]["error"] for name in _PROBABILITIES),
            "regression_error": max(found[name]["error"] for name in _REGRESSIONS),
        }

    return _ready(OURS, lambda each: [interpreter, *program], facts)


def _cases(quick: bool) -> list[Case]:
    rows, seconds, rounds = (20_000, 1.0, 20) if quick else (data.ALL_FLIGHTS, 3.0, 500)
    times, few = (3, 5) if quick else (10, 10)

    def both(prepare: Any, *given: Any) -> list[Side]:
        return [Side(side, functools.partial(prepare, side, *given)) for side in (OURS, KERAS)]

    alone = "From arrays in a file; the same matrices, parameters and learning curves."
    return [
        Case("flights", lambda: rows, both(_step, rows)),
        Case(_SERVED, lambda: rows, both(_served, rows, seconds)),
        Case(
            _TREES,
            lambda: rows,
            [
                Side(OURS, functools.partial(_program, "step", rows, rounds), "From its flags to all outputs."),
                Side(XGBOOST, functools.partial(_program, "xgboost", rows, rounds), alone),
            ],
        ),
        Case(_SMALL, lambda: rows, [Side(OURS, functools.partial(_program, "disk", rows, few))]),
        Case(_LARGE, lambda: rows * times, [Side(OURS, functools.partial(_program, "disk", rows, few, times))]),
        Case(_LEAVES, lambda: rows, [Side(OURS, functools.partial(_leaves, rows, 20))]),
    ]


def _small(value: float) -> str:
    return f"{value:.2g}"


def _verdicts(result: TableResult) -> list[Verdict]:
    ours, alone = (result.median(_TREES, side, "train_s") for side in (OURS, XGBOOST))
    large, small = (result.median(case, OURS, "pss_mb") for case in (_LARGE, _SMALL))
    leaves, probability, regression = (
        result.median(_LEAVES, OURS, fact) for fact in ("other_leaves", "probability_error", "regression_error")
    )
    return [
        at_most(f"{_TREES}: at most 1.3x the seconds of XGBoost alone", quotient(ours, alone), 1.3),
        at_most("ten times the rows on disk: at most 1.3x the memory", quotient(large, small), 1.3),
        at_most("leaves that aren't XGBoost's, of all flights: none", leaves, 0, lambda value: f"{value:.0f}"),
        at_most("probabilities within 1e-6 of XGBoost's", probability, 1e-6, _small),
        at_most("regressions within 1e-5 of XGBoost's, relative", regression, 1e-5, _small),
    ]


TABLE = Table(
    name="trainers",
    title="Trees beside Keras",
    about=(
        "Two models of the flights pipeline's features: train_trees' and train's, each with the defaults of "
        "the component and of the module. AUC and loss are of the eval split, at the best round or epoch (Keras' AUC "
        "by 200 thresholds). Both SavedModels are then asked by the model server, one row a request and 256. Seconds "
        "of 500 trees are without imports. Splits that are taken for larger than memory's share are read from disk: "
        "the larger one has each file ten times. Leaves are of trees on the raw columns, of a task each."
    ),
    ours=OURS,
    cases=_cases,
    verdicts=_verdicts,
    facts={
        "auc": "AUC",
        "loss": "log loss",
        "model_mb": "model, MB",
        "p50_ms": "p50, ms",
        "rate_8": "requests/s, 8 clients",
        "batch_rows_s": "rows/s, 256 a request",
        "train_s": "training, s",
        "other_leaves": "other leaves",
        "probability_error": "probability apart",
        "regression_error": "regression apart",
    },
)
