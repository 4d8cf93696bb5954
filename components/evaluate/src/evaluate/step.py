"""The step: scores, judges, writes."""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_model_analysis.proto import config_pb2

from evaluate import (
    analysis,
    analysis_page,
    artifacts,
    baseline,
    config,
    curves,
    data,
    entries,
    fitting,
    gaps,
    importance,
    models,
    operating_point,
    render,
    results,
    scoring,
    tally,
    targets,
    thresholds,
    validate,
)
from evaluate import problem as problems
from evaluate.aggregate import Aggregates, Aggregator
from evaluate.gaps import Gap
from evaluate.importance import Importance
from evaluate.problem import Problem
from stepkit import digest, progress, schemas, served
from stepkit.examples import MANIFEST, split_files
from stepkit.outputs import Outputs

# Classes that a line of the log names.
_NAMED = 20


@dataclass(frozen=True)
class Plan:
    """What is asked for, checked as far as it can be before anything is scored.

    Attributes:
        types: type of each raw feature.
        rows: of the split.
        metrics: what is computed.
        limits: the thresholds.
        target: of the operating point; None: no threshold of scores is chosen.
        permuted: what permutation importance is measured on.
        gap_metrics: whose gaps between slices are shown.
    """

    problem: Problem
    types: dict[str, str]
    rows: int
    slices: list[tuple[str, ...]]
    metrics: list[entries.Metric]
    limits: list[thresholds.Threshold]
    target: operating_point.Target | None
    permuted: importance.Asked
    gap_metrics: list[str]


def plan(args: argparse.Namespace) -> Plan:
    """Checks parameters against examples, schema and what the model says of itself.

    Raises:
        StepError: an input is wrong.
    """
    importance.check_rows(args.importance_rows)
    slices = thresholds.parse_slices(args.slices)
    listed = entries.parse(args.metrics_config)
    rows = data.count_rows(Path(args.examples), args.eval_split)
    data.check_slice_columns(Path(args.examples), slices)
    types = schemas.read_types(args.schema, schemas.TRAINING)
    problem = problems.of_model(Path(args.model), args.label_key)
    listed = listed or entries.parse(entries.DEFAULTS[problem.task])
    fitting.check(listed, problem)
    metrics = entries.expand(listed, problem)
    target = operating_point.parse(args.operating_point_target, problem)
    if target:
        data.count_rows(Path(args.examples), args.operating_point_split)
    names = [*(metric.shown for metric in metrics), *(operating_point.NAMES if target else ())]
    limits = thresholds.parse_thresholds(args.thresholds, names, slices)
    # A schema needs no environment of requests where nothing is permuted.
    columns = tuple(schemas.read_types(args.schema, schemas.SERVING)) if args.importance_rows else ()
    permuted = importance.Asked(args.importance_rows, types, columns, tuple(slices))
    return Plan(
        problem, types, rows, slices, metrics, limits, target, permuted, gaps.chosen(args.gap_metrics, names, limits)
    )


@dataclass(frozen=True)
class Judged:
    """What came out.

    Attributes:
        curves: of each model.
        gaps: between slices of the candidate.
        importance: of raw columns; None if it wasn't asked for.
    """

    aggregates: Aggregates
    metrics: list[results.SliceMetrics]
    verdict: validate.Verdict
    curves: dict[str, curves.Curves]
    gaps: list[Gap]
    importance: Importance | None = None


