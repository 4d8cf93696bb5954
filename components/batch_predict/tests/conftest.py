"""A small model of each task, made once, and examples of two splits."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_predict import cli
from small_models import export

from stepkit import digest, tasks

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROWS: list[dict[str, Any]] = [
    {"id": f"r{number}", "miles": 0.3 if number == 0 else number / 8, "area": number % 3 or None, "Company Name": name}
    for number, name in enumerate(["", None, "Blue", "Ünder", *["Taxi"] * 16])
]


def write_examples(folder: Path, splits: dict[str, Sequence[pa.Table]]) -> Path:
    """Writes tables as extract does, a file each."""
    described = {}
    for split, tables in splits.items():
        (folder / split).mkdir(parents=True)
        files = []
        for number, table in enumerate(tables):
            path = f"{split}/part-{number:05}.parquet"
            pq.write_table(table, folder / path)
            files.append({"path": path, "rows": table.num_rows, "sha256": digest.of_file(folder / path)})
        described[split] = {"rows": sum(table.num_rows for table in tables), "files": files}
    (folder / "manifest.json").write_text(json.dumps({"columns": [], "splits": described}))
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the model of a task, which is made once."""
    folder = tmp_path_factory.mktemp("models")

    def of(task: str) -> Path:
        return folder / task if (folder / task).exists() else export(folder / task, task)

    return of


@pytest.fixture(scope="session")
def model(models: Callable[[str], Path]) -> Path:
    """The binary one."""
    return models(tasks.BINARY)


@pytest.fixture(scope="session")
def table() -> pa.Table:
    """The rows of the examples, in order."""
    return pa.Table.from_pylist(ROWS)


@pytest.fixture(scope="session")
def examples(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits, the first of two files."""
    parts = {"eval": [table.slice(0, 7), table.slice(7, 5)], "test": [table.slice(12)]}
    return write_examples(tmp_path_factory.mktemp("data") / "examples", parts)


@dataclass(frozen=True)
class Program:
    """The component's program, with a folder for its outputs."""

    out: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, examples: Path, model: Path, *flags: str) -> int:
        """Runs it in this process; returns its exit code."""
        outputs = ["--predictions", str(self.out / "predictions"), "--row-count", str(self.out / "row_count")]
        return cli.main(["--examples", str(examples), "--model", str(model), *outputs, *flags])

    def fails(self, examples: Path, model: Path, *flags: str, code: int = 1) -> str:
        """Returns the error that it ends with, having left nothing."""
        before = sorted(self.out.rglob("*"))
        assert self.run(examples, model, *flags) == code
        assert sorted(self.out.rglob("*")) == before
        return self.capsys.readouterr().err

    @property
    def manifest(self) -> dict[str, Any]:
        """What it says of the predictions."""
        found: dict[str, Any] = json.loads((self.out / "predictions/manifest.json").read_text(encoding="utf-8"))
        return found

    def table(self) -> pa.Table:
        """Returns the predictions among its outputs, in the manifest's order."""
        files = [self.out / "predictions" / file["path"] for file in self.manifest["files"]]
        return pa.concat_tables([pq.read_table(file) for file in files])


@pytest.fixture
def program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    """The program, without any output yet."""
    (tmp_path / "out").mkdir()
    return Program(tmp_path / "out", capsys)
