"""A table of many sparse columns: what each step takes, and the whole pipeline."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from benchmarks import data, places, steps
from benchmarks.measuring import STDOUT, FailedError
from benchmarks.results import TableResult, Verdict, at_most
from benchmarks.table import Case, Ready, Round, Side, Table

WHOLE = "pipeyard run"
COLUMNS, ROWS = 1_000, 10_000
CASE = f"{COLUMNS:,} columns x {ROWS:,} rows"
MOST_SECONDS = 120.0
MOST_REPORT_MB = 1.0
_SMALL = (60, 2_000)
_LABEL = "clicked"
_FOLDER = places.HERE / "pipelines" / "wide"
_MODULE = _FOLDER / "module.py"
_PROJECT_LINKS = ("components", "libs", "build")


def _parameters() -> dict[str, dict[str, str]]:
    """Returns component to what the pipeline gives it."""
    module = _MODULE.read_text(encoding="utf-8")
    return {
        "data_validation": {"label_key": _LABEL},
        "transform": {"module": module},
        "train": {"module": module, "label_key": _LABEL},
        "evaluate": {"label_key": _LABEL, "eval_split": "test", "thresholds": '{"AUC": {"lower": 0.6}}'},
    }


def _prepared(columns: int, rows: int) -> steps.Prepared:
    splits = next(
        each["default"]
        for each in places.PROJECT.components["extract"].spec["inputs"]
        if each["name"] == "splits"
    )  # fmt: skip
    return steps.Prepared(data.wide(columns, rows), splits, where="", null_values='[""]', parameters=_parameters())


def _inputs(step: str, columns: int, rows: int) -> dict[str, str]:
    prepared, given = _prepared(columns, rows), _parameters()
    if step == "extract":
        return {"source": str(prepared.source)}
    if step == "train":
        transformed = {"transformed_examples": str(prepared.transformed), "transform_graph": str(prepared.graph)}
        return given[step] | transformed
    inputs = given.get(step, {}) | {"examples": str(prepared.examples)}
    if step == "transform":
        inputs |= {"schema": str(prepared.schema)}
    if step in ("evaluate", "deploy"):
        inputs |= {"schema": str(prepared.raw_schema), "model": str(prepared.model)}
    if step == "deploy":
        metrics = steps.once(
            f"metrics-{prepared.model.parent.name}",
            lambda folder: (folder / "metrics.json").write_text("{}", encoding="utf-8"),
        )
        inputs |= {"metrics": str(metrics / "metrics.json"), "statistics": str(prepared.validated / "statistics")}
    return inputs


def _step(step: str, columns: int, rows: int) -> Ready:
    inputs = _inputs(step, columns, rows)
    places.python(places.component(step))

    def command(each: Round) -> list[str]:
        if step != "deploy":
            return steps.command(step, inputs, each.folder)
        places_of_round = {
            "serving_uri": str(each.folder / "serving"),
            "registry_uri": f"sqlite:///{each.folder}/registry.db",
            "model_name": "wide",
        }
        return steps.command(step, inputs | places_of_round, each.folder)

    def facts(each: Round) -> dict[str, float]:
        return _largest_report(each.folder)

    return Ready(command, places.component_env(step), facts=facts)


def _largest_report(folder: Path) -> dict[str, float]:
    sizes = [path.stat().st_size for path in folder.rglob("report") if path.is_file()]
    return {"report_mb": max(sizes) / 1e6} if sizes else {}


def _project() -> Path:
    """Returns a project that has the pipeline beside this repository's components."""

    def make(folder: Path) -> None:
        for name in _PROJECT_LINKS:
            (folder / name).symlink_to(places.ROOT / name)
        shutil.copytree(_FOLDER, folder / "pipelines" / "wide", ignore=shutil.ignore_patterns("__pycache__"))
        local = {"target": "local", "pipeline_root": "${PROJECT_ROOT}/runs", "pipelines": {"wide": {}}}
        (folder / "settings.yaml").write_text(yaml.safe_dump({"environments": {"local": local}}), encoding="utf-8")

    return steps.once(f"wide-project-{steps.digest_of(_FOLDER)}", make)


def _whole(columns: int, rows: int) -> Ready:
    source, project = data.wide(columns, rows), _project()
    for component in places.PROJECT.components.values():
        places.python(component.folder)

    def command(each: Round) -> list[str]:
        shutil.rmtree(project / "runs", ignore_errors=True)  # what the checks remember, too
        parameters = {
            "source": source,
            "serving_uri": each.folder / "serving",
            "registry_uri": f"sqlite:///{each.folder}/registry.db",
        }
        given = [f"--param={name}={value}" for name, value in parameters.items()]
        return [str(places.PIPEYARD), "run", "wide", "--no-cache", "--json", f"--project={project}", *given]

    def facts(each: Round) -> dict[str, float]:
        run = project / "runs" / json.loads((each.folder / STDOUT).read_text(encoding="utf-8"))["id"]
        found = _largest_report(run)
        pushed = any((each.folder / "serving").glob("**/saved_model.pb"))
        shutil.rmtree(run)
        if not pushed:
            raise FailedError("no model was pushed")
        return found

    train = places.python(places.component("train"))
    return Ready(command, versions=places.versions(train, ["tensorflow-cpu", "keras"]), facts=facts)


def _cases(quick: bool) -> list[Case]:
    columns, rows = _SMALL if quick else (COLUMNS, ROWS)
    sides = [Side(WHOLE, lambda: _whole(columns, rows), "All seven steps, with the checks before the run.")]
    made: list[tuple[str, Callable[[], Ready]]] = [
        (step, functools.partial(_step, step, columns, rows))
        for step in ("extract", "data_validation", "transform", "train", "evaluate", "deploy")
    ]
    sides += [Side(step, prepare) for step, prepare in made]
    return [Case(f"{columns:,} columns x {rows:,} rows", lambda: rows, sides)]


def _verdicts(result: TableResult) -> list[Verdict]:
    seconds, report = (result.median(CASE, WHOLE, measure) for measure in ("wall_s", "report_mb"))
    return [
        at_most(f"{CASE}: under 2 minutes", seconds, MOST_SECONDS, lambda value: f"{value:.1f} s"),
        at_most(f"{CASE}: every report under 1 MB", report, MOST_REPORT_MB, lambda value: f"{value:.2f} MB"),
    ]


TABLE = Table(
    name="wide_table",
    title="Wide table",
    about=(
        "A generated table of 1,000 numeric columns, of which a tenth of the values is there, and a label. Its "
        "preprocessing_fn fills and z-scores each column by itself, its model takes all of them; there is no schema. "
        "The whole pipeline from CSV to a pushed model, cold, and each of its steps alone."
    ),
    ours=WHOLE,
    cases=_cases,
    verdicts=_verdicts,
    facts={"report_mb": "report, MB"},
)
