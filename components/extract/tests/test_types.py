"""Values come back as they came: kinds of types, exact numbers, and what two parsers might read differently."""

import contextlib
import datetime
import decimal
import json
import sqlite3

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import ONE_SPLIT
from extract import inference, reasons, types
from extract.sql import engine

D = decimal.Decimal

# Values of a column, and a part of the reason why it is text as they stand.
TEXT = {
    "leading zeros": (["00501", "10001"], "'00501' has leading zeros"),
    "leading zeros later": (["10001", "02134"], "'02134' has leading zeros"),
    "leading zeros and a fraction": (["007.5"], "leading zeros"),
    "leading zeros and a sign": (["-01"], "leading zeros"),
    "hexadecimal": (["1", "0x1F"], "'0x1F' isn't a decimal number"),
    "binary": (["0b101"], "isn't a decimal number"),
    "underscores": (["1_000"], "underscores"),
    "separators": (["1 000"], "separators between its digits"),
    "a decimal comma": (["3.5", "3,5"], "say --decimal ','"),
    "a non-breaking space after": (["10\xa0", "20"], "white space other than U+0020"),
    "a non-breaking space before": (["1", "\u202f2"], "white space other than U+0020"),
    "a tab": (["1\t", "2"], "white space other than U+0020"),
    "not a number": (["1", "NaN"], "'NaN' is a word, not a number; name it in --null-values"),
    "infinity": (["-Infinity", "1.5"], "is a word"),
    "inf": (["inf"], "is a word"),
    "t and f": (["t", "f"], "isn't true or false"),
    "yes and no": (["yes", "no"], "isn't true or false"),
    "true and 1": (["true", "1"], "'1' is a whole number, and each value before it a boolean"),
    "a date without zeros": (["2013-1-2"], "isn't a date and time as YYYY-MM-DD"),
    "an American date": (["01/31/2013"], "isn't a date and time as YYYY-MM-DD"),
    "a German date": (["31.01.2013"], "isn't a date and time as YYYY-MM-DD"),
    "no such day": (["2013-02-30"], "isn't a date"),
    "the year 0": (["0000-01-01"], "isn't a date"),
    "an hour alone": (["2024-01-01 10"], "isn't a date and time"),
    "midnight at 24": (["2024-01-01 24:00:00"], "isn't a date and time"),
    "a leap second": (["2016-12-31 23:59:60"], "isn't a date and time"),
    "nanoseconds": (["2024-01-01 10:00:00.123456789"], "isn't a date and time"),
    "a time of day": (["10:30"], "is a time of day"),
    "beyond 64 bits": (["1", "9223372036854775808"], "too long for 64 bits"),
    "38 digits": (["12345678901234567890123456789012345678"], "too long for 64 bits"),
    "16 digits beside fractions": (["9007199254740993", "0.5"], "beyond 2^53 and fractions"),
    "fractions, then 16 digits": (["0.5", "9007199254740993"], "beyond 2^53 and fractions"),
    "fractions, then 38 digits": (["0.5", "12345678901234567890123456789012345678"], "a double would round it"),
    "too many digits": (["0.12345678901234567890"], "more digits"),
    "too many digits for its size": (["90071992547409.931"], "more digits"),
    "too large": (["1e400"], "larger or smaller, than a double"),
    "too small": (["1e-400", "1"], "larger or smaller, than a double"),
    "digits of a subnormal": (["1.23456789e-320"], "more digits"),
    "a currency": (["$5"], "more than a number"),
    "words": (["x"], "'x' is no number, boolean, date or time"),
    "a word among numbers": (["1", "x"], "'x' is no whole number, as each value before it is"),
}


