"""Aggregation: from labels and predictions of rows to TFMA's metrics and plots of slices.

The only part of the step whose time grows with rows times slices. It knows nothing of models, thresholds or files of
the step: another way of aggregating has to give the same protos, and nothing else changes.
"""

import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2
from tensorflow_model_analysis.slicer import slicer_lib
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as protos

from evaluate.slicing import MISSING, OVERALL, SliceKey, Slicing
from stepkit.errors import StepError

# Rows that travel together to a Beam worker.
_BUNDLE_ROWS = 8192


@dataclass(frozen=True)
class Aggregates:
    """TFMA's results, the overall slice first, then in the order of slice keys.

    Attributes:
        metrics: one proto a slice.
        plots: one proto a slice.
    """

    metrics: list[metrics_for_slice_pb2.MetricsForSlice]
    plots: list[metrics_for_slice_pb2.PlotsForSlice]


@dataclass(frozen=True)
class _Rows:
    labels: np.ndarray
    predictions: dict[str, np.ndarray]
    codes: list[np.ndarray]


class _ToExtracts(beam.DoFn):
    """Yields TFMA's extracts of one row each, with its slices, from many rows at once."""

    def __init__(self, slice_keys: Sequence[Sequence[SliceKey]]) -> None:
        self._slice_keys = slice_keys
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def process(self, element: _Rows) -> Iterator[dict[str, Any]]:  # pylint: disable=arguments-differ
        single = list(element.predictions) == [""]
        codes = np.stack(element.codes, axis=1).tolist() if element.codes else [[]] * len(element.labels)
        for row, row_codes in enumerate(codes):
            label = element.labels[row : row + 1]
            predictions = {name: values[row : row + 1] for name, values in element.predictions.items()}
            yield {
                constants.LABELS_KEY: label if single else dict.fromkeys(predictions, label),
                constants.PREDICTIONS_KEY: predictions[""] if single else predictions,
                constants.SLICE_KEY_TYPES_KEY: self._slices(tuple(row_codes)),
            }

    def _slices(self, codes: tuple[int, ...]) -> np.ndarray:
        if codes not in self._known:
            found = [keys[code] for keys, code in zip(self._slice_keys, codes, strict=True) if code != MISSING]
            self._known[codes] = slicer_lib.slice_keys_to_numpy_array([OVERALL, *found])
        return self._known[codes]


def aggregate(
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    slicings: Sequence[Slicing],
    config: config_pb2.EvalConfig,
    options: PipelineOptions,
) -> Aggregates:
    """Computes the metrics and plots of `config`, overall and by slice, with TFMA on Beam.

    Args:
        labels: float [rows].
        predictions: model name in `config` to float [rows].
        slicings: what to slice by; the whole split is always a slice too.
        options: Beam's. Results pass through a temporary folder: below `temp_location` if that is set, as remote
            workers need it, else a local one.

    Raises:
        StepError: Beam doesn't know the runner.
        OSError: the temporary folder's disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="evaluate-") as local:
        remote = options.get_all_options().get("temp_location")
        folder = FileSystems.join(remote, f"evaluate-{uuid.uuid4().hex}") if remote else local
        try:
            _run(labels, predictions, slicings, config, options, folder)
            metrics = _read(folder, constants.METRICS_KEY, metrics_for_slice_pb2.MetricsForSlice)
            plots = _read(folder, constants.PLOTS_KEY, metrics_for_slice_pb2.PlotsForSlice)
        finally:
            if remote and FileSystems.exists(folder):
                FileSystems.delete([folder])
    return Aggregates(metrics, plots)


def _run(
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    slicings: Sequence[Slicing],
    config: config_pb2.EvalConfig,
    options: PipelineOptions,
    folder: str,
) -> None:
    evaluator = metrics_plots_and_validations_evaluator.MetricsPlotsAndValidationsEvaluator(config)
    writers = {
        constants.METRICS_KEY: protos.convert_slice_metrics_to_proto,
        constants.PLOTS_KEY: protos.convert_slice_plots_to_proto,
    }
    try:
        with beam.Pipeline(options=options) as pipeline:
            evaluation = (
                pipeline
                | "Rows" >> beam.Create(list(_bundles(labels, predictions, slicings)))
                | "Extracts" >> beam.ParDo(_ToExtracts([slicing.keys for slicing in slicings]))
                | "Evaluate" >> evaluator.ptransform
            )
            for key, to_proto in writers.items():
                _ = (
                    evaluation[key]
                    | f"Serialize_{key}" >> beam.Map(_serialize, to_proto)
                    | f"Write_{key}" >> beam.io.WriteToTFRecord(FileSystems.join(folder, key))
                )
    except ValueError as error:
        if "runner" in str(error).lower():
            raise StepError(f"--beam-args can't be used: {error}") from error
        raise
    except RuntimeError as error:
        # A full disk, say, in a worker: runners hand workers' errors over as text.
        number = re.search(r"OSError: \[Errno (\d+)\]", str(error))
        if number:
            raise OSError(int(number[1]), os.strerror(int(number[1])), folder) from error
        raise


def _bundles(labels: np.ndarray, predictions: Mapping[str, np.ndarray], slicings: Sequence[Slicing]) -> Iterator[_Rows]:
    for start in range(0, len(labels), _BUNDLE_ROWS):
        rows = slice(start, start + _BUNDLE_ROWS)
        yield _Rows(
            labels[rows],
            {name: values[rows] for name, values in predictions.items()},
            [slicing.codes[rows] for slicing in slicings],
        )


def _serialize(item: Any, to_proto: Any) -> bytes:
    return to_proto(item, None).SerializeToString()


def _read(folder: str, key: str, kind: Any) -> list[Any]:
    found = []
    for match in FileSystems.match([FileSystems.join(folder, f"{key}*")])[0].metadata_list:
        found += [kind.FromString(record) for record in tf.data.TFRecordDataset(match.path).as_numpy_iterator()]
    return sorted(found, key=lambda proto: _order(slicer_lib.deserialize_slice_key(proto.slice_key)))


def _order(key: SliceKey) -> Any:
    """Orders slice keys: fewer features first, then by names, then by values, numbers before text."""
    return len(key), [name for name, _ in key], [(isinstance(value, str), value) for _, value in key]
