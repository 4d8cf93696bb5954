import contextlib
import datetime
import decimal
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from argparse import Namespace
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import ONE_SPLIT
from extract import cli, databases, step
from google.api_core.exceptions import BadRequest
from google.auth.exceptions import DefaultCredentialsError

from stepkit.errors import StepError


@pytest.fixture(name="sqlite")
def fixture_sqlite(tmp_path):
    path = tmp_path / "data.db"
    rows = [(i, None if i < 3000 else i + 0.5, f"name {i}", b"\xff", i if i < 4000 else f"x{i}") for i in range(5000)]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE trips (id, amount, name, raw, mixed, empty)")
        connection.executemany("INSERT INTO trips VALUES (?, ?, ?, ?, ?, NULL)", rows)
        connection.commit()
    return path


def test_sqlite(extract, sqlite):
    query = "SELECT id, amount, name, raw FROM trips ORDER BY id DESC;"
    manifest = extract.ok(f"sqlite:///{sqlite}", "--query", query, "--where", "id % 2 = 0", *ONE_SPLIT)
    assert [column["type"] for column in manifest["columns"]] == ["int64", "double", "string", "binary"]
    rows = extract.table().to_pylist()
    assert [row["id"] for row in rows] == list(range(4998, -1, -2))
    assert rows[0] == {"id": 4998, "amount": 4998.5, "name": "name 4998", "raw": b"\xff"}
    assert rows[-1]["amount"] is None
    assert manifest["source"]["files"][0]["path"] == str(sqlite)
    assert len(manifest["source"]["files"][0]["sha256"]) == 64


def test_sqlite_numbers_and_text_in_one_column(extract, sqlite):
    manifest = extract.ok(f"sqlite:///{sqlite}", "--query", "SELECT mixed, empty FROM trips", *ONE_SPLIT)
    assert [column["type"] for column in manifest["columns"]] == ["string", "string"]
    assert extract.table()["mixed"].to_pylist()[3999:4001] == ["3999", "x4000"]
    warnings = extract.capsys.readouterr().err
    assert "warning: column 'mixed' has numbers and text; all become text" in warnings
    assert "warning: column 'empty' is null in every row" in warnings


def test_sqlite_types_given(extract, sqlite):
    flags = ["--query", "SELECT '2013-01-0' || (id + 1) AS day FROM trips LIMIT 3", "--column-types", '{"day": "DATE"}']
    assert extract.rows(f"sqlite:///{sqlite}", *flags)[2] == {"day": datetime.date(2013, 1, 3)}


def test_sqlite_is_not_written_to(extract, sqlite):
    sqlite.chmod(0o444)
    before = sorted(sqlite.parent.iterdir())
    error = extract.fails(f"sqlite:///{sqlite}", "--query", "DELETE FROM trips", *ONE_SPLIT)
    assert "SQLite can't run --query" in error
    assert sorted(sqlite.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("source", "query", "message"),
    [
        ("sqlite:///{folder}/dato.db", "SELECT 1", "There is no database '{folder}/dato.db'. Did you mean 'data.db'?"),
        ("sqlite:///{relative}/data.db", "SELECT 1", "give four slashes: sqlite:///{folder}/data.db"),
        ("sqlite://data.db", "SELECT 1", "isn't sqlite:///FILE"),
        ("sqlite:///{folder}/data.db", "SELECT nope FROM trips", "no such column: nope"),
        ("sqlite:///{folder}/data.db", "SELECT FROM", "syntax error"),
        ("sqlite:///{folder}/text.db", "SELECT 1 AS one", "file is not a database"),
        ("sqlite:///{folder}/data.db", "SELECT 1 AS one LIMIT 0", "No rows: the source has none"),
        ("sqlite:///{folder}/data.db", "SELECT 1 AS a UNION ALL SELECT x'00'", "Column 'a' of --query has both blobs"),
    ],
)
def test_bad_sqlite(extract, sqlite, source, query, message):
    (sqlite.parent / "text.db").write_text("no database " * 100)
    places = {"folder": str(sqlite.parent), "relative": str(sqlite.parent).lstrip("/")}
    error = extract.fails(source.format(**places), "--query", query, *ONE_SPLIT)
    assert message.format(**places) in error


def test_database_usage(extract, sqlite):
    assert "a database in --source needs a --query" in extract.fails(f"sqlite:///{sqlite}", code=2)
    error = extract.fails(f"sqlite:///{sqlite}", "--query", "SELECT 1", "--format", "csv", code=2)
    assert "--format csv reads files, and --source is a database" in error


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me@host/db?password=secret&sslmode=require", "postgresql://me@host/db?sslmode=require"),
        ("postgresql://one,two/db", "postgresql://one,two/db"),
        ("bigquery://project", "bigquery://project"),
        ("sqlite:////folder/data.db", "sqlite:////folder/data.db"),
    ],
)
def test_passwords_are_not_shown(source, shown):
    assert databases.without_password(source) == shown