@pytest.mark.parametrize(("values", "reason"), TEXT.values(), ids=TEXT)
def test_what_would_not_come_back_stays_text(extract, csv, values, reason):
    rows = "".join(f'"{value}",k\n' for value in values)
    manifest = extract.ok(csv(f"value,key\n{rows}"), *ONE_SPLIT)
    assert manifest["columns"][0] == {"name": "value", "type": "string"}
    assert extract.table()["value"].to_pylist() == values
    assert reason in manifest["notes"]["value"]
    told = extract.capsys.readouterr().err
    assert ("extract: column 'value' is string: " in told) == (
        not reason.startswith("'x'") and "before it" not in reason
    )


# Forms that differ only in how a value is written: type and what is read.
SAME = {
    "signs": (["+5", "-6"], [5, -6]),
    "padded numbers": ([" 5 ", "6"], [5, 6]),
    "64 bits": (["9223372036854775807", "-9223372036854775808"], [2**63 - 1, -(2**63)]),
    "zeros after the point": (["1.0", "1"], [1.0, 1.0]),
    "bare points": ([".5", "5."], [0.5, 5.0]),
    "exponents": (["1e3", "1E+03", "2.5e-1"], [1000.0, 1000.0, 0.25]),
    "a zero with a sign": (["-0.0"], [-0.0]),
    "17 digits": (["0.30000000000000004"], [0.30000000000000004]),
    "17 digits, as C writes them": (["3.1400000000000001"], [3.14]),
    "the smallest double": (["5e-324"], [5e-324]),
    "padded doubles": ([" 1.5 "], [1.5]),
    "cases of booleans": (["TRUE", "False", "true"], [True, False, True]),
    "padded dates": ([" 2013-01-31 "], [datetime.date(2013, 1, 31)]),
    "no seconds": (["2013-01-31T10:00"], [datetime.datetime(2013, 1, 31, 10)]),
    "fractions of seconds": (["2013-01-31 10:00:00.25"], [datetime.datetime(2013, 1, 31, 10, 0, 0, 250_000)]),
    "zones": (
        ["2013-01-31T10:00:00+02:00", "2013-01-31 10:00:00-0530", "2013-01-31T10:00Z", "2013-01-31 10:00:00+02"],
        [datetime.datetime(2013, 1, 31, *time, tzinfo=datetime.UTC) for time in ((8,), (15, 30), (10,), (8,))],
    ),
}


@pytest.mark.parametrize(("values", "read"), SAME.values(), ids=SAME)
def test_the_same_values_written_otherwise_keep_their_type(extract, csv, values, read):
    manifest = extract.ok(csv("value,key\n" + "".join(f"{value},k\n" for value in values)), *ONE_SPLIT)
    found = extract.table()["value"].to_pylist()
    assert found == read
    assert list(map(str, found)) == list(map(str, read))  # 1.0 isn't 1, nor 0.0 -0.0
    assert "value" not in manifest["notes"]


NUMBERS = [
    "",
    "+",
    "-",
    "0",
    "00",
    "1",
    "10",
    "007",
    "5",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775808",
]
AFTER = ["", ".", ".0", ".50", ".30000000000000004", ".12345678901234567891", "e5", "E-7", "e400", "e-400", "_1", ",5"]
TIMES = [
    f"{date}{clock}{zone}"
    for date in (
        "2013-01-31",
        "2013-1-31",
        "2013-13-01",
        "0001-01-01",
        "9999-12-31",
        "20130131",
        "2013-01-31T",
        "1900-02-29",
    )
    for clock in (
        "",
        " 10",
        " 10:00",
        "T10:00:00",
        " 10:00:00.1",
        " 10:00:00.123456",
        " 25:00:00",
        "T10:00:00.",
        "T10:60",
    )
    for zone in ("", "Z", "+02", "+0200", "-05:30", " UTC", "z", "+25:00")
]
WORDS = [
    "true",
    "True",
    "tRUE",
    "t",
    "1",
    "yes",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "null",
    "None",
    "x",
    "²",
    "\u0661",
]


