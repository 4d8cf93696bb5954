"""What can be known of a run before there is a model: parameters, against the pipeline's module and what is there."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evaluate import data, entries, fitting, gaps, importance, operating_point, thresholds
from evaluate import problem as problems
from evaluate.problem import Problem
from stepkit import modules, tasks
from stepkit.errors import StepError


def check(args: argparse.Namespace) -> None:
    """Checks parameters, some of which may be None; the model, else the module, says what the task is.

    Raises:
        StepError: the step would fail for them.
    """
    importance.check_rows(args.importance_rows)
    slices = thresholds.parse_slices(args.slices)
    if args.examples:
        data.check_slice_columns(Path(args.examples), slices)
        for split in (args.eval_split, *([args.operating_point_split] if args.operating_point_target else [])):
            data.count_rows(Path(args.examples), split)
    listed = entries.parse(args.metrics_config)
    found = _problem(args)
    if found is None:
        _check_any_task(listed)
        listed = listed or [entry for task in tasks.TASKS for entry in entries.parse(entries.DEFAULTS[task])]
        thresholds.parse_thresholds(args.thresholds, _like(args.thresholds, listed), slices)
        gaps.chosen(args.gap_metrics, _like(args.gap_metrics, listed), [])
        return
    listed = listed or entries.parse(entries.DEFAULTS[found.task])
    fitting.check(listed, found)
    target = operating_point.parse(args.operating_point_target, found)
    more = operating_point.NAMES if target else ()
    if found.has_many_outputs and not found.classes:  # train will find them
        thresholds.parse_thresholds(args.thresholds, [*_like(args.thresholds, listed), *more], slices)
        gaps.chosen(args.gap_metrics, [*_like(args.gap_metrics, listed), *more], [])
        return
    names = [metric.shown for metric in entries.expand(listed, found)]
    thresholds.parse_thresholds(args.thresholds, [*names, *more], slices)
    gaps.chosen(args.gap_metrics, [*names, *more], [])


def _problem(args: argparse.Namespace) -> Problem | None:
    label = args.label_key or ""
    if args.model:
        return problems.of_model(Path(args.model), label)
    if not (args.module or args.module_uri):
        return None
    declared = tasks.declared(modules.load(args.module, args.module_uri))
    return Problem(label, declared.task, declared.classes, declared.weight)


def _check_any_task(listed: Sequence[entries.Entry]) -> None:
    for entry in listed:
        refused = []
        for task in tasks.TASKS:
            try:
                fitting.check([entry], Problem("", task))
            except StepError as error:
                refused.append(error)
        if len(refused) == len(tasks.TASKS):
            raise refused[0]


def _names(listed: Sequence[entries.Entry]) -> list[str]:
    return list(dict.fromkeys(entry.name or entry.class_name for entry in listed))


def _like(spec: Iterable[Any], listed: Sequence[entries.Entry]) -> list[str]:
    """Returns names of metrics, and those of thresholds that may be of a class that isn't known yet, or of a target."""
    names = _names(listed)
    bases = (*names, *operating_point.NAMES)
    also = [name for name in spec if any(str(name) == base or str(name).startswith(f"{base}_") for base in bases)]
    return list(dict.fromkeys([*names, *also]))
