"""Types that `--column-types` declares hold each value, or are refused with one that they don't."""

import contextlib
import datetime
import json
import sqlite3
from decimal import Decimal as D

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ONE_SPLIT
from extract import declared, json_texts
from extract.sql import engine, literal
from extract.tables import Table
from tfrecords import example, framed

from stepkit.errors import StepError

# Type, and values as text that it holds, each with what it is then as text.
HOLDS = {
    "BIGINT": {"007": "7", "1e2": "100", "1.50e1": "15", " 12 ": "12", "1.": "1", "-0": "0", "9007199254740993": None},
    "DOUBLE": {"0.1": None, "1e300": None, "1e23": None, "9007199254740994": "9007199254740994.0", "nan": None},
    "FLOAT": {"0.1": None, "16777216": "16777216.0", "1e10": "10000000000.0"},
    "DECIMAL(10, 2)": {"1.5": "1.50", "1e2": "100.00", "0.10000": "0.10", "-3": "-3.00"},
    "DECIMAL(38, 0)": {"12345678901234567890123456789012345678": None},
    "HUGEINT": {"-170141183460469231731687303715884105728": None},
    "BOOLEAN": {"true": None, "F": "false", "1": "true", "no": "false"},
    "DATE": {"2013-01-31": None, "2013-01-31 00:00:00": "2013-01-31", "2013-1-5": "2013-01-05", "1066-10-14": None},
    "TIME": {"10:00": "10:00:00", "10:00:00.123456": None, "10:00:00.1234560": "10:00:00.123456"},
    "TIMESTAMP": {
        "2013-01-31": "2013-01-31 00:00:00",
        "2013-01-31 10:00:00.123456": None,
        "1906-01-31T10:00:00Z": "1906-01-31 10:00:00",
        "9999-12-31 23:59:59.999999": None,
    },
    "TIMESTAMP(3)": {"2013-01-31 10:00:00.123000": "2013-01-31 10:00:00.123"},
    "TIMESTAMP_NS": {"2013-01-31 10:00:00.123456789": None},
    "TIMESTAMPTZ": {"2013-01-31 10:00:00+02": "2013-01-31 08:00:00+00"},
    "UUID": {"f47ac10b-58cc-4372-a567-0e02b2c3d479": None},
}
# Type, and values as text that it doesn't hold, each with a part of what is said.
CHANGES = {
    "BIGINT": {
        "1.5": "has fractions, but --column-types says BIGINT (row 2: '1.5'). Say DOUBLE",
        "1e-1": "fractions",
        "9007199254740993.5": "fractions",
        "9223372036854775808": "too large",
        "x": "Row 2: column 'x' has 'x', which is no BIGINT",
        "1,5": "which is no BIGINT",
    },
    "UTINYINT": {"256": "too large", "-1": "too large"},
    "DOUBLE": {
        "9007199254740993": "has whole numbers that would be rounded",
        "9007199254740993.0": "rounded",
        "1e400": "too large or too small",
        "1e-400": "too large or too small",
    },
    "FLOAT": {"16777217": "rounded", "123456790": "rounded", "1e39": "too large", "1e-60": "too small"},
    "REAL": {"33554433": "rounded"},
    "DECIMAL(10, 2)": {"1.005": "has more digits, but", "1e-3": "more digits", "123456789.5": "more digits"},
    "BOOLEAN": {"2": "which is no BOOLEAN", "on": "which is no BOOLEAN"},
    "DATE": {
        "2013-01-31 10:00:00": "has times of day, but --column-types says DATE (row 2: '2013-01-31 10:00:00')",
        "2013-01-31T00:00:00+02:00": "has zones",
        "infinity": "has what is no time, but",
        "0000-01-01": "has what is no time, but",
        "2013-02-30": "which is no DATE",
    },
    "TIME": {
        "2013-01-31 10:00": "values that would change",
        "10:00:00.1234567": "finer fractions of a second",
        "10:00:00+02": "has zones",
    },
    "TIMESTAMP": {
        "2013-01-31 10:00:00.1234567": "has finer fractions of a second, but --column-types says TIMESTAMP (row 2",
        "2013-01-31 10:00:00+02": "has zones, but --column-types says TIMESTAMP",
        "2013-01-31 10:00:00 Europe/Berlin": "zones",
        "-infinity": "what is no time",
    },
    "TIMESTAMP(0)": {"2013-01-31 10:00:00.6": "finer fractions"},
    "TIMESTAMP_MS": {"2013-01-31 10:00:00.1234": "finer fractions"},
    "TIMESTAMPTZ": {"2013-01-31 10:00:00.1234567+00": "finer fractions"},
    "TIMESTAMP_NS": {"2013-01-31 10:00:00.1234567891": "finer fractions"},
}
# A value of a type, a type that doesn't hold it, and one that does, with the value as text.
TYPED = {
    "fraction": ("1.5::DOUBLE", "BIGINT", "DECIMAL(3, 1)", "1.5"),
    "large fraction": ("2251799813685248.5::DOUBLE", "HUGEINT", "VARCHAR", "2251799813685248.5"),
    "more digits": ("1.005::DOUBLE", "DECIMAL(10, 2)", "DECIMAL(10, 3)", "1.005"),
    "of a float": ("0.1::FLOAT", "BIGINT", "DECIMAL(10, 2)", "0.10"),
    "whole": ("9007199254740993::BIGINT", "DOUBLE", "DECIMAL(18, 0)", "9007199254740993"),
    "for a float": ("16777217::INTEGER", "FLOAT", "DOUBLE", "16777217.0"),
    "a float of a double": ("16777217::DOUBLE", "REAL", "BIGINT", "16777217"),
    "a float of a fraction": ("1e300::DOUBLE", "FLOAT", "DOUBLE", "1e+300"),
    "decimal": ("9007199254740993.00::DECIMAL(20, 2)", "DOUBLE", "BIGINT", "9007199254740993"),
    "unsigned": ("18446744073709551615::UBIGINT", "BIGINT", "VARCHAR", "18446744073709551615"),
    "two": ("2::BIGINT", "BOOLEAN", "DOUBLE", "2.0"),
    "not a number": ("'nan'::DOUBLE", "BIGINT", "FLOAT", "nan"),
    "time of day": ("'2013-01-31 10:00'::TIMESTAMP", "DATE", "TIMESTAMPTZ", "2013-01-31 10:00:00+00"),
    "date of a time": ("'2013-01-31 10:00'::TIMESTAMP", "TIME", "TIMESTAMP_MS", "2013-01-31 10:00:00"),
    "nanoseconds": ("'2013-01-31 10:00:00.123456789'::TIMESTAMP_NS", "TIMESTAMP", "VARCHAR", None),
    "beyond nanoseconds": ("'2413-01-31'::DATE", "TIMESTAMP_NS", "TIMESTAMP", "2413-01-31 00:00:00"),
    "zone": ("'10:00:00+02'::TIMETZ", "TIME", "VARCHAR", "10:00:00+02"),
    "no number": ("'2013-01-31'::TIMESTAMP", "BIGINT", "DATE", "2013-01-31"),
    "enum": ("'1.5'::ENUM('1.5')", "BIGINT", "DOUBLE", "1.5"),
    "boolean": ("true", "DATE", "BIGINT", "1"),
    "list": ("[1.5]", "INTEGER[]", "DOUBLE[]", "[1.5]"),
}