@pytest.mark.parametrize("pad", ["", " ", "\xa0", "\t"])
def test_what_is_inferred_is_what_the_engine_reads(extract, csv, pad):
    """DuckDB reads every value of an inferred type, and to the value that the text is."""
    texts = [f"{pad}{number}{after}{pad}" for number in NUMBERS for after in AFTER] + [
        f"{pad}{text}{pad}" for text in TIMES + WORDS
    ]
    columns = {f"c{number}": text for number, text in enumerate(texts) if text.strip()}
    source = csv(",".join(columns) + "\n" + ",".join(f'"{text}"' for text in columns.values()) + "\n")
    kinds = {c["name"]: c["type"] for c in extract.ok(source, *ONE_SPLIT)["columns"]}
    row = extract.table().slice(0, 1)
    for name, text in columns.items():
        value = row[name].cast(pa.string()).to_pylist()[0]
        if kinds[name] == "string":
            assert value == text
        elif kinds[name] == "int64":
            assert value == text.strip(" ").lstrip("+")
        elif kinds[name] == "double":
            assert D(repr(row[name].to_pylist()[0])) == D(repr(float(text)))
            assert inference.comes_back(text)
        elif kinds[name] == "bool":
            assert value == text.strip(" ").lower()
        else:
            expected = pa.array([text.strip(" ")]).cast(row[name].type).cast(pa.string())
            assert [value] == expected.to_pylist()


def test_a_late_large_number_in_another_batch_than_the_fractions(extract, csv):
    values = ["9007199254740993", *["1"] * 100_000, "0.5"]
    manifest = extract.ok(csv("a\n" + "\n".join(values) + "\n"), *ONE_SPLIT)
    assert manifest["notes"] == {"a": f"{reasons.LARGE_AND_FRACTIONS} ('0.5')"}
    assert extract.table()["a"].to_pylist() == values


def test_leading_zeros_in_one_file_make_all_files_text(extract, csv):
    csv("zip\n10001\n", "1.csv")
    csv("zip\n02134\n", "2.csv")
    assert extract.rows(extract.folder / "*.csv") == [{"zip": "10001"}, {"zip": "02134"}]


def test_large_numbers_in_one_file_and_fractions_in_another(extract, csv):
    csv("a\n9007199254740993\n", "1.csv")
    csv("a\n0.5\n", "2.csv")
    assert extract.rows(extract.folder / "*.csv") == [{"a": "9007199254740993"}, {"a": "0.5"}]


def test_doubles_beyond_2_to_the_53_are_warned_of_by_name(extract, csv, tmp_path):
    pq.write_table(
        pa.table({"id": [2.0**53 + 2, None], "fare": [0.5, 2.0**60], "n": [1.0, 2.0]}), tmp_path / "1.parquet"
    )
    extract.ok(tmp_path / "1.parquet", *ONE_SPLIT)
    warned = extract.capsys.readouterr().err
    assert "warning: column 'id' is of whole numbers beyond 2^53 as double" in warned
    assert "'fare'" not in warned
    assert "'n'" not in warned
    extract.ok(csv("x,y\n1e20,1\n2e20,1\n"), *ONE_SPLIT)
    assert "warning: column 'x' is of whole numbers beyond 2^53" in extract.capsys.readouterr().err


def test_fractions_far_down_are_not_rounded_to_a_given_integer_type(extract, csv):
    source = csv("a\n" + "007\n" * 5 + "25e-1\n")
    error = extract.fails(source, *ONE_SPLIT, "--column-types", '{"a": "BIGINT"}')
    assert "has fractions, but --column-types says BIGINT (line 7: '25e-1')" in error