def run(args: argparse.Namespace) -> None:
    """Runs the step with parsed arguments.

    Raises:
        StepError: an input is wrong.
    """
    planned = plan(args)
    problem, examples = planned.problem, Path(args.examples)
    with (
        Outputs(args.executor_input) as outputs,
        baseline.find(args.baseline_model_uri, args.registry_uri, args.model_name) as champion,
    ):
        what = f"The model {args.model!r}"
        candidate = models.load(Path(args.model), what, "Give the output model of the train step.")
        point = choose_point(planned, candidate, examples, args.operating_point_split)
        metrics = [*planned.metrics, *(operating_point.metrics_at(point.threshold) if point else ())]
        method = args.confidence_intervals
        eval_config = config.build(metrics, planned.limits, planned.slices, problem, champion is not None, method)
        by_name = {config.candidate_name(champion is not None): candidate}
        if champion:
            problems.check_baseline(problem, champion.model.description, champion.model.what, champion.model.remedy)
            by_name[config.BASELINE] = champion.model

        aggregator = Aggregator(eval_config, problem)
        if aggregator.by_row:
            print(f"evaluate: computed row by row, which is slow: {', '.join(aggregator.by_row)}", flush=True)
        began = time.monotonic()
        task = scoring.Task(eval_config, problem, planned.types, tuple(planned.slices))
        parts = split_files(examples, args.eval_split)
        scores = score(task, aggregator, by_name, parts, planned.rows, args.beam_args)
        tally.check(scores.tally, {name: model.what for name, model in by_name.items()}, problem, args.eval_split)
        print(f"evaluate: scored {planned.rows:,} rows in {time.monotonic() - began:.1f} s", flush=True)
        judged = judge(planned, scores, aggregator, eval_config, args.min_slice_size, champion)
        if never := judged.curves["candidate"].never_predicted(problem):
            more = f" and {len(never) - _NAMED} more" if never[_NAMED:] else ""
            shown = ", ".join(map(repr, never[:_NAMED])) + more
            print(f"evaluate: warning: the model never predicts {shown} on split {args.eval_split!r}", flush=True)
        judged = replace(judged, importance=measure_importance(planned, candidate, parts))
        _write(args, outputs, planned, judged, eval_config, champion)
        outputs.parameter(args.operating_point, point.described(args.eval_split, judged.metrics[0]) if point else {})
    verdict = judged.verdict
    print(f"evaluate: {'blessed' if verdict.blessed else 'not blessed'}: {verdict.reason}", flush=True)


@dataclass(frozen=True)
class Point:
    """The operating point.

    Attributes:
        reached: split that it was chosen on to what it gives there, by name.
    """

    target: operating_point.Target
    threshold: float
    reached: dict[str, dict[str, float]]

    def described(self, split: str, overall: results.SliceMetrics) -> dict[str, Any]:
        """Returns what is kept of it, with what it gives on the split that is judged."""
        return operating_point.described(self.target, self.threshold, {split: overall.candidate, **self.reached})


def choose_point(planned: Plan, candidate: models.Model, examples: Path, split: str) -> Point | None:
    """Chooses the operating point on a split; None where none is asked for.

    Raises:
        StepError: no threshold meets the target, or rows aren't what the task has.
    """
    if planned.target is None:
        return None
    predict, read = models.predictor(candidate, planned.problem), targets.reader(candidate, planned.problem)
    counts, counted = operating_point.ScoreCounts(), tally.Tally()
    with progress.bar(f"Choosing the operating point on {split}", data.count_rows(examples, split)) as advance:
        for batch in data.read_parts(split_files(examples, split), planned.types, []):
            serialized = tf.constant(batch.serialized)
            wanted, scores = read(serialized), predict(serialized)
            counted |= tally.Tally.of(wanted, {"": scores})
            if counted.is_sound(planned.problem):
                counts.add(wanted.labels, scores, wanted.weights)
            advance(len(scores))
    tally.check(counted, {"": candidate.what}, planned.problem, split)
    threshold = counts.choose(planned.target, split)
    print(f"evaluate: {planned.target} on split {split!r}: scores above {threshold:.6g}", flush=True)
    return Point(planned.target, threshold, {split: counts.reached(threshold)})


def judge(
    planned: Plan,
    scores: scoring.Scores,
    aggregator: Aggregator,
    eval_config: config_pb2.EvalConfig,
    min_slice_size: int,
    champion: baseline.Baseline | None,
) -> Judged:
    """Makes results of scores.

    Raises:
        StepError: a threshold is on a metric that is no single number.
    """
    aggregates = aggregator.extract(scores.partial, scores.samples)
    ranking = {metric.shown for metric in planned.metrics if metric.class_name in results.RANKING_METRICS}
    metrics = results.slice_metrics(aggregates, config.metric_names(eval_config), ranking)
    against = champion.name if champion else None
    verdict = validate.validate(aggregates, metrics, planned.limits, eval_config, min_slice_size, against)
    names = [spec.name for spec in eval_config.model_specs]
    drawn = curves.curves(aggregates, scores.drawn, planned.problem, names)
    return Judged(aggregates, metrics, verdict, drawn, gaps.between(metrics, planned.gap_metrics, min_slice_size))


