"""Run folders as the local runner leaves them, small, for tests of what reads them."""

import hashlib
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeyard.runs.record import Artifact, Attempt, Run, State, Task

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
MODULE = '"""Chicago taxi."""\n\nimport tensorflow as tf\n\n\ndef preprocessing_fn(inputs):\n    return inputs\n' * 8
DATA_IS_VALID = "data-validation.valid == true"
IS_BLESSED = "evaluate.blessed == true"
BLESSED = "every threshold is met: AUC 0.9112 >= 0.7"
NOT_BLESSED = "AUC 0.9112 is below 0.99"


def page(title: str, body: str) -> str:
    """Returns a component's report: styled, with charts as SVG, without a script."""
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title><style>body{{font:14px/1.45 "
        "system-ui,sans-serif;color:#1f2933;margin:0 auto;max-width:1100px;padding:1rem}h1{font-size:1.3rem}table{"
        "border-collapse:collapse}td,th{padding:.2rem .7rem;border-bottom:1px solid #e4e7eb;text-align:left}</style>"
        f"</head><body><h1>{title}</h1>{body}</body></html>"
    )


def curve(points: list[tuple[float, float]]) -> str:
    """Returns a line chart; coordinates in [0, 1]."""
    line = " ".join(f"{20 + 380 * x:.1f},{190 - 170 * y:.1f}" for x, y in points)
    return (
        '<svg width="420" height="210"><rect x="20" y="20" width="380" height="170" fill="none" stroke="#cbd2d9"/>'
        f'<polyline fill="none" stroke="#2563eb" stroke-width="2" points="{line}"/></svg>'
    )


STATISTICS = page(
    "Data validation",
    "<h2>Anomalies</h2><p>None.</p><h2>Statistics</h2><table><tr><th>Feature<th>Type<th>Missing<th>Mean<th>Distribution"
    + "".join(
        f"<tr><td>feature_{i}<td>FLOAT<td>{i / 10:.1f}%<td>{i * 1.7:.2f}<td>{curve([(0, 0.1), (1, 0.9)])}"
        for i in range(4)
    )
    + "</table>",
)
CURVES = page("Learning curves", curve([(i / 20, math.exp(-i / 5)) for i in range(21)]))
EVALUATION = page("Evaluation", "<table><tr><th>Slice<th>AUC<tr><td>payment_type = Cash<td>0.62</table>")
SUMMARY = "## Run summary\n\n| | |\n|---|---|\n| state | SUCCEEDED |\n| deployed | **version 3** |\n"


class RunFolder:
    """Builds the record and the files of a run task by task; each starts when the one before it ended."""

    def __init__(self, folder: Path, start: datetime = START, pipeline: str = "chicago-taxi") -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.clock = start
        self.run = Run(
            id=folder.name,
            pipeline=pipeline,
            started_at=start,
            parameters={
                "source": "pipelines/chicago_taxi/data/data.csv",
                "epochs": 8,
                "thresholds": {"AUC": {"lower": 0.7, "min_change": -0.01}},
                "schema_text": 'feature {\n  name: "fare"\n  type: FLOAT\n}\n' * 12,
                "where": "",
            },
            pipeline_digest="sha256:" + "5e" * 32,
            commit="e64a169c0ffee-dirty",
            versions={"pipeyard": "0.1.0", "kfp": "2.17.0", "python": "3.11.7", "platform": "linux-x86_64"},
        )

    def task(
        self,
        component: str,
        seconds: float,
        after: tuple[str, ...] = (),
        state: State = State.SUCCEEDED,
        parameters: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
        **more: Any,
    ) -> Task:
        """Adds a task that ran; its log is that of a step that went well."""
        name = component.replace("_", "-")
        started = self.clock
        self.clock += timedelta(seconds=seconds)
        log = self.folder / name / "attempt-1.log"
        log.parent.mkdir()
        log.write_text("".join(f"{component}: line {number} of its log\n" for number in range(60)), encoding="utf-8")
        cached = state is State.CACHED
        task = Task(
            path=name,
            name=name,
            component=component,
            state=state,
            upstream=list(after),
            image=f"pipeyard/{component}:dev",
            source_digest="sha256:" + "ab" * 32,
            cache_key="sha256:" + "cd" * 32,
            started_at=started,
            ended_at=self.clock,
            parameters=parameters or {},
            output_parameters=outputs or {},
            attempts=[]
            if cached
            else [
                Attempt(
                    number=1,
                    log=f"{name}/attempt-1.log",
                    started_at=started,
                    ended_at=self.clock,
                    exit_code=int(state is State.FAILED),
                    error=more.get("reason", ""),
                )
            ],
            **more,
        )
        self.run.tasks.append(task)
        return task

    def skip(self, component: str, condition: str, reason: str, after: tuple[str, ...] = ()) -> Task:
        """Adds a task that didn't run."""
        name = component.replace("_", "-")
        task = Task(
            path=name, name=name, component=component, state=State.SKIPPED, condition=condition, reason=reason,
            upstream=list(after),
        )  # fmt: skip
        self.run.tasks.append(task)
        return task

    def artifact(
        self, task: Task, name: str, kind: str, content: str | dict[str, Any] = "", meaning: str = "", **metadata: Any
    ) -> Artifact:
        """Writes an output artifact of one file."""
        text = content if isinstance(content, str) else json.dumps(content)
        path = self.folder / task.name / name
        path.write_text(text, encoding="utf-8")
        artifact = Artifact(
            name=name,
            type=f"system.{kind}",
            meaning=meaning,
            uri=str(path),
            digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
            bytes=len(text),
            metadata=metadata,
        )
        task.output_artifacts[name] = artifact
        return artifact

    def end(self, state: State, error: str = "") -> Path:
        """Writes the record."""
        self.run.state = state
        self.run.error = error
        self.run.ended_at = self.clock + timedelta(seconds=0.2)
        self.run.save(self.folder)
        return self.folder


def _data(run: RunFolder, valid: bool = True) -> None:
    extract = run.task(
        "extract", 2.31, parameters={"source": "pipelines/chicago_taxi/data/data.csv", "split_by": "hash"},
        outputs={"row_count": 15002},
    )  # fmt: skip
    examples = run.artifact(extract, "examples", "Dataset", "rows", "Examples")
    manifest = {"rows": 15002, "splits": {"train": {"rows": 10011}, "eval": {"rows": 4991}}, "source": "data.csv"}
    run.artifact(extract, "manifest", "Artifact", manifest, "ExamplesManifest")
    validation = run.task(
        "data_validation", 6.87, after=("extract",), parameters={"schema_text": MODULE, "on_anomaly": "warn"},
        outputs={"valid": valid, "anomaly_count": 0 if valid else 2, "drift_detected": False},
    )  # fmt: skip
    validation.input_artifacts["examples"] = examples
    run.artifact(validation, "statistics", "Artifact", "binary", "ExampleStatistics")
    run.artifact(validation, "report", "HTML", STATISTICS, "Report")


def _training(run: RunFolder) -> None:
    transform = run.task("transform", 11.4, after=("extract", "data-validation"), parameters={"module": MODULE})
    transform.condition = DATA_IS_VALID
    run.artifact(transform, "transform_graph", "Artifact", "graph", "TransformGraph")
    train = run.task(
        "train", 21.9, after=("transform",), condition=DATA_IS_VALID,
        parameters={"module": MODULE, "epochs": 8, "label_key": "big_tip", "hyperparameters": {}},
    )  # fmt: skip
    run.artifact(train, "model", "Model", "saved model", "SavedModel")
    run.artifact(train, "report", "HTML", CURVES, "Report")
    run.artifact(train, "metrics", "Metrics", "{}", "TrainingMetrics", loss=0.231, val_loss=0.249, epochs=8)
    run.artifact(train, "best_hyperparameters", "Artifact", {"learning_rate": 0.002, "hidden_units": [64, 32]})


def _evaluation(run: RunFolder, blessed: bool, auc: float = 0.9112) -> None:
    evaluate = run.task(
        "evaluate", 9.05, after=("extract", "data-validation", "train"), condition=DATA_IS_VALID,
        outputs={"blessed": blessed, "reason": BLESSED if blessed else NOT_BLESSED, "baseline_version": 2},
    )  # fmt: skip
    overall = {"AUC": auc, "BinaryAccuracy": 0.8712, "BinaryCrossentropy": 0.2875, "ExampleCount": 4991}
    baseline = {"AUC": 0.9034, "BinaryAccuracy": 0.8701, "ExampleCount": 4991}
    shown = overall | {f"baseline_{name}": value for name, value in baseline.items()}
    run.artifact(evaluate, "metrics", "Metrics", {**overall, "baseline": baseline}, "EvaluationMetrics", **shown)
    rates = [i / 60 for i in range(61)]
    run.artifact(
        evaluate, "classification_metrics", "ClassificationMetrics", "{}", "ClassificationMetrics",
        confidenceMetrics=[
            {"confidenceThreshold": 1 - x, "recall": x ** 0.22, "falsePositiveRate": x} for x in rates
        ],
        confusionMatrix={
            "annotationSpecs": [{"displayName": "small tip"}, {"displayName": "big tip"}],
            "rows": [{"row": [3547, 301]}, {"row": [342, 801]}],
        },
    )  # fmt: skip
    run.artifact(evaluate, "report", "HTML", EVALUATION, "Report")


def _summary(run: RunFolder, outcome: str, text: str = SUMMARY) -> None:
    after = tuple(task.path for task in run.run.tasks)
    summary = run.task("summarize", 0.35, after=after, outputs={"outcome": outcome})
    run.artifact(summary, "summary", "Markdown", text, "RunSummary")


def succeeded(folder: Path, change: Callable[[RunFolder], None] = lambda _: None, **more: Any) -> Path:
    """Everything went well, and version 3 was pushed; `change` may alter the record before it is written."""
    auc = more.pop("auc", 0.9112)
    run = RunFolder(folder, **more)
    _data(run)
    _training(run)
    _evaluation(run, blessed=True, auc=auc)
    deploy = run.task(
        "deploy", 5.2, after=("extract", "data-validation", "train", "evaluate"), condition=IS_BLESSED,
        parameters={"model_name": "chicago_taxi", "run_id": folder.name, "alias": "champion"},
        outputs={"pushed_uri": "serving/chicago_taxi/3", "version": 3},
    )  # fmt: skip
    pushed = {"name": "chicago_taxi", "version": 3, "uri": "serving/chicago_taxi/3", "alias": "champion"}
    run.artifact(deploy, "pushed_model", "Artifact", pushed, "PushedModel")
    _summary(run, "deployed")
    change(run)
    return run.end(State.SUCCEEDED)


def unblessed(folder: Path, **more: Any) -> Path:
    """The model missed a threshold; data steps came from the cache."""
    run = RunFolder(folder, **more)
    _data(run)
    for task in run.run.tasks:
        task.state, task.cached_from, task.attempts = State.CACHED, "20260301-earlier", []
    _training(run)
    _evaluation(run, blessed=False)
    run.skip("deploy", IS_BLESSED, f"not so: {IS_BLESSED}", after=("evaluate",))
    _summary(run, "not deployed", "Not deployed.")
    return run.end(State.SUCCEEDED)


def invalid(folder: Path, **more: Any) -> Path:
    """The data has anomalies: everything behind validation was skipped."""
    run = RunFolder(folder, **more)
    _data(run, valid=False)
    for component in ("transform", "train", "evaluate", "deploy"):
        condition = IS_BLESSED if component == "deploy" else DATA_IS_VALID
        run.skip(component, condition, f"not so: {DATA_IS_VALID}", after=("data-validation",))
    _summary(run, "not deployed", "Not deployed.")
    return run.end(State.SUCCEEDED)


def failed(folder: Path, **more: Any) -> Path:
    """Training failed at its second attempt; what depends on it was skipped."""
    run = RunFolder(folder, **more)
    _data(run)
    transform = run.task("transform", 11.4, after=("extract", "data-validation"), parameters={"module": MODULE})
    transform.condition = DATA_IS_VALID
    said = "train: the module has no build_model(transform, hyperparameters). Add it, or name the right module."
    reason = f"it ended with code 1; it last said:\nLoading the module\n{said}"
    train = run.task("train", 8.0, after=("transform",), state=State.FAILED, condition=DATA_IS_VALID, reason=reason)
    (run.folder / "train" / "attempt-1.log").write_text("Loading the module\n" * 100 + said + "\n", encoding="utf-8")
    second = train.attempts[0].model_copy(update={"number": 2, "started_at": run.clock - timedelta(seconds=3)})
    first = train.attempts[0].model_copy(update={"ended_at": run.clock - timedelta(seconds=5)})
    train.attempts = [first, second]
    run.skip("evaluate", DATA_IS_VALID, "train did not succeed", after=("extract", "train"))
    run.skip("deploy", IS_BLESSED, "train did not succeed", after=("train", "evaluate"))
    _summary(run, "failed", "Failed at `train`.")
    return run.end(State.FAILED, error=f"train: {reason}")
