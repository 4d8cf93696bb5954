"""Small models of each task, and a server that tests share."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from model_server.columns import Reader

from stepkit import tasks
from stepkit.answers import Answers
from stepkit.model_description import ModelDescription
from stepkit.raw_columns import Column

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FLOAT, INT, TEXT = np.dtype(np.float32), np.dtype(np.int64), np.dtype(object)
# Of the model that the server serves: names with spaces and dots, a column of several texts.
ARGUMENTS = {"miles": "miles", "area": "area", "Company Name": "Company_Name", "tags.all": "tags_all"}
COLUMNS = (
    Column("Company Name", "Company_Name", TEXT),
    Column("area", "area", INT),
    Column("miles", "miles", FLOAT, (1,), True),
    Column("tags.all", "tags_all", TEXT, (None,)),
)
CLASSES = ("no tip", "tip")
THRESHOLD = 0.3
NAME, VERSION = "taxi", "7"
DESCRIPTION = ModelDescription(
    label="tip",
    classes=CLASSES,
    raw_types={"miles": "FLOAT", "area": "INT", "Company Name": "BYTES", "tags.all": "BYTES"},
    arguments=ARGUMENTS,
)


def export(folder: Path, description: ModelDescription = DESCRIPTION, width: int = 1, answer: Any = None) -> Path:
    """Exports a model as train does: `miles` required, the others not; a score of about the miles, and of the rest."""
    import tensorflow as tf

    module = tf.Module()
    squash = answer or tf.sigmoid

    def predict(miles: Any, area: Any, company: Any, tags: Any) -> dict[str, Any]:
        length = tf.cast(tf.strings.length(company), tf.float32)
        logits = miles - 2.0 + 0.1 * tf.cast(area, tf.float32) + 0.01 * length + tags
        logits = tf.concat([logits * (1.0 - number) for number in range(width)], 1)
        found = {description.answer: squash(logits)}
        if description.task in (tasks.MULTICLASS, tasks.MULTILABEL):
            names = tf.constant([[str(name) for name in description.classes]])
            found["classes"] = tf.tile(names, [tf.shape(miles)[0], 1])
        return found

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def by_examples(examples: Any) -> dict[str, Any]:
        spec = {
            "miles": tf.io.FixedLenFeature([1], tf.float32),
            "area": tf.io.FixedLenFeature([1], tf.int64, tf.zeros([1], tf.int64)),
            "Company Name": tf.io.VarLenFeature(tf.string),
            "tags.all": tf.io.VarLenFeature(tf.string),
        }
        raw = tf.io.parse_example(examples, spec)
        company = tf.sparse.to_dense(raw["Company Name"], "")[:, :1]
        tags = tf.cast(tf.sparse.to_dense(raw["tags.all"], "") != "", tf.float32)
        return predict(raw["miles"], raw["area"], company, tf.reduce_sum(tags, 1, keepdims=True))

    columns = {
        "miles": tf.TensorSpec([None, 1], tf.float32, name="miles"),
        "area": tf.TensorSpec([None, 1], tf.int64, name="area"),
        "Company_Name": tf.TensorSpec([None, 1], tf.string, name="Company_Name"),
        "tags_all": tf.TensorSpec([None, None], tf.string, name="tags_all"),
    }

    @tf.function(input_signature=[columns])
    def by_columns(raw: Any) -> dict[str, Any]:
        area = tf.where(raw["area"] == tf.int64.min, tf.constant(0, tf.int64), raw["area"])
        tags = tf.reduce_sum(tf.cast(raw["tags_all"] != "", tf.float32), 1, keepdims=True)
        return predict(raw["miles"], area, raw["Company_Name"], tags)

    tf.saved_model.save(module, str(folder), signatures={"serving_default": by_examples, "serve_raw": by_columns})
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "model.json").write_text(description.to_json(), encoding="utf-8")
    if description.task == tasks.BINARY:
        (extra / "operating_point.json").write_text(f'{{"threshold": {THRESHOLD}, "splits": {{}}}}', encoding="utf-8")
    return folder


def score(miles: float, area: int = 0, company: str = "", tags: int = 0) -> float:
    """Returns what the exported model answers."""
    return float(1 / (1 + np.exp(-(miles - 2.0 + 0.1 * area + 0.01 * len(company) + tags))))


class FakeModel:
    """A model without TensorFlow that does what a test says."""

    def __init__(self, answers: Answers | None = None) -> None:
        self.reader = Reader(COLUMNS)
        self.answers = answers or Answers(tasks.BINARY, "probabilities", CLASSES, THRESHOLD)
        self.asked: list[int] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.is_asked = threading.Event()

    def ask(self, tensors: Sequence[np.ndarray]) -> np.ndarray:
        self.asked.append(len(tensors[0]))
        self.is_asked.set()
        assert self.may_answer.wait(30)
        miles = tensors[2]
        if (miles == 13).any():
            raise RuntimeError("unlucky")
        return miles / 10


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    url: str
    logs: Path
    errors: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("model") / VERSION)


def start(model: Path, folder: Path, *flags: str) -> Server:
    """Starts a server; the caller ends it."""
    command = [sys.executable, "-m", "model_server", "--path", str(model), "--name", NAME, "--version", VERSION]
    command += ["--log-requests", str(folder / "logs"), *flags]
    with (folder / "errors").open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout
    line = process.stdout.readline()
    assert " is served at " in line, (folder / "errors").read_text(encoding="utf-8")
    return Server(process, line.split()[-1], folder / "logs", folder / "errors")


@pytest.fixture(scope="session")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = ["--max-body-bytes=100000", "--max-rows=50", "--timeout=1", "--log-rate=0"]
    found = start(model, tmp_path_factory.mktemp("server"), *limits)
    yield found
    found.process.terminate()
    assert found.process.wait(20) == 0, found.errors.read_text(encoding="utf-8")
    assert "Traceback" not in found.errors.read_text(encoding="utf-8")


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found
