"""Whole pipelines: `pipeyard run` against TFX's LocalDagRunner."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data, places, steps
from benchmarks.measuring import STDOUT, FailedError
from benchmarks.results import TableResult, Verdict, at_most, equal_within_noise, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

OURS = "pipeyard run"
TFX = "TFX 1.16"
_PEER = places.PEERS / "tfx"
_FACTS = {"auc": "AUC", "accuracy": "BinaryAccuracy"}
# Differences of metrics that nobody would act on, where seeds happen to agree by more.
_METRIC_FLOOR = 0.002


@dataclass(frozen=True)
class _Pipeline:
    """What both sides are told of a pipeline."""

    name: str
    source: Callable[[], Path]
    epochs: int
    label: str
    raw_label: str
    slices: Sequence[str]
    sparse: Sequence[str] = ()
    null_values: str = steps.PARAMETERS["extract"]["null_values"]


def _ours(pipeline: _Pipeline) -> Ready:
    source = pipeline.source()
    for component in places.PROJECT.components.values():
        places.python(component.folder)

    def command(each: Round) -> list[str]:
        parameters = {
            "source": str(source),
            "serving_uri": f"{each.folder}/serving",
            "registry_uri": f"sqlite:///{each.folder}/registry.db",
            "seed": str(each.number + 1),
            "epochs": str(pipeline.epochs),
        }
        given = [f"--param={name}={value}" for name, value in parameters.items()]
        return [
            str(places.PIPEYARD), "run", pipeline.name, "--no-cache", "--json", f"--project={places.ROOT}", *given
        ]  # fmt: skip

    def facts(each: Round) -> dict[str, float]:
        run = places.ROOT / "runs" / json.loads((each.folder / STDOUT).read_text(encoding="utf-8"))["id"]
        (path,) = run.glob("tasks/**/evaluate/outputs/metrics")
        metrics = json.loads(path.read_text(encoding="utf-8"))
        pushed = any((each.folder / "serving").glob("**/saved_model.pb"))
        shutil.rmtree(run)
        if not pushed:
            raise FailedError("no model was pushed")
        return {"auc": metrics["AUC"], "accuracy": metrics["BinaryAccuracy"]}

    train = places.python(places.component("train"))
    return Ready(command, versions=places.versions(train, ["tensorflow-cpu", "keras"]), facts=facts)


def _tfx(pipeline: _Pipeline) -> Ready:
    interpreter = places.python(_PEER)
    source = steps.split_csv(steps.Prepared(pipeline.source(), steps.SPLIT, where="", null_values=pipeline.null_values))

    def command(each: Round) -> list[str]:
        arguments = {
            "data": source,
            "module": places.PROJECT.pipeline(pipeline.name) / "module.py",
            "root": each.folder / "root",
            "epochs": pipeline.epochs,
            "batch-rows": steps.BATCH_ROWS,
            "seed": each.number + 1,
            "label": pipeline.label,
            "raw-label": pipeline.raw_label,
            "slices": json.dumps(list(pipeline.slices)),
            "sparse": json.dumps(list(pipeline.sparse)),
            "least-auc": 0.7,
        }
        given = [f"--{name}={value}" for name, value in arguments.items()]
        return [str(interpreter), str(_PEER / "run_pipeline.py"), *given]

    def facts(each: Round) -> dict[str, float]:
        metrics = json.loads(
            places.told([interpreter, _PEER / "read_metrics.py", each.folder / "root"]).splitlines()[-1]
        )
        return {"auc": metrics["auc"], "accuracy": metrics["binary_accuracy"]}

    names = ["tfx", "apache-beam", "tensorflow", "keras", "tensorflow-transform", "tensorflow-model-analysis"]
    return Ready(command, versions=places.versions(interpreter, names), facts=facts)


def _case(pipeline: _Pipeline) -> Case:
    return Case(
        pipeline.name,
        lambda: data.count_rows(pipeline.source()),
        [
            Side(OURS, lambda: _ours(pipeline), "Evaluates six metrics and two plots, TFX two metrics; deploys, too."),
            Side(
                TFX,
                lambda: _tfx(pipeline),
                "Transform's own statistics are off, as Pipeyard computes none there; the transform table has both.",
            ),
        ],
    )


def _cases(quick: bool) -> list[Case]:
    rows = 60_000 if quick else data.ALL_FLIGHTS
    taxi = _Pipeline(
        "chicago_taxi", lambda: data.TAXI, 8, "big_tip", "tips", ["payment_type", "trip_start_day"], null_values='[""]'
    )
    flights = _Pipeline(
        "flights",
        lambda: data.arrived_flights(rows),
        steps.EPOCHS,
        steps.LABEL,
        "arr_delay",
        steps.SLICES,
        steps.SPARSE,
    )
    return [_case(taxi), _case(flights)]


def _verdicts(result: TableResult) -> list[Verdict]:
    verdicts = []
    for case, limit in (("chicago_taxi", 0.4), ("flights", 0.25)):
        wall, memory = (
            quotient(result.median(case, OURS, measure), result.median(case, TFX, measure))
            for measure in ("wall_s", "pss_mb")
        )
        verdicts.append(at_most(f"{case}: at most {limit} of TFX's wall", wall, limit))
        verdicts.append(at_most(f"{case}: peak memory no higher than TFX's (at most 1.00 of it)", memory, 1.0))
        for name, title in _FACTS.items():
            found = result.case(case)
            ours, theirs = (
                [each[name] for each in side.rounds if name in each] if found and (side := found.side(of)) else []
                for of in (OURS, TFX)
            )
            verdicts.append(equal_within_noise(f"{case}: {title} equal within noise", ours, theirs, _METRIC_FLOOR))
    return verdicts


TABLE = Table(
    name="whole_pipeline",
    title="Whole pipeline",
    about=(
        "From a CSV file to a pushed model, cold: no step comes from a cache. Pipeyard: extract, data_validation, "
        "transform, train, evaluate, deploy, summarize. TFX: CsvExampleGen, StatisticsGen, SchemaGen, "
        "ExampleValidator, Transform, Trainer, Evaluator, Pusher on LocalDagRunner, Beam in process as it comes. Both "
        "sides have the same rows in train and eval, 2:1 (TFX reads a CSV file of each), preprocessing_fn and "
        "build_model (the file of the pipeline), batch size, epochs, early stopping, AUC and BinaryAccuracy over the "
        "same slices; each repetition has a seed of its own."
    ),
    ours=OURS,
    cases=_cases,
    verdicts=_verdicts,
    facts=_FACTS,
)
