"""The evaluate step against TFMA's own run_model_analysis."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data, places, steps
from benchmarks.results import TableResult, Verdict, at_least, at_most, quotient
from benchmarks.table import Case, Ready, Round, Side, Table

OURS = "evaluate"
PLAIN = "tfma.run_model_analysis"
_SIZE = "0.34M"
_SPLIT = "train"  # steps.WHOLE has all rows in it


@dataclass(frozen=True)
class _Model:
    """A model that is evaluated.

    Attributes:
        name: of its cases.
        metrics: `--metrics-config`: of TFMA's own.
        threshold: JSON of one.
        parameters: component to its inputs.
    """

    name: str
    metrics: Sequence[object]
    threshold: str
    parameters: Mapping[str, Mapping[str, str]]

    @property
    def label(self) -> str:
        """The transformed feature that it predicts."""
        return self.parameters["train"]["label_key"]


def _parameters(module: Path, schema: Path, label: str) -> dict[str, Mapping[str, str]]:
    source = module.read_text(encoding="utf-8")
    found: dict[str, Mapping[str, str]] = {
        **steps.PARAMETERS,
        "data_validation": {"schema_text": schema.read_text(encoding="utf-8"), "slices": '["origin"]'},
        "transform": {"module": source},
        "train": steps.PARAMETERS["train"] | {"module": source, "label_key": label},
        "evaluate": {"label_key": label, "slices": steps.PARAMETERS["evaluate"]["slices"]},
    }
    return found


_DELAYS = places.PROJECT.pipeline("flight_delays")
_MODELS = (
    _Model(
        "",
        ("AUC", "BinaryAccuracy", "BinaryCrossentropy", "Precision", "Recall", "ExampleCount"),
        '{"AUC": {"lower": 0.7}}',
        steps.PARAMETERS,
    ),
    _Model(
        "regression",
        (
            "RootMeanSquaredError",
            "LogCoshError",
            "SquaredPearsonCorrelation",
            "MeanLabel",
            "MeanPrediction",
            "ExampleCount",
        ),
        '{"RootMeanSquaredError": {"upper": 40}}',
        _parameters(_DELAYS / "module.py", _DELAYS / "schema.pbtxt", "minutes_late"),
    ),
    _Model(
        "10 classes",
        (
            "SparseCategoricalAccuracy",
            "SparseCategoricalCrossentropy",
            {"class_name": "AUC", "aggregate": "macro"},
            {"class_name": "F1Score", "aggregate": "macro"},
            {"class_name": "Precision", "top_k": [1, 3]},
            "ExampleCount",
        ),
        '{"SparseCategoricalAccuracy": {"lower": 0.15}}',
        _parameters(places.PROGRAMS / "ten_classes.py", _DELAYS / "schema.pbtxt", "range"),
    ),
)


def _inputs(rows: int, model: _Model) -> dict[str, str]:
    prepared = steps.Prepared(data.flights(rows), steps.WHOLE)
    trained = steps.Prepared(data.flights(rows), steps.SPLIT, parameters=model.parameters)
    return {
        **model.parameters["evaluate"],
        "examples": str(prepared.examples),
        "schema": str(trained.schema),
        "model": str(trained.model),
        "eval_split": _SPLIT,
        "metrics_config": json.dumps(model.metrics),
        "thresholds": model.threshold,
    }


def _ours(rows: int, model: _Model) -> Ready:
    inputs = _inputs(rows, model)
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


def _plain(rows: int, model: _Model) -> Ready:
    inputs = _inputs(rows, model)
    interpreter = str(places.python(places.component("evaluate")))
    env = places.component_env("evaluate")
    program = places.PROGRAMS / "examples_to_tfrecord.py"
    examples, schema, exported = inputs["examples"], inputs["schema"], inputs["model"]
    records = steps.once(
        f"tfrecord-{Path(examples).parent.name}-{Path(exported).parent.name}",
        lambda folder: places.told(
            [interpreter, program, examples, schema, _SPLIT, exported, model.label, folder / "examples.tfrecord"], env
        ),
    )
    given = {
        "data": records / "examples.tfrecord",
        "model": exported,
        "label-key": model.label,
        "metrics": inputs["metrics_config"],
        "thresholds": inputs["thresholds"],
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


def _case(rows: int, model: _Model, name: str) -> Case:
    sides = [
        Side(OURS, lambda: _ours(rows, model), "Writes the report and KFP's metrics, too."),
        Side(PLAIN, lambda: _plain(rows, model), "FnApiRunner, in process; its input is TFRecord, with labels."),
    ]
    return Case(name, lambda: data.count_rows(data.arrived_flights(rows)), sides)


def _named(size: str, model: _Model) -> str:
    return f"{size} rows" + (f", {model.name}" if model.name else "")


def _cases(quick: bool) -> list[Case]:
    size, rows = ("20k", 20_000) if quick else (_SIZE, data.ALL_FLIGHTS)
    return [_case(rows, model, _named(size, model)) for model in _MODELS]


def _verdicts(result: TableResult) -> list[Verdict]:
    verdicts = []
    for case in (_named(_SIZE, model) for model in _MODELS):
        ours, plain = (result.median(case, side, "wall_s") for side in (OURS, PLAIN))
        difference = result.median(case, PLAIN, "max_difference")
        missing = result.median(case, PLAIN, "values_missing")
        verdicts += [
            at_least(f"{case}: at least 12x as fast as {PLAIN}", quotient(plain, ours), 12),
            at_most(f"{case}: every metric of every slice within 1e-4", difference, 1e-4, lambda value: f"{value:.1e}"),
            at_most(f"{case}: no metric or slice that only one side has", missing, 0, lambda value: f"{value:.0f}"),
        ]
    return verdicts


TABLE = Table(
    name="evaluate",
    title="Evaluate",
    about=(
        "Six metrics and the plots of a model, over all flights that have an arrival delay, with slices by carrier and "
        "origin, and a threshold: of flights (binary), of flight_delays (regression), and of one of ten ranges of the "
        "delay. Same model, rows and configuration. Whole processes, imports included."
    ),
    ours=OURS,
    cases=_cases,
    verdicts=_verdicts,
    facts={"max_difference": "largest difference"},
)