def measure_importance(planned: Plan, candidate: models.Model, parts: Sequence[Path]) -> Importance | None:
    """Measures what the model looks at, in this process, whatever `beam_args` are; None where it isn't asked for.

    Raises:
        StepError: a file can't be read, or the model can't answer.
    """
    if not planned.permuted.rows:
        return None
    began = time.monotonic()
    found = importance.measure(planned.permuted, candidate, planned.problem, parts, planned.rows)
    took = time.monotonic() - began
    print(f"evaluate: importance of {found.tried:,} columns on {found.rows:,} rows in {took:.1f} s", flush=True)
    return found


def _write(
    args: argparse.Namespace,
    outputs: Outputs,
    planned: Plan,
    judged: Judged,
    eval_config: config_pb2.EvalConfig,
    champion: baseline.Baseline | None,
) -> None:
    problem, verdict, overall = planned.problem, judged.verdict, judged.metrics[0]
    # By content: where they are differs between runs that are the same, and with it the evaluation would.
    manifest = f"sha256:{digest.of_file(Path(args.examples) / MANIFEST)}"
    candidate = config.candidate_name(champion is not None)
    locations = {candidate: f"sha256:{digest.of_tree(Path(args.model), served.BESIDE)}"}
    if champion:
        locations[config.BASELINE] = champion.uri
    artifacts.write_evaluation(
        outputs.directory(args.evaluation), judged.aggregates, verdict.result, eval_config, manifest, locations
    )
    details = analysis.to_json(planned.problem, args.eval_split, judged.metrics, judged.gaps, judged.importance)
    artifacts.write_json(outputs.file(args.metrics), {**artifacts.metrics_json(overall), analysis.KEY: details})
    outputs.metadata("metrics", artifacts.kfp_metrics(overall))
    classification = curves.kfp_classification_metrics(judged.curves["candidate"], problem)
    artifacts.write_json(outputs.file(args.classification_metrics), classification)
    outputs.metadata("classification_metrics", classification)
    against = champion.name if champion else None
    about = {
        "Split": f"{args.eval_split}, {planned.rows:,} rows",
        "Task": problem.task,
        "Label": problem.label,
        "Weight": problem.weight or "none: each row counts as one",
        "Compared with": against or "nothing",
        "Smallest slice that is judged": f"{args.min_slice_size:,} examples",
    }
    more = analysis_page.sections(judged.gaps, judged.importance)
    page = render.render(verdict, judged.metrics, judged.curves, planned.limits, about, against, problem, more)
    outputs.file(args.report).write_text(page, encoding="utf-8")
    outputs.parameter(args.blessed, verdict.blessed)
    outputs.parameter(args.reason, verdict.reason)
    outputs.parameter(args.baseline_version, champion.version if champion else 0)


def score(
    task: scoring.Task,
    aggregator: Aggregator,
    by_name: Mapping[str, models.Model],
    parts: Sequence[Path],
    rows: int,
    beam_args: Sequence[str],
) -> scoring.Scores:
    """Scores a split: in this process, or on Beam as `beam_args` say (see `stepkit.beam`).

    Args:
        aggregator: of the task's configuration.
        by_name: the models by their names in the configuration.
        parts: the split's files.
        rows: how many there are, for the progress bar.

    Raises:
        StepError: a model can't answer, a file can't be read, there are too many slices, or the runner fails.
    """
    scorer = scoring.Scorer(task, aggregator, by_name)
    if beam_args:
        from evaluate import on_beam  # pylint: disable=import-outside-toplevel  # few runs need it

        return on_beam.score(task, by_name, parts, beam_args)
    with progress.bar("Scoring", rows) as advance:
        return scorer.score(parts, advance)
