"""The step: reads, predicts, aggregates, judges, writes."""

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf

from evaluate import (
    aggregate,
    artifacts,
    baseline,
    config,
    curves,
    data,
    models,
    render,
    results,
    slicing,
    thresholds,
    validate,
)
from stepkit import beam, progress, schemas
from stepkit.outputs import Outputs


@dataclass(frozen=True)
class Predictions:
    """A split, answered.

    Attributes:
        labels: float64 [rows], 0 or 1.
        candidate: float64 [rows], probabilities.
        baseline: the same; None if there is no baseline.
        columns: slicing column to its values, one a row.
    """

    labels: np.ndarray
    candidate: np.ndarray
    baseline: np.ndarray | None
    columns: dict[str, pa.ChunkedArray]


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
    slice_columns = data.check_slice_columns(examples, slices)
    types = schemas.read_types(args.schema, schemas.TRAINING)
    options = beam.pipeline_options(args.beam_args)

    with (
        Outputs(args.executor_input) as outputs,
        baseline.find(args.baseline_model_uri, args.registry_uri, args.model_name) as champion,
    ):
        eval_config = config.build(metric_names, limits, slices, args.label_key, champion is not None)
        candidate = models.load(
            Path(args.model), f"The model {args.model!r}", "Give the output model of the train step."
        )
        began = time.monotonic()
        batches = data.read_split(examples, args.eval_split, types, slice_columns)
        predictions = predict(batches, rows, candidate, champion.model if champion else None, args.label_key)
        models.check_labels(predictions.labels, args.label_key, args.eval_split)
        models.check_probabilities(predictions.candidate, candidate)
        if champion and predictions.baseline is not None:
            models.check_probabilities(predictions.baseline, champion.model)
        _tell(f"predicted {rows:,} rows", began)

        began = time.monotonic()
        sliced = [slicing.slice_rows(features, predictions.columns) for features in slices]
        by_model = {config.candidate_name(champion is not None): predictions.candidate}
        if predictions.baseline is not None:
            by_model[config.BASELINE] = predictions.baseline
        aggregates = aggregate.aggregate(predictions.labels, by_model, sliced, eval_config, options)
        _tell(f"aggregated {len(aggregates.metrics):,} slices", began)

        metrics = results.slice_metrics(
            aggregates, results.count(predictions.labels, sliced), config.metric_names(eval_config)
        )
        against = champion.name if champion else None
        verdict = validate.validate(aggregates, metrics, limits, eval_config, args.min_slice_size, against)
        drawn = curves.curves(aggregates)

        locations = {name: champion.uri if champion and name == config.BASELINE else args.model for name in by_model}
        artifacts.write_evaluation(
            outputs.directory(args.evaluation), aggregates, verdict.result, eval_config, args.examples, locations
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


def predict(
    batches: Iterable[data.Batch], rows: int, candidate: models.Model, champion: models.Model | None, label_key: str
) -> Predictions:
    """Asks the models for every row.

    Args:
        batches: the split.
        rows: how many there are, for the progress bar.
        champion: the baseline's model, if there is one.
        label_key: transformed feature that is the label; it comes from the candidate's transform.

    Raises:
        StepError: a model can't answer, or not with one number a row.
    """
    ask = models.predictor(candidate)
    label = models.labeller(candidate, label_key)
    ask_champion = models.predictor(champion) if champion else None
    labels, answers, champion_answers = [], [], []
    columns: dict[str, list[pa.Array]] = {}
    with progress.bar("Predicting", rows) as advance:
        for batch in batches:
            serialized = tf.constant(batch.serialized)
            labels.append(label(serialized))
            answers.append(ask(serialized))
            if ask_champion:
                champion_answers.append(ask_champion(serialized))
            for name, values in batch.columns.items():
                columns.setdefault(name, []).append(values)
            advance(len(batch.serialized))
    return Predictions(
        np.concatenate(labels),
        np.concatenate(answers),
        np.concatenate(champion_answers) if ask_champion else None,
        {name: pa.chunked_array(chunks) for name, chunks in columns.items()},
    )


def _tell(what: str, began: float) -> None:
    print(f"evaluate: {what} in {time.monotonic() - began:.1f} s", flush=True)