EXACT = {
    "decimal, 64 bits": (pa.decimal128(38, 0), [D(9007199254740993), None, D(-(2**63))], "int64", None),
    "decimal, longer": (pa.decimal128(38, 0), [D(2**63), D(5)], "string", ["9223372036854775808", "5"]),
    "decimal, 38 digits": (pa.decimal128(38, 0), [D("9" * 38)], "string", ["9" * 38]),
    "decimal, short": (pa.decimal128(12, 2), [D("1.25"), None], "double", [1.25, None]),
    "decimal that a double keeps": (pa.decimal128(38, 9), [D("0.1"), D("1234567.891")], "double", [0.1, 1234567.891]),
    "decimal that it doesn't": (
        pa.decimal128(20, 2),
        [D("90071992547409.93"), D("900719925474099.31")],
        "string",
        None,
    ),
    "whole decimals with a scale": (pa.decimal128(38, 2), [D("9007199254740993.00")], "int64", [9007199254740993]),
    "decimal of 256 bits": (pa.decimal256(20, 2), [D("1.50")], "double", [1.5]),
    "decimal of 76 digits": (pa.decimal256(76, 38), [D("1." + "1" * 38)], "string", ["1." + "1" * 38]),
    "unsigned": (pa.uint64(), [2**63 - 1, None], "int64", None),
    "unsigned, longer": (pa.uint64(), [2**64 - 1, 1], "string", ["18446744073709551615", "1"]),
}


@pytest.mark.parametrize(("kind", "values", "becomes", "read"), EXACT.values(), ids=EXACT)
def test_exact_numbers_of_parquet(extract, tmp_path, kind, values, becomes, read):
    pq.write_table(pa.table({"x": pa.array(values, kind)}), tmp_path / "data.parquet")
    manifest = extract.ok(tmp_path / "data.parquet", *ONE_SPLIT)
    assert manifest["columns"] == [{"name": "x", "type": becomes}]
    found = extract.table()["x"].to_pylist()
    expected = read or [
        None if value is None else str(value) if becomes == "string" else int(value) for value in values
    ]
    assert found == expected
    assert ("x" in manifest["notes"]) == (becomes == "string" and kind.bit_width < 256)


@pytest.mark.parametrize("query", ["SELECT x, 2 * x AS double FROM source", "SELECT sum(x) AS x FROM source"])
def test_exact_numbers_of_a_query(extract, tmp_path, query):
    values = [2**62 + 1, 2**62 + 3]
    pq.write_table(pa.table({"x": pa.array(values, pa.uint64())}), tmp_path / "data.parquet")
    rows = extract.rows(tmp_path / "data.parquet", "--query", query)
    expected = [str(sum(values))] if "sum" in query else values
    assert [row["x"] for row in rows] == expected