@pytest.fixture(name="connection", scope="module")
def fixture_connection():
    with engine() as connection:
        yield connection


def become(connection, value: str, kind: str, decimal: str = ".") -> str:
    """Returns a value of SQL's as a declared type, as text; the row before it is null."""
    table = Table(f"SELECT NULL AS x UNION ALL SELECT {value}", decimal=decimal)
    selected = declared.apply(connection, table, {"x": kind})
    return connection.sql(f"SELECT CAST(x AS VARCHAR) FROM ({selected})").fetchall()[1][0]


@pytest.mark.parametrize("kind", HOLDS)
def test_a_type_holds_a_text(connection, kind):
    for text, expected in HOLDS[kind].items():
        found = become(connection, literal(text), kind)
        assert found.replace("e+", "e") == (text if expected is None else expected), text


@pytest.mark.parametrize("kind", CHANGES)
def test_a_type_that_would_change_a_text_is_refused(connection, kind):
    for text, message in CHANGES[kind].items():
        with pytest.raises(StepError) as error:
            become(connection, literal(text), kind)
        assert message in str(error.value), text
        assert become(connection, literal(text), "VARCHAR") == text


@pytest.mark.parametrize(("value", "refused", "taken", "text"), TYPED.values(), ids=TYPED)
def test_a_type_that_would_change_a_value_is_refused(connection, value, refused, taken, text):
    with pytest.raises(StepError, match=r"Column 'x' has .*, but --column-types says .* \(row 2: '.*'\)\. Say"):
        become(connection, value, refused)
    assert become(connection, value, taken) == (text or value.split("'")[1])


def test_decimal_commas(connection):
    assert become(connection, "'1,5'", "DOUBLE", ",") == "1.5"
    assert become(connection, "'1,50'", "DECIMAL(5, 2)", ",") == "1.50"
    for text, message in (("1.5", "which is no DOUBLE"), ("1,5,0", "which is no DOUBLE")):
        with pytest.raises(StepError, match=message):
            become(connection, literal(text), "DOUBLE", ",")
    with pytest.raises(StepError, match="has fractions"):
        become(connection, "'1,5'", "BIGINT", ",")


