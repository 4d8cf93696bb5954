"""A scaffolded pipeline: what is written compiles and passes lint, and nothing is half-written."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeyard.compiling import compiler
from pipeyard.errors import PipeyardError
from pipeyard.repository.project import Project
from pipeyard.scaffolds import column_roles, data_facts, new_pipeline
from pipeyard.scaffolds.column_roles import ColumnFacts
from pipeyard.scaffolds.data_facts import DataSource
from pipeyard.system import files

ROOT = Path(__file__).parents[3]
SETTINGS = "environments:\n  local:\n    target: local\n    pipeline_root: runs\n"
TARGETS = {
    "binary": ColumnFacts("will return?", "bool", 900, distinct=2),
    "multiclass": ColumnFacts("kind \u2013 of", "int64", 900, missing=3, distinct=3),
    "regression": ColumnFacts('the "price"', "double", 900, distinct=800, mean=1234567.8, deviation=0.25),
}
KINDS = {
    "numbers": [ColumnFacts("Size (cm)", "double", 900, distinct=500), ColumnFacts("it's", "int64", 900, distinct=9)],
    "categories": [ColumnFacts("colour of it", "string", 900, distinct=3)],
    "texts": [ColumnFacts('a "note"\n', "string", 900, distinct=800, words=9)],
    "dates": [ColumnFacts("Дата", "timestamp[us]", 900, distinct=700)],
    "left_out": [ColumnFacts("Row ID", "int64", 900, distinct=900), ColumnFacts("n", "double", 900, distinct=5)],
}
EVERYTHING = [column for columns in KINDS.values() for column in columns]


class Reader:
    """Tells what a test says of data."""

    def __init__(self, columns: list[ColumnFacts]) -> None:
        self._columns = columns

    def __call__(self, *_arguments: object) -> "Reader":
        return self

    def columns(self, _source: DataSource, _label: str) -> list[ColumnFacts]:
        return self._columns

    def schema(self, _source: DataSource, _plan: object, _where: str) -> str:
        return 'feature { name: "x" }\n'


@pytest.fixture
def project(tmp_path) -> Project:
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    (tmp_path / "rows.csv").write_text("a,b\n")
    (tmp_path / "components").symlink_to(ROOT / "components")
    return Project(tmp_path)


def write(project: Project, name: str = "things", file: str = "rows.csv", reader: Reader | None = None) -> list[Path]:
    target = TARGETS["binary"]
    reader = reader or Reader([*EVERYTHING, target])
    path = project.root / file
    return new_pipeline.write(project, name, path, target.name, "", "", lambda _: None, reader)[1]  # type: ignore[arg-type]


def _tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "components" not in path.parts
    }


def test_it_compiles_and_its_parameters_are_in_the_settings(project):
    written = write(project)
    assert [str(path.relative_to(project.root)) for path in written] == [
        "pipelines/things/pipeline.py",
        "pipelines/things/module.py",
        "pipelines/things/schema.pbtxt",
        "tests/pipelines/test_things.py",
        "settings.yaml",
    ]
    compiled = compiler.compile_pipeline(project.root / "pipelines/things")
    spec = yaml.safe_load(compiled.text)
    steps = next(
        each["dag"]["tasks"] for each in spec["components"].values() if "deploy" in each.get("dag", {}).get("tasks", {})
    )
    module = (project.root / "pipelines/things/module.py").read_text(encoding="utf-8")
    assert steps["deploy"]["inputs"]["parameters"]["module"] == {"runtimeValue": {"constant": module}}  # its MODEL_CARD
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    required = {name for name, each in inputs.items() if not each.get("isOptional")}
    entry = yaml.safe_load((project.root / "settings.yaml").read_text())["environments"]["local"]["pipelines"]["things"]
    assert required <= entry["parameters"].keys() <= inputs.keys()
    assert entry["parameters"]["source"] == "${PROJECT_ROOT}/rows.csv"


def test_whatever_the_columns_ruff_has_nothing_to_mend(tmp_path):
    number = 0
    for task, target in TARGETS.items():
        for columns in [EVERYTHING, *KINDS.values()]:
            for source in (
                DataSource("a.csv"),
                DataSource("sqlite:///a", 'SELECT * FROM "all of it"'),
                DataSource("b.csv", nulls=("NA", '"?"')),
            ):
                number += 1
                name = f"pipeline_{number}" + "_of_a_long_name" * (number % 3)
                plan = column_roles.plan([*columns, target], target.name, task)
                where = column_roles.condition(target.name) if target.missing else ""
                (tmp_path / name).mkdir()
                for file, text in new_pipeline.texts(name, plan, source, where).items():
                    (tmp_path / name / file).write_text(text, encoding="utf-8")
    for number_of_test, place in enumerate(
        [{"scheme": "", "inside": "a.csv"}, {"scheme": "sqlite:///", "inside": "a"}]
    ):
        test = new_pipeline.rendered("test_pipeline.py.j2", title="A", name="a", **place)
        (tmp_path / f"test_{number_of_test}.py").write_text(test)
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    # With the repository's rules; what it lets pass in pipelines goes by their path there.
    config = ["--config", str(ROOT / "pyproject.toml")]
    lint = ["check", *config, "--ignore=E712,B006", str(tmp_path)]
    for command in (lint, ["format", "--diff", *config, str(tmp_path)]):
        done = subprocess.run([*ruff, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    assert number == 54


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        ("pipelines/things", "pipelines/things is there already"),
        ("tests/pipelines/test_things.py", "test_things.py is there already"),
    ],
)
def test_an_existing_name_is_refused_and_nothing_is_written(project, taken, message):
    (project.root / taken).mkdir(parents=True)
    before = _tree(project.root)
    with pytest.raises(PipeyardError, match=message):
        write(project)
    assert _tree(project.root) == before


@pytest.mark.parametrize("name", ["Things", "my-things", "2things", "class", "a/b", "x" * 64])
def test_a_name_that_no_pipeline_can_have_is_refused(project, name):
    with pytest.raises(PipeyardError, match="can't be a pipeline's name"):
        write(project, name)


def test_whatever_fails_nothing_is_half_written(project, monkeypatch):
    before = _tree(project.root)
    whole = files.write_whole
    writes = 0

    def fail(path: Path, content: str) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise OSError(28, "No space left on device", str(path))
        whole(path, content)

    monkeypatch.setattr(files, "write_whole", fail)
    with pytest.raises(OSError, match="No space left"):
        write(project)
    assert _tree(project.root) == before
    with pytest.raises(PipeyardError, match="no column 'will return"):
        write(project, reader=Reader(KINDS["numbers"]))
    assert _tree(project.root) == before


def test_a_database_s_table_is_its_only_one_or_named(tmp_path):
    path = tmp_path / "rows.db"
    with sqlite3.connect(path) as database:
        database.execute('CREATE TABLE "all rows" (a)')
    assert data_facts.source_of(path) == DataSource(f"sqlite:///{path}", 'SELECT * FROM "all rows"')
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (a)")
    with pytest.raises(PipeyardError, match="has 2 tables: say which one by --table"):
        data_facts.source_of(path)
    with pytest.raises(PipeyardError, match="no table 'othr' .*Did you mean 'other'"):
        data_facts.source_of(path, "othr")
    assert data_facts.source_of(path, "other").query == 'SELECT * FROM "other"'
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with pytest.raises(PipeyardError, match="is no SQLite database"):
        data_facts.source_of(tmp_path / "rows.csv", "other")
    with pytest.raises(PipeyardError, match="There is no file .*rows.cvs .*Did you mean 'rows.csv'"):
        data_facts.source_of(tmp_path / "rows.cvs")