def test_integers_of_one_parquet_file_are_not_rounded_for_the_doubles_of_another(extract, tmp_path):
    pq.write_table(pa.table({"x": [2**53 + 1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"x": [0.5]}), tmp_path / "2.parquet")
    error = extract.fails(tmp_path / "*.parquet", *ONE_SPLIT)
    assert "Column 'x' is BIGINT in" in error
    assert "1.parquet' with numbers that a double would round" in error
    pq.write_table(pa.table({"x": [2**53]}), tmp_path / "1.parquet")
    assert [row["x"] for row in extract.rows(tmp_path / "*.parquet")] == [2.0**53, 0.5]


JSON_NUMBERS = {
    "beyond 64 bits": ([12345678901234567890123, 1], "string", ["12345678901234567890123", "1"]),
    "negative": ([-(2**63) - 1], "string", ["-9223372036854775809"]),
    "unsigned": ([2**64 - 1, 5], "string", ["18446744073709551615", "5"]),
    "beside fractions": ([2**53 + 1, 0.5], "string", ["9007199254740993", "0.5"]),
    "64 bits": ([2**63 - 1, -(2**63)], "int64", [2**63 - 1, -(2**63)]),
    "both signs": ([5, -3, 0], "int64", [5, -3, 0]),
    "17 digits": ([0.30000000000000004, 2], "double", [0.30000000000000004, 2.0]),
    "large": ([1e300], "double", [1e300]),
}


@pytest.mark.parametrize(("values", "becomes", "read"), JSON_NUMBERS.values(), ids=JSON_NUMBERS)
def test_numbers_of_json_lines(extract, csv, values, becomes, read):
    source = csv("".join(json.dumps({"x": value, "k": 1}) + "\n" for value in values), "data.jsonl")
    manifest = extract.ok(source, *ONE_SPLIT)
    assert manifest["columns"][0] == {"name": "x", "type": becomes}
    assert extract.table()["x"].to_pylist() == read
    assert ("x" in manifest["notes"]) == (becomes == "string")


def test_fractions_of_json_lines_that_are_rounded_are_warned_of(extract, csv):
    lines = ['{"a": 0.30000000000000004, "b": {"c": [0.12345678901234567890]}, "d": "0.12345678901234567890"}'] * 2
    source = csv("\n".join(lines), "data.jsonl")
    assert extract.rows(source, "--columns", '["a", "d"]')[0] == {
        "a": 0.30000000000000004,
        "d": "0.12345678901234567890",
    }
    warned = extract.capsys.readouterr().err
    assert "warning: column 'b' has numbers such as 0.12345678901234567890 in" in warned
    assert warned.count("warning") == 1


def test_long_numbers_within_objects_and_arrays_of_json_lines(extract, csv):
    line = {"trip": {"id": 12345678901234567890123, "fare": 0.5}, "ids": [2**64, 1], "pairs": [{"a b": 2**70}]}
    source = csv(json.dumps(line) + "\n", "data.jsonl")
    query = 'SELECT trip.id AS id, trip.fare AS fare, ids[1] AS first, pairs[1]."a b" AS pair FROM source'
    assert extract.rows(source, "--query", query) == [
        {"id": "12345678901234567890123", "fare": 0.5, "first": str(2**64), "pair": str(2**70)}
    ]


def test_integers_beside_fractions_in_sqlite(extract, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "data.db")) as connection:
        connection.execute("CREATE TABLE t (x, y)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(2**53 + 1, 2**53 + 1), (0.1 + 0.2, 3)])
        connection.commit()
    manifest = extract.ok(f"sqlite:///{tmp_path}/data.db", "--query", "SELECT x, y FROM t", *ONE_SPLIT)
    assert extract.table().to_pylist() == [
        {"x": "9007199254740993", "y": 2**53 + 1},
        {"x": "0.30000000000000004", "y": 3},
    ]
    assert manifest["notes"] == {"x": reasons.LARGE_AND_FRACTIONS}


# Each of DuckDB's types as SQL: the type that examples have, the value as text, and a part of what the manifest says.
DUCKDB = {
    "BIGINT": ("1::BIGINT", "int64", "1", ""),
    "BIGNUM": ("1::BIGNUM", "int64", "1", ""),
    "BIT": ("'101'::BIT", "string", "101", "bit strings"),
    "BLOB": ("'a'::BLOB", "binary", "a", ""),
    "BOOLEAN": ("true", "bool", "true", ""),
    "DATE": ("'2013-01-31'::DATE", "date32[day]", "2013-01-31", ""),
    "DECIMAL": ("1.5::DECIMAL(38, 1)", "double", "1.5", ""),
    "DOUBLE": ("1.5::DOUBLE", "double", "1.5", ""),
    "ENUM": ("'a'::ENUM('a', 'b')", "string", "a", ""),
    "FLOAT": ("1.5::FLOAT", "double", "1.5", ""),
    "GEOMETRY": ("'POINT(1 2)'::GEOMETRY", "string", "POINT (1 2)", "well-known text"),
    "HUGEINT": ("1::HUGEINT", "int64", "1", ""),
    "INTEGER": ("1::INTEGER", "int64", "1", ""),
    "INTERVAL": ("INTERVAL 40 DAY", "string", "40 days", "no fixed length"),
    "NULL": ("NULL", "string", None, "no values"),
    "SMALLINT": ("1::SMALLINT", "int64", "1", ""),
    "TIME": ("'10:00'::TIME", "time64[us]", "10:00:00.000000", ""),
    "TIME WITH TIME ZONE": ("'10:00:00+02'::TIMETZ", "string", "10:00:00+02", "times of day with a zone"),
    "TIME_NS": ("'10:00:00.123456789'::TIME_NS", "time64[ns]", "10:00:00.123456789", ""),
    "TIMESTAMP": ("'2013-01-31'::TIMESTAMP", "timestamp[us]", "2013-01-31 00:00:00.000000", ""),
    "TIMESTAMP WITH TIME ZONE": (
        "'2013-01-31 10:00+02'::TIMESTAMPTZ",
        "timestamp[us, tz=UTC]",
        "2013-01-31 08:00:00.000000Z",
        "",
    ),
    "TIMESTAMPTZ_NS": (
        "'2013-01-31 00:00:00.123456789+00'::TIMESTAMPTZ_NS",
        "timestamp[ns, tz=UTC]",
        "2013-01-31 00:00:00.123456789Z",
        "",
    ),
    "TIMESTAMP_MS": ("'2013-01-31'::TIMESTAMP_MS", "timestamp[us]", "2013-01-31 00:00:00.000000", ""),
    "TIMESTAMP_NS": (
        "'2013-01-31 00:00:00.123456789'::TIMESTAMP_NS",
        "timestamp[ns]",
        "2013-01-31 00:00:00.123456789",
        "",
    ),
    "TIMESTAMP_S": ("'2013-01-31'::TIMESTAMP_S", "timestamp[us]", "2013-01-31 00:00:00.000000", ""),
    "TINYINT": ("1::TINYINT", "int64", "1", ""),
    "UBIGINT": ("1::UBIGINT", "int64", "1", ""),
    "UHUGEINT": ("1::UHUGEINT", "int64", "1", ""),
    "UINTEGER": ("1::UINTEGER", "int64", "1", ""),
    "USMALLINT": ("1::USMALLINT", "int64", "1", ""),
    "UTINYINT": ("1::UTINYINT", "int64", "1", ""),
    "UUID": (
        "'f47ac10b-58cc-4372-a567-0e02b2c3d479'::UUID",
        "string",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "UUIDs",
    ),
    "VARCHAR": ("'x'", "string", "x", ""),
}
# Those that examples can't hold: a value, and the advice, which works.
REFUSED = {
    "ARRAY": ("[1, 2]::INT[2]", "single values", "x[1]"),
    "LIST": ("[1, 2]", "single values", "x[1]"),
    "MAP": ("MAP {'key': 1}", "single values", "x['key']"),
    "STRUCT": ("{'field': 1}", "single values", "x.field"),
    "TUPLE": ("row(1, 2)", "single values", "x[1]"),
    "TYPE": ("get_type(1)", "can't hold it", "x::VARCHAR"),
    "UNION": ("union_value(member := 1)", "single values", "x.member"),
    "VARIANT": ("1::VARIANT", "a type of its own", "x::INTEGER"),
}


def test_the_type_table_has_every_type_of_the_engine():
    with engine() as connection:
        found = {row[0] for row in connection.sql("SELECT DISTINCT logical_type FROM duckdb_types()").fetchall()}
    assert found == {*DUCKDB, *REFUSED}
    assert {name.lower() for name in found} == {*types.RULES, "type"}


@pytest.mark.parametrize(("value", "becomes", "text", "note"), DUCKDB.values(), ids=DUCKDB)
def test_a_type_of_the_engine(extract, csv, value, becomes, text, note):
    source = csv("k\n1\n")
    manifest = extract.ok(source, "--query", f"SELECT k, {value} AS x FROM source", *ONE_SPLIT)
    assert manifest["columns"][1]["type"] == becomes
    assert extract.table()["x"].cast(pa.string()).to_pylist() == [text]
    assert note in manifest["notes"].get("x", "")
    assert bool(note) == ("x" in manifest["notes"])


@pytest.mark.parametrize(("value", "message", "remedy"), REFUSED.values(), ids=REFUSED)
def test_a_type_of_the_engine_that_examples_cannot_hold(extract, csv, value, message, remedy):
    source = csv("k\n1\n")
    query = f"SELECT k, {value} AS x FROM source"
    error = extract.fails(source, "--query", query, *ONE_SPLIT)
    assert "Column 'x' is " in error
    assert message in error
    assert extract.rows(source, "--query", query, "--columns", '["k"]') == [{"k": 1}]
    (row,) = extract.rows(source, "--query", f"SELECT {remedy} AS y FROM ({query})")
    assert row["y"] in (1, "INTEGER")


def arrow_values() -> dict[str, tuple[pa.Array, str, str | None, str]]:
    """Returns for each of Arrow's types a value, the type that examples have, the value as text, and a note."""
    one = pa.array([1], pa.int64())
    at, at_ns = "1970-01-01 00:00:00.000001", "1970-01-01 00:00:00.000000001"
    binary = {pa.binary(): b"xy", pa.large_binary(): b"xy", pa.binary_view(): b"xy", pa.binary(2): b"xy"}
    units = {"s": "00:00:01.000000", "ms": "00:00:00.001000", "us": "00:00:00.000001"}
    words = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    integers = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    text = (pa.string(), pa.large_string(), pa.string_view())
    return {
        "null": (pa.nulls(1), "string", None, "no values"),
        "bool": (pa.array([True]), "bool", "true", ""),
        **{str(kind): (one.cast(kind), "int64", "1", "") for kind in integers},
        "half float": (pa.array([1.5]).cast(pa.float16()), "double", "1.5", ""),
        "float": (pa.array([1.5], pa.float32()), "double", "1.5", ""),
        "double": (pa.array([1.5]), "double", "1.5", ""),
        "decimal32": (pa.array([D("1.5")], pa.decimal32(9, 2)), "double", "1.5", ""),
        "decimal64": (pa.array([D("1.5")], pa.decimal64(18, 2)), "double", "1.5", ""),
        "decimal128": (pa.array([D("1.5")], pa.decimal128(38, 2)), "double", "1.5", ""),
        "decimal256": (pa.array([D("1.5")], pa.decimal256(38, 2)), "double", "1.5", ""),
        "date32": (pa.array([datetime.date(2013, 1, 31)]), "date32[day]", "2013-01-31", ""),
        "date64": (pa.array([datetime.date(2013, 1, 31)], pa.date64()), "date32[day]", "2013-01-31", ""),
        "time32, s": (one.cast(pa.int32()).cast(pa.time32("s")), "time64[us]", units["s"], ""),
        "time32, ms": (one.cast(pa.int32()).cast(pa.time32("ms")), "time64[us]", units["ms"], ""),
        "time64, us": (one.cast(pa.time64("us")), "time64[us]", units["us"], ""),
        "time64, ns": (one.cast(pa.time64("ns")), "time64[ns]", "00:00:00.000000001", ""),
        **{
            f"timestamp, {unit}": (one.cast(pa.timestamp(unit)), "timestamp[us]", f"1970-01-01 {text_}", "")
            for unit, text_ in units.items()
        },
        "timestamp, ns": (one.cast(pa.timestamp("ns")), "timestamp[ns]", at_ns, ""),
        "timestamp with a zone, us": (one.cast(pa.timestamp("us", "UTC")), "timestamp[us, tz=UTC]", at + "Z", ""),
        "timestamp with a zone, ns": (one.cast(pa.timestamp("ns", "UTC")), "timestamp[ns, tz=UTC]", at_ns + "Z", ""),
        "timestamp in Berlin": (
            one.cast(pa.timestamp("ns", "Europe/Berlin")),
            "timestamp[ns, tz=UTC]",
            at_ns + "Z",
            "",
        ),
        **{f"duration, {unit}": (one.cast(pa.duration(unit)), "int64", "1", word) for unit, word in words.items()},
        **{str(kind): (pa.array(["x"], kind), "string", "x", "") for kind in text},
        **{str(kind): (pa.array([value], kind), "binary", "xy", "") for kind, value in binary.items()},
        "dictionary of text": (pa.array(["x"]).dictionary_encode(), "string", "x", ""),
        "dictionary of large text": (pa.array(["x"], pa.large_string()).dictionary_encode(), "string", "x", ""),
        "dictionary of numbers": (one.dictionary_encode(), "int64", "1", ""),
        "dictionary of times": (
            one.cast(pa.timestamp("ns", "UTC")).dictionary_encode(),
            "timestamp[ns, tz=UTC]",
            at_ns + "Z",
            "",
        ),
        "dictionary of decimals": (pa.array([D("1.5")]).dictionary_encode(), "double", "1.5", ""),
        "UUID": (
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\0" * 15 + b"\5"], pa.binary(16))),
            "string",
            "00000000-0000-0000-0000-000000000005",
            "UUIDs",
        ),
        "JSON": (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"])), "string", "{}", ""),
        "months, days and nanoseconds": (
            pa.array([pa.MonthDayNano([1, 2, 0])]),
            "string",
            "1 month 2 days",
            "no fixed length",
        ),
        "run-end encoded": (pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), ["x"]), "string", "x", ""),
    }