def _server_programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@pytest.fixture(name="postgres", scope="module")
def fixture_postgres():
    programs = _server_programs()
    if not programs:
        missing = "no PostgreSQL server is installed (Debian: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # The server refuses to run as root, and its user must be able to enter its folder.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = tempfile.mkdtemp(prefix="postgres-")
    if user:
        shutil.chown(folder, "postgres", "postgres")
    try:
        options = {"stdout": subprocess.DEVNULL, "cwd": folder, **user}
        data = f"{folder}/data"
        subprocess.run([programs / "initdb", "-D", data, "-A", "trust", "-U", "tester", "-N"], check=True, **options)
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        start = [programs / "pg_ctl", "-D", data, "-o", settings, "-l", f"{folder}/log", "-w", "start"]
        subprocess.run(start, check=True, **options)
        try:
            yield f"postgresql://tester:secret@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, **options)
    finally:
        shutil.rmtree(folder)


def test_postgres(extract, postgres):
    query = """
        SELECT i AS id, i::int2 AS small, i / 4.0::float4 AS single, (i + 0.25)::numeric(10, 2) AS price,
          i % 2 = 0 AS flag, 'n' || i AS name, timestamp '2013-01-01' + i * interval '1 day' AS at,
          timestamptz '2013-01-01 10:00+02' AS utc,
          date '2013-01-31' AS day, '\\x00ff'::bytea AS raw, '{"a": 1}'::jsonb AS doc,
          'f47ac10b-58cc-4372-a567-0e02b2c3d479'::uuid AS uuid, NULLIF(i, 0) AS late
        FROM generate_series(0, 9999) AS i ORDER BY i"""
    manifest = extract.ok(postgres, "--query", query, "--where", "id < 5000", *ONE_SPLIT)
    assert {column["name"]: column["type"] for column in manifest["columns"]} == {
        "id": "int64",
        "small": "int64",
        "single": "double",
        "price": "double",
        "flag": "bool",
        "name": "string",
        "at": "timestamp[us]",
        "utc": "timestamp[us, tz=UTC]",
        "day": "date32[day]",
        "raw": "binary",
        "doc": "string",
        "uuid": "string",
        "late": "int64",
    }
    table = extract.table()
    assert table["id"].to_pylist() == list(range(5000))
    row = table.to_pylist()[3]
    assert (row["price"], row["single"], row["late"], row["raw"]) == (3.25, 0.75, 3, b"\x00\xff")
    assert row["utc"] == datetime.datetime(2013, 1, 1, 8, tzinfo=datetime.UTC)
    assert row["uuid"] == "f47ac10b-58cc-4372-a567-0e02b2c3d479"
    assert "secret" not in (extract.outputs / "manifest").read_text()


POSTGRES = {
    "numeric, whole": ("9007199254740993::numeric, 9007199254740992", "int64", [2**53 + 1, 2**53]),
    "numeric, 38 digits": (f"{'9' * 38}::numeric, 1", "string", ["9" * 38, "1"]),
    "numeric with a scale": ("1.50::numeric(10, 2), NULL", "double", [1.5, None]),
    "numeric that a double keeps": ("0.1::numeric, 12345.678", "double", [0.1, 12345.678]),
    "numeric that it doesn't": ("90071992547409.931::numeric, 1", "string", ["90071992547409.931", "1"]),
    "whole numerics beside fractions": ("9007199254740993::numeric, 0.5", "string", ["9007199254740993", "0.5"]),
    "numeric without a number": ("'NaN'::numeric, 1", "string", ["nan", "1"]),
    "numeric, all null": ("NULL::numeric, NULL", "double", [None, None]),
    "interval": ("interval '1 month 2 days', NULL", "string", ["1 month 2 days", None]),
    "time": ("time '10:00', NULL", "time64[us]", [datetime.time(10), None]),
}


