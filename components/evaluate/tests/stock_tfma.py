"""What plain TFMA answers to the questions of the tests, recorded.

`tfma.run_model_analysis` is half a minute of Beam a question. Its answers lie in data/stock_tfma/NAME, each with the
digest of its question: TFMA's version, the configuration, the rows, and what the models are made by. CI fails at a
question that isn't the recorded one; elsewhere it is asked anew. `RECORD_STOCK_TFMA=1 make test/component/evaluate`
asks all, and keeps the answers.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import json_format

RECORDED = Path(__file__).parent / "data" / "stock_tfma"
_QUESTION = "question.sha256"


def answer(
    name: str,
    eval_config: Any,
    rows: Iterable[bytes],
    models: Mapping[str, Path],
    made_by: str,
    folder: Path,
) -> str:
    """Returns the folder with TFMA's results.

    Args:
        eval_config: the EvalConfig, which names in its models what they are asked by.
        rows: serialized tf.Examples.
        models: model's name in `eval_config` to its SavedModel.
        made_by: text that changes when rows, models or what is patched in TFMA do.
        folder: for what is asked anew.
    """
    parts = [tfma.VERSION_STRING, json_format.MessageToJson(eval_config, sort_keys=True), made_by]
    question = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    recorded = RECORDED / name
    recording = bool(os.environ.get("RECORD_STOCK_TFMA"))
    if not recording and (recorded / _QUESTION).is_file() and (recorded / _QUESTION).read_text().strip() == question:
        return str(recorded)
    if os.environ.get("CI") and not recording:
        pytest.fail(f"{recorded} isn't of this question: RECORD_STOCK_TFMA=1 make test/component/evaluate, and commit")
    found = _asked(eval_config, rows, models, folder)
    if recording:
        shutil.rmtree(recorded, ignore_errors=True)
        shutil.copytree(found, recorded)
        _forget_paths(recorded / "eval_config.json")
        (recorded / _QUESTION).write_text(f"{question}\n")
    return str(found)


def digest_of_files(files: Iterable[Any]) -> str:
    """Returns the SHA-256 of files' content, in their order."""
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def _asked(eval_config: Any, rows: Iterable[bytes], models: Mapping[str, Path], folder: Path) -> Path:
    with tf.io.TFRecordWriter(str(folder / "rows.tfrecord")) as writer:
        for row in rows:
            writer.write(row)
    shared = [
        tfma.default_eval_shared_model(str(models[spec.name]), eval_config=eval_config, model_name=spec.name)
        for spec in eval_config.model_specs
    ]
    tfma.run_model_analysis(
        eval_shared_model=shared if len(shared) > 1 else shared[0],
        eval_config=eval_config,
        data_location=str(folder / "rows.tfrecord"),
        output_path=str(folder / "stock"),
        pipeline_options=PipelineOptions(["--runner=FnApiRunner"]),
    )
    return folder / "stock"


def _forget_paths(path: Path) -> None:
    """Takes this machine's paths out of what TFMA's loaders read."""
    told = json.loads(path.read_text(encoding="utf-8"))
    told["dataLocation"] = "rows.tfrecord"
    told["modelLocations"] = dict.fromkeys(told["modelLocations"], "model")
    path.write_text(json.dumps(told), encoding="utf-8")
