"""What is known of some data's columns, and the schema that they keep: by the programs of extract and data_validation.

Each runs in its component's environment, as a step of a pipeline does, so that the data are read as they will be.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.repository import component_programs
from pipeyard.repository.project import Project
from pipeyard.scaffolds.column_roles import ColumnFacts, ColumnPlan

_SQLITE = b"SQLite format 3\0"
_EXTRACT = "extract: "  # what its lines begin with

# In extract's environment: what the Parquet files of its output have.
_COUNT = """
import json, sys
import duckdb, pyarrow.parquet
folder, label = sys.argv[1:]
files = sorted(str(path) for path in __import__("pathlib").Path(folder).rglob("*.parquet"))
types = {field.name: str(field.type) for field in pyarrow.parquet.read_schema(files[0])}
source = duckdb.read_parquet(files)
year_first = "[0-9]{4}(-[0-9]{2}-|/[0-9]{2}/|[.][0-9]{2}[.])[0-9]{2}"
clock = "[ T][0-9]{2}:[0-9]{2}.*"
forms = {"date": year_first, "timestamp": f"{year_first}({clock})?",
         "other": f"[0-9]{{1,2}}([-/.])[0-9]{{1,2}}[-/.][0-9]{{2,4}}( .*)?"}
found = []
for name, kind in types.items():
    column = '"' + name.replace('"', '""') + '"'
    number = kind.startswith(("int", "uint", "double", "float", "decimal"))
    words = f"avg(len(string_split_regex(trim({column}), '\\\\s+')))" if kind == "string" else "0"
    finite = f"FILTER (isfinite({column}::DOUBLE))"
    moments = f"avg({column}) {finite}, stddev_pop({column}) {finite}" if number and name == label else "0, 0"
    counts = f"count(*), count(*) - count({column}), count(DISTINCT {column}), {words}, {moments}"
    rows, missing, distinct, words, mean, deviation = source.aggregate(counts).fetchall()[0]
    dates = ""
    for form, pattern in reversed(forms.items()) if kind == "string" and rows > missing else ():
        if source.aggregate(f"bool_and(regexp_full_match({column}, '{pattern}'))").fetchall()[0][0]:
            dates = form
    word = ""
    if kind == "string":
        number = f"coalesce(isfinite(TRY_CAST({column} AS DOUBLE)), false)"
        words_of = f"{column} IS NOT NULL AND NOT {number}"
        first, last, numbers = source.aggregate(
            f"min({column}) FILTER ({words_of}), max({column}) FILTER ({words_of}), "
            f"count(DISTINCT {column}) FILTER ({number})"
        ).fetchall()[0]
        word = first if first == last and first and numbers > 1 else ""
    rarest = 0
    if name == label:
        per_value = source.filter(f"{column} IS NOT NULL").aggregate("count(*) AS n", column)
        rarest = per_value.aggregate("min(n)").fetchall()[0][0] or 0
    found.append(dict(name=name, type=kind, rows=rows, missing=missing, distinct=distinct, words=words or 0,
                      dates=dates, word=word, rarest=rarest, mean=mean or 0, deviation=deviation or 0))
print(json.dumps(found))
"""
# In data_validation's: the schema of the columns that are read, in which SERVING has all but the label.
_KEPT = """
import json, sys
from google.protobuf import text_format
from stepkit import schemas
path, wanted, label = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
schema = schemas.read(path)
schema.default_environment[:] = [schemas.TRAINING, schemas.SERVING]
kept = [feature for feature in schema.feature if feature.name in wanted]
for feature in kept:
    if feature.name == label:
        feature.not_in_environment.append(schemas.SERVING)
