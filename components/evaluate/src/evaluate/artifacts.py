"""Writing the results."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_model_analysis import constants, version
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2

from evaluate.aggregate import Aggregates
from evaluate.results import CANDIDATE, CHANGE, SliceMetrics


def write_evaluation(
    folder: Path,
    aggregates: Aggregates,
    validation: validation_result_pb2.ValidationResult,
    config: config_pb2.EvalConfig,
    data: str,
    models: Mapping[str, str],
) -> None:
    """Writes TFMA's result files, for `tfma.load_eval_result(folder)` and `tfma.load_validation_result(folder)`.

    Args:
        folder: exists and is empty.
        data: which examples they were, for display.
        models: model name in `config` to which model it was, for display.

    Raises:
        OSError: they can't be written.
    """
    _write_records(folder / f"{constants.METRICS_KEY}-00000-of-00001.tfrecord", aggregates.metrics)
    _write_records(folder / f"{constants.PLOTS_KEY}-00000-of-00001.tfrecord", aggregates.plots)
    _write_records(folder / f"{constants.VALIDATIONS_KEY}.tfrecord", [validation])
    run = config_pb2.EvalRun(
        eval_config=config, version=version.VERSION, data_location=data, file_format="parquet", model_locations=models
    )
    (folder / "eval_config.json").write_text(json_format.MessageToJson(run, sort_keys=True), encoding="utf-8")


def _write_records(path: Path, protos: Iterable[Message]) -> None:
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for proto in protos:
                writer.write(proto.SerializeToString(deterministic=True))
    except tf.errors.OpError as error:
        raise OSError(f"Can't write {str(path)!r}: {error.message}") from error


def metrics_json(overall: SliceMetrics) -> dict[str, Any]:
    """Returns metric name to value, and the baseline's under `baseline`; null where a metric is undefined.

    Where there are confidence intervals, `standard_error`, `lower` and `upper` have them by metric, and with a baseline
    `change_standard_error` and so on those of the change.
    """
    found: dict[str, Any] = _finite(overall.candidate)
    if overall.baseline:
        found["baseline"] = _finite(overall.baseline)
    for whose, prefix in ((CANDIDATE, ""), (CHANGE, "change_")):
        for name, interval in overall.intervals.get(whose, {}).items():
            for part, number in asdict(interval).items():
                found.setdefault(prefix + part, {})[name] = number
    return found


def kfp_metrics(overall: SliceMetrics) -> dict[str, float]:
    """Returns the numbers that KFP shows for a Metrics artifact: `AUC`, `baseline_AUC` and so on."""
    named = overall.candidate | {f"baseline_{name}": value for name, value in overall.baseline.items()}
    return {name: value for name, value in named.items() if math.isfinite(value)}


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