def test_every_format_refuses_a_value_with_its_row(extract, csv, tmp_path):
    values = [f"2013-01-{day:02} 00:00:00" for day in range(1, 4)] + ["2013-01-04 10:30:00"]
    pq.write_table(pa.table({"d": pa.array(values).cast(pa.timestamp("us"))}), tmp_path / "d.parquet")
    with contextlib.closing(sqlite3.connect(tmp_path / "d.db")) as opened, opened:
        opened.execute("CREATE TABLE t (d TEXT)")
        opened.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
    sources = {
        csv("d,k\n" + "".join(f"{value},1\n" for value in values), "d.csv"): "in {source!r}",
        csv("".join(json.dumps({"d": value}) + "\n" for value in values), "d.jsonl"): "in {source!r}",
        tmp_path / "d.parquet": "in {source!r}",
        csv(framed(*(example(d=value.encode()) for value in values)), "d.tfrecord"): "",
        f"sqlite:///{tmp_path}/d.db": "",
    }
    for source, where in sources.items():
        query = ["--query", "SELECT d FROM t"] if str(source).startswith("sqlite") else []
        error = extract.fails(source, *ONE_SPLIT, *query, "--column-types", '{"d": "DATE"}')
        place = "line 5" if str(source).endswith("csv") else "row 4"
        assert f"has times of day, but --column-types says DATE ({place}: '2013-01-04 10:30:00')" in error
        assert where.format(source=str(source)) in error
        rows = extract.rows(source, *query, "--column-types", '{"d": "TIMESTAMP"}')
        assert [str(row["d"]) for row in rows] == values


def test_declared_types_of_csv_with_decimal_commas(extract, csv):
    flags = ["--delimiter", ";", "--decimal", ",", "--column-types", '{"x": "DECIMAL(6, 2)", "y": "DOUBLE"}']
    assert extract.rows(csv("x;y\n1,50;2,5\n3;4\n"), *flags) == [{"x": 1.5, "y": 2.5}, {"x": 3.0, "y": 4.0}]
    error = extract.fails(csv("x;y\n1,50;2,5\n3,001;4\n"), *ONE_SPLIT, *flags)
    assert "has more digits, but --column-types says DECIMAL(6, 2) (line 3: '3,001')" in error