domains = {feature.domain for feature in kept if feature.domain}
texts = [domain for domain in schema.string_domain if domain.name in domains]
del schema.feature[:], schema.string_domain[:]
schema.feature.extend(kept)
schema.string_domain.extend(texts)
print(text_format.MessageToString(schema, as_utf8=True), end="")
"""


@dataclass(frozen=True)
class DataSource:
    """Data as extract reads them.

    Attributes:
        location: a path, or an address of a database.
        query: SQL; empty for files.
        nulls: texts that stand for a missing value, besides the empty one.
    """

    location: str
    query: str = ""
    nulls: tuple[str, ...] = ()

    @property
    def null_values(self) -> list[str]:
        """What extract is given; empty: its default."""
        return ["", *self.nulls] if self.nulls else []


def source_of(file: Path, table: str = "") -> DataSource:
    """Returns a file as extract reads it.

    Args:
        table: of a database; empty: its only one.

    Raises:
        PipeyardError: it isn't there, or it isn't said which table is meant.
    """
    if not file.is_file():
        near = [each.name for each in file.parent.glob("*") if each.is_file()] if file.parent.is_dir() else []
        raise PipeyardError(f"There is no file {file} (--data). {near_misses(file.name, near)}")
    path = file.resolve()
    with path.open("rb") as stream:
        is_database = stream.read(len(_SQLITE)) == _SQLITE
    if not is_database:
        if table:
            raise PipeyardError(f"{file} is no SQLite database, so it has no table {table!r}. Leave --table out.")
        return DataSource(str(path))
    tables = _tables(path)
    if table not in (tables if table else ("",)):
        raise PipeyardError(f"{file} has no table {table!r} (--table). {near_misses(table, tables)}")
    if not table and len(tables) != 1:
        raise PipeyardError(f"{file} has {len(tables)} tables: say which one by --table. {near_misses('', tables)}")
    name = (table or tables[0]).replace('"', '""')
    return DataSource(f"sqlite:///{path}", f'SELECT * FROM "{name}"')


def _tables(path: Path) -> list[str]:
    try:
        database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            kinds = "type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
            return [row[0] for row in database.execute(f"SELECT name FROM sqlite_master WHERE {kinds} ORDER BY name")]
        finally:
            database.close()
    except sqlite3.Error as error:
        raise PipeyardError(f"{path} can't be read as a SQLite database: {error}. Check the file.") from error


class DataReader:
    """Reads data by the programs of a project's components.

    Args:
        folder: where outputs go.
        say: hears what takes time.
    """

    def __init__(self, project: Project, folder: Path, say: Callable[[str], None]) -> None:
        self._project = project
        self._folder = folder
        self._say = say

    def columns(self, source: DataSource, label: str) -> list[ColumnFacts]:
        """Returns what is known of each column; says what extract tells of their types.

        Raises:
            PipeyardError: the data can't be read.
        """
        self._say("reading the data")
        examples = self._examples(source, "all", (), self._tell)
        told = self._python("extract", "-c", _COUNT, str(examples), label)
        return [ColumnFacts(**each) for each in json.loads(told)]

    def schema(self, source: DataSource, plan: ColumnPlan, where: str) -> str:
        """Returns the inferred schema of the columns that a plan reads, as text proto.

        Raises:
            PipeyardError: it can't be inferred.
        """
        self._say("inferring the schema")
        extract = ["--columns", json.dumps(plan.columns), *(("--where", where) if where else ())]
        examples = self._examples(source, "read", extract)
        schema = self._folder / "schema"
        named = [
            argument
            for name in ("statistics", "anomalies", "report", "valid", "anomaly-count", "drift-detected")
            for argument in (f"--{name}", str(self._folder / f"validation/{name}"))
        ]
        self._python(
            "data_validation", "-m", "data_validation", "--examples", str(examples), "--schema", str(schema), *named
        )
        return self._python("data_validation", "-c", _KEPT, str(schema), json.dumps(plan.columns), plan.label.name)

    def _tell(self, line: str) -> None:
        if line.startswith(f"{_EXTRACT}column "):
            self._say(line.removeprefix(_EXTRACT).replace("--null-values", "--null"))

    def _examples(
        self, source: DataSource, name: str, more: Sequence[str], hear: Callable[[str], object] = lambda line: None
    ) -> Path:
        folder = self._folder / name
        query = ["--query", source.query] if source.query else []
        query += ["--null-values", json.dumps(source.null_values)] if source.nulls else []
        outputs = [
            *("--examples", str(folder / "examples"), "--manifest", str(folder / "manifest")),
            *("--row-count", str(folder / "rows"), "--splits", '{"train": 1}'),
        ]
        self._python("extract", "-m", "extract", "--source", source.location, *query, *more, *outputs, hear=hear)
        return folder / "examples"

    def _python(self, component: str, *arguments: str, hear: Callable[[str], object] = lambda line: None) -> str:
        return component_programs.run(self._project, component, [*arguments], "data are read", self._say, hear)
