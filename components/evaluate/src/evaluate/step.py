"""The step: scores, judges, writes."""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluate import (
    artifacts,
    baseline,
    config,
    curves,
    data,
    models,
    render,
    results,
    scoring,
    tally,
    thresholds,
    validate,
)
from evaluate.aggregate import Aggregator
from stepkit import digest, progress, schemas, served
from stepkit.examples import MANIFEST, split_files
from stepkit.outputs import Outputs


def run(args: argparse.Namespace) -> None:
    """Runs the step with parsed arguments.

    Raises:
        StepError: an input is wrong.
    """
    slices = thresholds.parse_slices(args.slices)
    metric_names = thresholds.parse_metrics(args.metrics_config)
    limits = thresholds.parse_thresholds(args.thresholds, metric_names, slices)
    examples = Path(args.examples)
    rows = data.count_rows(examples, args.eval_split)
    data.check_slice_columns(examples, slices)
    types = schemas.read_types(args.schema, schemas.TRAINING)

    with (
        Outputs(args.executor_input) as outputs,
        baseline.find(args.baseline_model_uri, args.registry_uri, args.model_name) as champion,
    ):
        eval_config = config.build(metric_names, limits, slices, args.label_key, champion is not None)
        what = f"The model {args.model!r}"
        candidate = models.load(Path(args.model), what, "Give the output model of the train step.")
        by_name = {config.candidate_name(champion is not None): candidate}
        if champion:
            by_name[config.BASELINE] = champion.model

        aggregator = Aggregator(eval_config)
        if aggregator.by_row:
            print(f"evaluate: computed row by row, which is slow: {', '.join(aggregator.by_row)}", flush=True)
        began = time.monotonic()
        task = scoring.Task(eval_config, args.label_key, types, tuple(slices))
        scores = score(task, aggregator, by_name, split_files(examples, args.eval_split), rows, args.beam_args)
        tally.check(
            scores.tally, {name: model.what for name, model in by_name.items()}, args.label_key, args.eval_split
        )
        print(f"evaluate: scored {rows:,} rows in {time.monotonic() - began:.1f} s", flush=True)

        aggregates = aggregator.extract(scores.partial)
        metrics = results.slice_metrics(aggregates, config.metric_names(eval_config))
        against = champion.name if champion else None
        verdict = validate.validate(aggregates, metrics, limits, eval_config, args.min_slice_size, against)
        drawn = curves.curves(aggregates)

        # By content: where they are differs between runs that are the same, and with it the evaluation would.
        manifest = f"sha256:{digest.of_file(examples / MANIFEST)}"
        locations = {name: f"sha256:{digest.of_tree(Path(args.model), served.BESIDE)}" for name in by_name}
        if champion:
            locations[config.BASELINE] = champion.uri
        artifacts.write_evaluation(
            outputs.directory(args.evaluation), aggregates, verdict.result, eval_config, manifest, locations
        )
        artifacts.write_json(outputs.file(args.metrics), artifacts.metrics_json(metrics[0]))
        outputs.metadata("metrics", artifacts.kfp_metrics(metrics[0]))
        classification = curves.kfp_classification_metrics(drawn["candidate"])
        artifacts.write_json(outputs.file(args.classification_metrics), classification)
        outputs.metadata("classification_metrics", classification)
        about = {
            "Split": f"{args.eval_split}, {rows:,} rows",
            "Label": args.label_key,
            "Compared with": against or "nothing",
            "Smallest slice that is judged": f"{args.min_slice_size:,} examples",
        }
        page = render.render(verdict, metrics, drawn, limits, about, against)
        outputs.file(args.report).write_text(page, encoding="utf-8")
        outputs.parameter(args.blessed, verdict.blessed)
        outputs.parameter(args.reason, verdict.reason)
        outputs.parameter(args.baseline_version, champion.version if champion else 0)
    print(f"evaluate: {'blessed' if verdict.blessed else 'not blessed'}: {verdict.reason}", flush=True)


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