ARROW = arrow_values()
NOT_IN_PARQUET = ("months, days and nanoseconds", "run-end encoded")


@pytest.mark.parametrize(("name", "expected"), ARROW.items(), ids=ARROW)
def test_a_type_of_arrow(extract, tmp_path, database_stream, name, expected):
    values, becomes, text, note = expected
    table = pa.table({"k": [1], "x": values})
    ways = [database_stream(table)]
    if name not in NOT_IN_PARQUET:
        pq.write_table(table, tmp_path / "data.parquet")
        ways.append(lambda: extract.ok(tmp_path / "data.parquet", *ONE_SPLIT))
    for way in ways:
        manifest = way()
        assert manifest["columns"][1]["type"] == becomes
        assert extract.table()["x"].cast(pa.string()).to_pylist() == [text]
        assert note in manifest["notes"].get("x", "")
        assert bool(note) == ("x" in manifest["notes"])


def test_every_plain_type_of_arrow_is_in_the_table():
    tried = {pc.cast(pa.nulls(0), kind).type.id for kind in (pa.int64(),)} | {
        values.type.id for values, *_ in ARROW.values() if not isinstance(values.type, pa.ExtensionType)
    }
    nested = {"LIST", "LARGE_LIST", "FIXED_SIZE_LIST", "LIST_VIEW", "LARGE_LIST_VIEW", "STRUCT", "MAP", "SPARSE_UNION"}
    left_out = {*nested, "DENSE_UNION", "EXTENSION", "INTERVAL_MONTHS", "INTERVAL_DAY_TIME", "MAX_ID"}
    names = {name.removeprefix("Type_") for name in dir(pa.lib) if name.startswith("Type_")}
    missing = {name for name in names - left_out if getattr(pa.lib, f"Type_{name}") not in tried}
    assert missing == set()


NESTED = {
    "list": pa.array([[1]]),
    "large list": pa.array([[1]], pa.large_list(pa.int64())),
    "fixed size list": pa.array([[1]], pa.list_(pa.int64(), 1)),
    "list view": pa.array([[1]], pa.list_view(pa.int64())),
    "struct": pa.array([{"a": 1}]),
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.parametrize("values", NESTED.values(), ids=NESTED)
def test_a_nested_type_of_arrow(extract, tmp_path, values):
    pq.write_table(pa.table({"k": [1], "x": values}), tmp_path / "data.parquet")
    assert "examples hold single values" in extract.fails(tmp_path / "data.parquet", *ONE_SPLIT)
    assert extract.rows(tmp_path / "data.parquet", "--columns", '["k"]') == [{"k": 1}]
