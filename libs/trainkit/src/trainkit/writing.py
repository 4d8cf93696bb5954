"""A trainer's outputs, which appear all at once."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepkit.outputs import Outputs
from trainkit import export, outcome
from trainkit.course import Course
from trainkit.labels import Target
from trainkit.scorer import Scorer
from trainkit.served_inputs import Interface


@dataclass(frozen=True)
class Result:
    """What a training came to.

    Attributes:
        trials: `trainkit.tuning.Trial`s, best first.
    """

    scorer: Scorer
    course: Course
    hyperparameters: Mapping[str, Any]
    trials: Sequence[Any]


def facts(target: Target, rows: tuple[int, int], seed: int, of_model: Mapping[str, str]) -> dict[str, str]:
    """Returns what the report says of a run beside its course.

    Args:
        rows: to train, and to validate.
        of_model: how large the model is, by label.
    """
    return {
        "Examples": f"{rows[0]:,} to train, {rows[1]:,} to validate",
        **of_model,
        "Label": target.label,
        "Task": target.task,
        **({"Classes": _shown_classes(target)} if target.classes else {}),
        **({"Weight of a row": _shown_weight(target)} if target.weighted else {}),
        "Seed": str(seed),
    }


def write(
    args: argparse.Namespace,
    result: Result,
    interface: Interface,
    target: Target,
    told: Mapping[str, str],
    words: outcome.Words = outcome.EPOCHS,
) -> None:
    """Writes the model, the logs, the report, the hyperparameters and the metrics.

    Args:
        args: says where.
        told: `facts`.
        words: what the report calls the steps of the training.

    Raises:
        StepError: see `trainkit.export.save`; nothing is written then.
    """
    course = result.course
    with Outputs(args.executor_input) as outputs:
        export.save(result.scorer, interface, target, outputs.directory(args.model))
        outcome.write_tensorboard(outputs.directory(args.tensorboard_logs), course)
        page = outcome.render(course, result.hyperparameters, told, result.trials, words)
        outputs.file(args.report).write_text(page, encoding="utf-8")
        chosen = json.dumps(result.hyperparameters, indent=2)
        outputs.file(args.best_hyperparameters).write_text(chosen, encoding="utf-8")
        outputs.file(args.metrics).write_text(json.dumps(outcome.metrics(course), indent=2), encoding="utf-8")
        outputs.metadata("metrics", outcome.shown_metrics(course))


def _shown_classes(target: Target) -> str:
    shown = ", ".join(map(str, target.classes[:20]))
    return shown if len(target.classes) <= 20 else f"{shown} and {len(target.classes) - 20} more"


def _shown_weight(target: Target) -> str:
    by_class = [f"{name}: {weight:g}" for name, weight in zip(target.classes, target.class_weights, strict=False)]
    return "; ".join([*([target.weight] if target.weight else []), *([", ".join(by_class)] if by_class else [])])