def test_parquet_files_that_disagree_are_not_rounded_before_the_declared_type(extract, tmp_path):
    pq.write_table(pa.table({"x": [2**53 + 1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"x": [0.5]}), tmp_path / "2.parquet")
    rows = extract.rows(tmp_path / "*.parquet", "--column-types", '{"x": "VARCHAR"}')
    assert [row["x"] for row in rows] == ["9007199254740993", "0.5"]
    error = extract.fails(tmp_path / "*.parquet", *ONE_SPLIT, "--column-types", '{"x": "DOUBLE"}')
    assert "1.parquet' has whole numbers that would be rounded, but --column-types says DOUBLE (row 1: '9007" in error


def test_exact_decimals_of_a_database(extract, database_stream):
    table = pa.table({"x": pa.array([D("1.25"), D("1.255")], pa.decimal128(20, 3))})
    with pytest.raises(StepError, match=r"Column 'x' has more digits, .*\(row 2: '1.255'\)"):
        database_stream(table, "--column-types", '{"x": "DECIMAL(10, 2)"}')()
    database_stream(table, "--column-types", '{"x": "VARCHAR"}')()
    assert extract.table()["x"].to_pylist() == ["1.250", "1.255"]


JSON_TEXTS = [
    ('{"x": 1e2, "k": 1}', "1e2"),
    ('{"x": 1.50, "k": 2.50}', "1.50"),
    ('{"k": 0, "x" : -0}', "-0"),
    ('{"x": "1e2", "k": 1}', "1e2"),
    ('{"x": null, "k": 1}', None),
    ('{"k": 1}', None),
    ('{"x": true}', "true"),
    ('{"x": 0.1000000000000000055511151231257827}', "0.1000000000000000055511151231257827"),
    ('{"x": 1E400}', "1E400"),
    ('{"x": {"a": [1e2, "b"]}}', '{"a": [1e2, "b"]}'),
    ('{"x": "\\u00e9 \\"q\\""}', 'é "q"'),
]


def test_numbers_of_json_that_become_text_are_the_text_that_came(extract, csv):
    source = csv("".join(line + "\n" for line, _ in JSON_TEXTS), "data.jsonl")
    rows = extract.rows(source, "--column-types", '{"x": "VARCHAR"}')
    assert [row["x"] for row in rows] == [text for _, text in JSON_TEXTS]
    assert [row["k"] for row in rows][:4] == [1.0, 2.5, 0.0, 1.0]


def test_numbers_of_json_that_are_inferred_to_be_text_are_the_text_that_came(extract, csv):
    lines = ['{"x": 1e2, "n": {"id": 1e1, "f": 1e2}, "l": [1.0]}', '{"x": 12345678901234567890123, "n": {"id": 1}}']
    lines.append('{"x": 1, "n": {"id": 12345678901234567890123, "f": 2.50}, "l": [2e0]}')
    source = csv("\n".join(lines), "data.jsonl")
    query = "SELECT x, n.id AS id, n.f AS f, l[1] AS l FROM source"
    assert extract.rows(source, "--query", query) == [
        {"x": "1e2", "id": "1e1", "f": 100.0, "l": 1.0},
        {"x": "12345678901234567890123", "id": "1", "f": None, "l": None},
        {"x": "1", "id": "12345678901234567890123", "f": 2.5, "l": 2.0},
    ]


LOST = {
    "too small beside whole numbers": (["1", "1E-400"], "x", ["1", "1E-400"]),
    "too small, written with zeros": (["1.5", f"0.{'0' * 330}7"], "x", ["1.5", f"0.{'0' * 330}7"]),
    "too small and negative": (["-1e-9999", "2"], "x", ["-1e-9999", "2"]),
    "too few digits left": (["1.5", "1.23456789e-320"], "x", ["1.5", "1.23456789e-320"]),
    "within an object": (['{"y": 1}', '{"y": 1e-400}'], "x.y", ["1", "1e-400"]),
    "within an array": (["[1, 2e-400]", "[1.50]"], "unnest(x)", ["1", "2e-400", "1.50"]),
    "a zero": (["0e-400", "1"], "x", [0.0, 1.0]),
    "the least double": (["5e-324", "1"], "x", [5e-324, 1.0]),
    "many digits, rounded": (["0.12345678901234567890e-305", "1"], "x", [0.12345678901234567890e-305, 1.0]),
}


@pytest.mark.parametrize(("values", "column", "expected"), LOST.values(), ids=LOST)
def test_numbers_of_json_that_a_double_loses_stay_as_they_are(extract, csv, values, column, expected):
    source = csv("".join(f'{{"x": {value}}}\n' for value in values), "data.jsonl")
    rows = extract.rows(source, "--query", f"SELECT {column} AS x FROM source")
    assert [row["x"] for row in rows] == expected
    if isinstance(expected[0], str) and column == "x":
        assert "than a double keeps" in extract.ok(source, "--splits", '{"all": 1}')["notes"]["x"]


def test_json_that_becomes_numbers_is_taken_exactly(extract, csv):
    source = csv('{"x": 1e2, "d": 1.10}\n{"x": "2", "d": 2}\n', "data.jsonl")
    rows = extract.rows(source, "--column-types", '{"x": "BIGINT", "d": "DECIMAL(4, 2)"}')
    assert rows == [{"x": 100, "d": 1.1}, {"x": 2, "d": 2.0}]
    source = csv('{"x": 1, "d": 1.1}\n{"x": 2, "d": 1.10000000000000000001}\n', "data.jsonl")
    error = extract.fails(source, *ONE_SPLIT, "--column-types", '{"d": "DECIMAL(4, 2)"}')
    assert f"Column 'd' in {str(source)!r} has more digits, but --column-types says DECIMAL(4, 2) (row 2" in error


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"a": [1.0, {"x": 1.0}], "x": 2.0}', '{"a": [1.0, {"x": "1.0"}], "x": "2.0"}'),
        ('{ "x" : 1e2 , "a" : [ ] , "b":{} }', '{ "x" : "1e2" , "a" : [ ] , "b":{} }'),
        ('{"\\u0078": [1], "y": {"x": 1}}', '{"\\u0078": "[1]", "y": {"x": 1}}'),
        ('{"x": null, "a": null}', '{"x": null, "a": null}'),
    ],
)
def test_json_is_written_anew_with_nothing_else_changed(line, expected, tmp_path):
    leaves = [("x",), ("a", json_texts.ELEMENTS, "x")]
    json_texts.rewrite("data.jsonl", [(1, line.encode())], leaves, tmp_path / "new.jsonl")
    assert (tmp_path / "new.jsonl").read_text(encoding="utf-8") == expected + "\n"


def test_dates_keep_their_century(extract, csv):
    source = csv("d\n0044-03-15\n9999-12-31\n1969-12-31\n")
    assert [row["d"] for row in extract.rows(source, "--column-types", '{"d": "DATE"}')] == [
        datetime.date(44, 3, 15),
        datetime.date(9999, 12, 31),
        datetime.date(1969, 12, 31),
    ]