@pytest.mark.parametrize(("values", "becomes", "read"), POSTGRES.values(), ids=POSTGRES)
def test_postgres_values_are_exact(extract, postgres, values, becomes, read):
    query = f"SELECT n, x FROM unnest(ARRAY[1, 2], ARRAY[{values}]) AS t(n, x) ORDER BY n"
    manifest = extract.ok(postgres, "--query", query, *ONE_SPLIT)
    assert manifest["columns"][1] == {"name": "x", "type": becomes}
    assert extract.table()["x"].to_pylist() == read
    assert ("x" in manifest["notes"]) == (becomes == "string")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("'101'::bit(3)", "101"),
        ("'10.0.0.1'::inet", "10.0.0.1/32"),
        ("'10:00+02'::timetz", "10:00:00+02"),
        ("'(1,2)'::point", "(1,2)"),
    ],
)
def test_postgres_types_that_come_as_bytes(extract, postgres, value, text):
    error = extract.fails(postgres, "--query", f"SELECT 1 AS k, {value} AS x", *ONE_SPLIT)
    assert "Column 'x' of --query is " in error
    assert 'Cast it there, e.g. "x"::text' in error
    assert extract.rows(postgres, "--query", f"SELECT ({value})::text AS x") == [{"x": text}]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT nope FROM pg_class", 'column "nope" does not exist'),
        ("SELEC 1", "syntax error"),
        ("SELECT 1 / (i - 5000) AS a FROM generate_series(1, 10000) AS i", "division by zero"),
        ("CREATE TABLE pushed (a INT)", "read-only transaction"),
        ("SELECT array[1, 2] AS a", "Column 'a' is INTEGER[]"),
    ],
)
def test_bad_postgres_query(extract, postgres, query, message):
    error = extract.fails(postgres, "--query", query, *ONE_SPLIT)
    assert message in error
    assert "secret" not in error


def test_no_postgres_server(extract):
    error = extract.fails("postgresql://me:secret@127.0.0.1:1/db", "--query", "SELECT 1", *ONE_SPLIT)
    assert "Connection refused" in error
    assert "secret" not in error


class Warehouse:
    """Stands for BigQuery's two clients: answers a query with real Arrow batches, as its storage API does."""

    def __init__(self, batches: list[pa.RecordBatch], error: Exception | None = None) -> None:
        self.batches = batches
        self.error = error
        self.asked: list[tuple[object, ...]] = []

    def clients(self, project: str) -> tuple[object, object]:
        self.asked.append(("project", project))
        return self, "storage"

    def query_and_wait(self, query: str) -> "Warehouse":
        self.asked.append(("query", query))
        if self.error:
            raise self.error
        return self

    def to_arrow_iterable(self, bqstorage_client: object, max_stream_count: int):
        self.asked.append(("download", bqstorage_client, max_stream_count))
        yield from self.batches


def warehouse_args(extract, source: str = "bigquery://project-1") -> Namespace:
    outputs = ["--examples", str(extract.outputs / "examples"), "--manifest", str(extract.outputs / "manifest")]
    return cli.build_parser().parse_args(["--source", source, "--query", "SELECT x", *ONE_SPLIT, *outputs])


def test_bigquery(extract):
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("price", pa.decimal128(38, 9)),
            ("at", pa.timestamp("us", tz="UTC")),
            ("name", pa.string()),
        ]
    )
    at = datetime.datetime(2013, 1, 31, 10, tzinfo=datetime.UTC)
    batches = [
        pa.RecordBatch.from_pylist(
            [{"id": i, "price": decimal.Decimal("0.5") * i, "at": at, "name": None} for i in range(start, start + 3)],
            schema=schema,
        )
        for start in (0, 3)
    ]
    warehouse = Warehouse(batches)
    step.run(warehouse_args(extract), warehouse.clients)
    assert warehouse.asked == [("project", "project-1"), ("query", "SELECT x"), ("download", "storage", 1)]
    assert extract.table().to_pylist()[5] == {"id": 5, "price": 2.5, "at": at, "name": None}
    assert [str(kind) for kind in extract.table().schema.types] == [
        "int64",
        "double",
        "timestamp[us, tz=UTC]",
        "string",
    ]


@pytest.mark.parametrize(
    ("source", "warehouse", "message"),
    [
        ("bigquery://project-1", Warehouse([]), "gives no rows"),
        ("bigquery://project-1", Warehouse([], BadRequest("Unrecognized name: x")), "Unrecognized name: x"),
        ("bigquery://", Warehouse([]), "names no project"),
    ],
)
def test_bad_bigquery(extract, source, warehouse, message):
    with pytest.raises(StepError, match=message):
        step.run(warehouse_args(extract, source), warehouse.clients)
    assert not extract.outputs.exists() or not list(extract.outputs.iterdir())


def test_bigquery_without_credentials(extract, monkeypatch):
    def refuse(**_: object) -> None:
        raise DefaultCredentialsError("none found")

    monkeypatch.setattr("google.cloud.bigquery.Client", refuse)
    error = extract.fails("bigquery://project-1", "--query", "SELECT 1", *ONE_SPLIT)
    assert "No credentials for BigQuery (none found). Run gcloud auth application-default login" in error
