"""Small Examples artifacts, and a way to run the step on them in this process."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_validation import cli, storing
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

SCHEMA = """
feature { name: "pay" type: BYTES presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } domain: "pay" }
feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } } }
feature { name: "hour" type: INT value_count { min: 1 max: 1 } presence { min_count: 1 } int_domain { min: 0 max: 23 } }
feature {
  name: "tips" type: FLOAT presence { min_fraction: 1.0 min_count: 1 } shape { dim { size: 1 } }
  not_in_environment: "SERVING"
}
string_domain { name: "pay" value: "Cash" value: "Card" }
default_environment: "TRAINING"
default_environment: "SERVING"
"""


@dataclass(frozen=True)
class Outcome:
    """What a run of the step left behind."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def parameters(self) -> dict[str, Any]:
        names = ("valid", "anomaly_count", "drift_detected")
        return {name: json.loads((self.folder / name).read_text()) for name in names}

    @property
    def report(self) -> str:
        return (self.folder / "report.html").read_text(encoding="utf-8")

    @property
    def statistics(self) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
        return storing.read(str(self.folder / "statistics"), "statistics")

    def anomalies(self, of: str) -> anomalies_pb2.Anomalies:
        text = (self.folder / "anomalies" / of / "anomalies.pbtxt").read_text(encoding="utf-8")
        return text_format.Parse(text, anomalies_pb2.Anomalies())

    def assert_refused(self, *parts: str, code: int = 1) -> None:
        """Asserts that the step failed with a message that has `parts`, without a traceback, and wrote nothing."""
        assert self.code == code, self.err
        for part in parts:
            assert part in self.err
        assert "Traceback" not in self.err
        assert not self.folder.exists() or not list(self.folder.iterdir())


def columns(rows: int = 300) -> dict[str, list]:
    """Returns data that fits SCHEMA: text, floats, integers with missing values."""
    return {
        "pay": [("Cash", "Card", "Cash")[row % 3] for row in range(rows)],
        "fare": [row % 50 / 4 for row in range(rows)],
        "hour": [None if row % 10 == 7 else row % 24 for row in range(rows)],
        "tips": [float(row % 5) for row in range(rows)],
    }


def write_examples(folder: Path, splits: Mapping[str, Sequence[pa.Table]]) -> Path:
    """Writes an Examples artifact, a file a table."""
    manifest: dict[str, Any] = {"columns": [], "splits": {}, "source": {}}
    for split, tables in splits.items():
        (folder / split).mkdir(parents=True)
        files = []
        for index, table in enumerate(tables):
            path = f"{split}/part-{index:05d}.parquet"
            pq.write_table(table, folder / path)
            files.append({"path": path, "rows": table.num_rows, "bytes": 0, "sha256": ""})
        manifest["splits"][split] = {"rows": sum(table.num_rows for table in tables), "bytes": 0, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def flags(examples: Path, folder: Path, **more: str) -> list[str]:
    """Returns the step's arguments with all outputs below `folder`."""
    values = {"examples": str(examples), **more}
    for output in ("statistics", "schema", "anomalies", "valid", "anomaly_count", "drift_detected"):
        values[output] = str(folder / output)
    values["report"] = str(folder / "report.html")
    return [text for name, value in values.items() for text in (f"--{name.replace('_', '-')}", value)]


@pytest.fixture(name="examples")
def examples_fixture(tmp_path: Path) -> Path:
    return write_examples(
        tmp_path / "examples", {"train": [pa.table(columns())], "eval": [pa.table(columns(90)), pa.table(columns(60))]}
    )


@pytest.fixture(name="step")
def step_fixture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs the step; keyword arguments are its flags, `to` names the folder of its outputs."""

    def run(examples: Path, to: str = "out", **more: str) -> Outcome:
        capsys.readouterr()
        try:
            code = cli.main(flags(examples, tmp_path / to, **more))
        except SystemExit as error:
            code = int(error.code or 0)
        shown = capsys.readouterr()
        return Outcome(code, shown.out, shown.err, tmp_path / to)

    return run
