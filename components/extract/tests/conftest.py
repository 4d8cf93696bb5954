import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from extract import step
from extract.cli import build_parser, main

ONE_SPLIT = ("--splits", '{"all": 1}')


@dataclass
class Extract:
    """Runs the step in a folder of the test."""

    folder: Path
    capsys: Any

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"

    def run(self, source: Any, *flags: str) -> int:
        return main(
            [
                *("--source", str(source), *flags),
                *("--examples", str(self.outputs / "examples"), "--manifest", str(self.outputs / "manifest")),
                *("--row-count", str(self.outputs / "row_count")),
            ]
        )

    def ok(self, source: Any, *flags: str) -> dict[str, Any]:
        """Runs the step, which must succeed, and returns the manifest."""
        code = self.run(source, *flags)
        assert code == 0, self.capsys.readouterr().err
        return json.loads((self.outputs / "manifest").read_text())

    def table(self, split: str = "all") -> pa.Table:
        """Returns the rows of a split in order."""
        return pa.concat_tables(pq.read_table(file) for file in sorted((self.outputs / "examples" / split).iterdir()))

    def rows(self, source: Any, *flags: str) -> list[dict[str, Any]]:
        """Runs the step with one split and returns its rows."""
        self.ok(source, *ONE_SPLIT, *flags)
        return self.table().to_pylist()

    def fails(self, source: Any, *flags: str, code: int = 1) -> str:
        """Runs the step, which must fail and write nothing, and returns what it says."""
        before = sorted(self.outputs.rglob("*"))
        assert self.run(source, *flags) == code
        assert sorted(self.outputs.rglob("*")) == before
        error = self.capsys.readouterr().err
        assert "Traceback" not in error
        return error


@pytest.fixture(name="extract")
def fixture_extract(tmp_path, capsys):
    return Extract(tmp_path, capsys)


@pytest.fixture(name="csv")
def fixture_csv(tmp_path):
    def write(text: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture(name="numbered")
def fixture_numbered(csv):
    """Makes a CSV file of `count` rows with an id, a group, an amount and a day."""

    def write(count: int, name: str = "data.csv", order: Sequence[int] | None = None) -> Path:
        rows = [f"{i},g{i % 7},{i / 4},2013-{i % 12 + 1:02}-01" for i in (order or range(count))]
        return csv("id,group,amount,day\n" + "\n".join(rows) + "\n", name)

    return write


@pytest.fixture(name="database_stream")
def fixture_database_stream(extract):
    """Extracts a table as the stream of a database; BigQuery's client is the one that can be given."""

    class Warehouse:
        def __init__(self, table: pa.Table) -> None:
            self.table = table

        def query_and_wait(self, query: str) -> Any:
            del query
            return self

        def to_arrow_iterable(self, **_: Any) -> Any:
            yield from self.table.to_batches()

    def run(table: pa.Table, *flags: str) -> Any:
        outputs = ["--examples", str(extract.outputs / "examples"), "--manifest", str(extract.outputs / "manifest")]
        source = ["--source", "bigquery://project", "--query", "SELECT x", *ONE_SPLIT, *flags]

        def way() -> dict[str, Any]:
            step.run(build_parser().parse_args([*source, *outputs]), lambda _: (Warehouse(table), None))
            return json.loads((extract.outputs / "manifest").read_text())

        return way

    return run
