"""What `pipeyard new pipeline` writes runs to a pushed model as it is: each task, from each kind of file.

The table is one of 344 penguins as they were measured: names with spaces and brackets, dates, remarks, gaps.
"""

import importlib.util
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import ModuleType

import duckdb
import pytest
import yaml
from whole_runs import PIPEYARD, SETUP, Ran

STEPS = {"extract", "data-validation", "transform", "train", "evaluate", "deploy", "summarize"}


@dataclass(frozen=True)
class Scaffold:
    """A pipeline, its data, and the column that it predicts; the task is the one that the column's values suggest."""

    task: str
    file: str
    label: str

    @property
    def name(self) -> str:
        return f"{self.task}_birds"


SCAFFOLDS = [
    Scaffold("binary", "birds.csv", "Sex"),
    Scaffold("regression", "birds.parquet", "Body Mass (g)"),
    Scaffold("multiclass", "birds.db", "Species"),
]


def _write_tables(source: Path, folder: Path) -> None:
    """Writes a table as CSV, as Parquet, and into SQLite, where its name has a space, too."""
    folder.mkdir()
    rows = duckdb.read_csv(str(source), na_values="NA")
    rows.write_csv(str(folder / "birds.csv"))
    rows.write_parquet(str(folder / "birds.parquet"))
    columns = ", ".join(f'"{name}"' for name in rows.columns)
    values = [[str(each) if isinstance(each, date) else each for each in row] for row in rows.fetchall()]
    with closing(sqlite3.connect(folder / "birds.db")) as database, database:
        database.execute(f'CREATE TABLE "all birds" ({columns})')
        database.executemany(f'INSERT INTO "all birds" VALUES ({", ".join("?" * len(rows.columns))})', values)


@pytest.fixture(name="scaffolded", scope="module")
def fixture_scaffolded(project: Path) -> Iterator[Path]:
    """The project with the pipelines in it, as they were written."""
    before = (project / "settings.yaml").read_bytes()
    subprocess.run([project / "pipelines/penguins/fetch-data"], check=True, env=SETUP)
    _write_tables(project / "pipelines/penguins/data/penguins.csv", project / "birds")
    for each in SCAFFOLDS:  # one after the other: each adds to settings.yaml
        command = [PIPEYARD, "new", "pipeline", each.name, "--data", project / "birds" / each.file]
        done = subprocess.run(
            [*command, "--label", each.label, "--project", project],
            capture_output=True,
            text=True,
            check=False,
            env=SETUP,
        )
        assert done.returncode == 0, done.stderr
        assert f"{each.task} of {each.label}" in done.stdout
    yield project
    (project / "settings.yaml").write_bytes(before)
    shutil.rmtree(project / "birds")
    for each in SCAFFOLDS:
        shutil.rmtree(project / "pipelines" / each.name)
        (project / f"tests/pipelines/test_{each.name}.py").unlink()


@pytest.fixture(name="finished", scope="module")
def fixture_finished(scaffolded: Path, pipeyard_run: Callable[..., Ran]) -> dict[str, Ran]:
    """A run of each, without a parameter: steps wait for one another, so runs share the cores."""
    names = [each.name for each in SCAFFOLDS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(pipeyard_run, names), strict=True))


@pytest.mark.parametrize("scaffold", SCAFFOLDS, ids=lambda each: each.task)
def test_a_model_is_pushed_and_the_written_test_says_so(
    scaffold: Scaffold, scaffolded: Path, finished: dict[str, Ran]
) -> None:
    ran = finished[scaffold.name]
    assert ran.code == 0, ran.text
    assert ran.states == dict.fromkeys(STEPS, "SUCCEEDED")
    pushed = scaffolded / "serving" / scaffold.name / "1"
    assert (ran.output("outcome"), ran.output("pushed_uri")) == ("deployed", str(pushed))
    assert (pushed / "saved_model.pb").is_file()
    settings = yaml.safe_load((scaffolded / "settings.yaml").read_text(encoding="utf-8"))
    given = settings["environments"]["local"]["pipelines"][scaffold.name]["parameters"]["source"]

    def ends(pipeline: str, *, source: str, epochs: int) -> Ran:
        assert (pipeline, epochs) == (scaffold.name, 1)
        assert source == given.replace("${PROJECT_ROOT}", str(scaffolded))
        return ran

    _written_test(scaffolded, scaffold.name).test_a_model_is_pushed(ends)


def _written_test(project: Path, name: str) -> ModuleType:
    path = project / f"tests/pipelines/test_{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows_without_a_label_are_left_out(finished: dict[str, Ran]) -> None:
    assert finished["binary_birds"].output("row_count") == 333  # of 344, as 11 have no sex
    assert finished["regression_birds"].output("row_count") == 342
    assert finished["multiclass_birds"].output("row_count") == 344
