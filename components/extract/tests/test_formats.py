import contextlib
import datetime
import gzip
import json
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ONE_SPLIT
from tfrecords import example, framed


@pytest.fixture(name="jsonl")
def fixture_jsonl(tmp_path):
    def write(*lines: object, name: str = "data.jsonl"):
        path = tmp_path / name
        text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
        path.write_bytes(
            gzip.compress(text.encode()) if name.endswith(".gz") else text.encode("utf-8", "surrogateescape")
        )
        return path

    return write


@pytest.mark.parametrize("name", ["data.jsonl", "data.ndjson.gz"])
def test_jsonl(extract, jsonl, name):
    source = jsonl({"a": 1, "b": "x"}, {"b": None, "a": 1.5, "c": True}, {"a": -3}, name=name)
    assert extract.rows(source) == [
        {"a": 1.0, "b": "x", "c": None},
        {"a": 1.5, "b": None, "c": True},
        {"a": -3.0, "b": None, "c": None},
    ]


def test_jsonl_late_keys_and_types(extract, jsonl):
    lines = [{"a": i} for i in range(50_000)]
    rows = extract.rows(jsonl(*lines, {"a": 0.5, "late": "x"}))
    assert rows[-1] == {"a": 0.5, "late": "x"}
    assert rows[7] == {"a": 7.0, "late": None}


def test_jsonl_types_given(extract, jsonl):
    source = jsonl({"a": 1, "t": "2013-01-31T10:00:00"}, {"a": "x", "t": "2013-02-01"})
    rows = extract.rows(source, "--column-types", '{"a": "VARCHAR", "t": "TIMESTAMP"}')
    assert [row["a"] for row in rows] == ["1", "x"]
    assert rows[0]["t"] == datetime.datetime(2013, 1, 31, 10)


def test_jsonl_nested_values_by_query(extract, jsonl):
    source = jsonl({"id": 1, "trip": {"fare": 2.5}, "tags": ["x", "y"]})
    assert "Column 'trip' is STRUCT(" in extract.fails(source, *ONE_SPLIT)
    rows = extract.rows(source, "--query", "SELECT id, trip.fare AS fare, tags[1] AS tag FROM source")
    assert rows == [{"id": 1, "fare": 2.5, "tag": "x"}]
    assert extract.rows(source, "--columns", '["id"]') == [{"id": 1}]


def test_jsonl_type_that_changes_between_files(extract, jsonl):
    one, two = jsonl({"a": 1}, name="1.jsonl"), jsonl({"a": "x"}, name="2.jsonl")
    error = extract.fails(extract.folder / "*.jsonl", *ONE_SPLIT)
    assert f"Column 'a' changes its type between files: BIGINT in {str(one)!r}, VARCHAR in {str(two)!r}" in error


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"a": 1}', "", '{"a":', '{"a": 2}'], "line 3: not JSON"),
        (['{"a": 1}', "[1]"], "line 2: list, not an object. Write one object a line"),
        (['[{"a": 1},', '{"a": 2}]'], "line 1: not JSON Lines, but the start of an array. Write one object a line"),
        (['{"a": "caf\udce9"}'], "line 1: the bytes aren't UTF-8 text"),
        (['{"a": 1}', '{"a": "x"}'], "Column 'a' changes its type in"),
        (['{"a": 1}', '{"a": "x"}'], "number in line 1, str in line 2"),
        (['{"a": 1, "A": 2}'], "has the keys 'a' and 'A', which SQL takes for the same"),
        (["", ""], "has no rows"),
        (['{"a": null}', "{}"], "All columns are null in every row"),
        (['{"a": 1, "a": 2}'], 'line 1: Object {"a":1,"a":2} has duplicate key "a"'),
    ],
)
def test_bad_jsonl(extract, jsonl, lines, message):
    assert message in extract.fails(jsonl(*lines), *ONE_SPLIT)


def test_parquet_keeps_types(extract, tmp_path):
    table = pa.table(
        {
            "small": pa.array([1, None], pa.int8()),
            "single": pa.array([0.5, None], pa.float32()),
            "price": pa.array([1, 2], pa.int32()).cast(pa.decimal128(12, 2)),
            "flag": [True, None],
            "name": pa.array(["x", "y"]).dictionary_encode(),
            "raw": [b"\x00\xff", None],
            "day": pa.array([datetime.date(2013, 1, 31), None]),
            "at": pa.array([datetime.datetime(2013, 1, 31, 10), None], pa.timestamp("ms")),
            "at_utc": pa.array([datetime.datetime(2013, 1, 31, 10), None], pa.timestamp("us", tz="UTC")),
            "fine": pa.array([1, None], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    manifest = extract.ok(tmp_path / "data.parquet", *ONE_SPLIT)
    assert {column["name"]: column["type"] for column in manifest["columns"]} == {
        "small": "int64",
        "single": "double",
        "price": "double",
        "flag": "bool",
        "name": "string",
        "raw": "binary",
        "day": "date32[day]",
        "at": "timestamp[us]",
        "at_utc": "timestamp[us, tz=UTC]",
        "fine": "timestamp[ns]",
    }
    assert extract.table()["at_utc"].to_pylist() == table["at_utc"].to_pylist()
    assert extract.table()["raw"].to_pylist() == [b"\x00\xff", None]


def test_parquet_files_of_different_width(extract, tmp_path):
    pq.write_table(pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": ["y"], "a": pa.array([2**40])}), tmp_path / "2.parquet")
    assert extract.rows(tmp_path / "*.parquet") == [{"a": 1, "b": "x"}, {"a": 2**40, "b": "y"}]


def test_parquet_files_that_disagree(extract, tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "2.parquet")
    error = extract.fails(tmp_path / "*.parquet", *ONE_SPLIT)
    assert "Column 'a' changes its type between files: BIGINT in" in error
    assert "2.parquet" in error
    assert [row["a"] for row in extract.rows(tmp_path / "*.parquet", "--column-types", '{"a": "VARCHAR"}')] == [
        "1",
        "x",
    ]
    pq.write_table(pa.table({"aa": [1]}), tmp_path / "2.parquet")
    assert "Column 'a' is in" in extract.fails(tmp_path / "*.parquet", *ONE_SPLIT)


def test_bad_parquet(extract, tmp_path):
    (tmp_path / "data.parquet").write_text("a,b\n1,2\n" * 10)
    error = extract.fails(tmp_path / "data.parquet", *ONE_SPLIT)
    assert f"{str(tmp_path / 'data.parquet')!r} can't be read as Parquet" in error
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "data.parquet")
    assert "No rows: the source has none" in extract.fails(tmp_path / "data.parquet", *ONE_SPLIT)
    pq.write_table(pa.table({"a": pa.array(range(100_000))}), tmp_path / "data.parquet", compression="zstd")
    whole = bytearray((tmp_path / "data.parquet").read_bytes())
    whole[1000:40_000] = b"\xab" * 39_000
    (tmp_path / "data.parquet").write_bytes(whole)
    assert "The source can't be read as asked" in extract.fails(tmp_path / "data.parquet", *ONE_SPLIT)


EXAMPLES = [
    example(id=-1, name="é".encode(), score=0.5, raw=b"\xff"),
    example(id=2**62, score=[], raw=b"x"),
    example(name=b"z", id=3),
]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_tfrecord(extract, csv, pack):
    csv(pack(framed(*EXAMPLES)), "a-00000-of-00002.tfrecord")
    csv(pack(framed(example(id=4, name=b"w"))), "a-00001-of-00002.tfrecord")
    assert extract.rows(extract.folder / "a-*.tfrecord") == [
        {"id": -1, "name": "é", "raw": b"\xff", "score": 0.5},
        {"id": 2**62, "name": None, "raw": b"x", "score": None},
        {"id": 3, "name": "z", "raw": None, "score": None},
        {"id": 4, "name": "w", "raw": None, "score": None},
    ]


def test_tfrecord_without_an_ending(extract, csv):
    source = csv(framed(*(example(id=i) for i in range(10_000))), "records-00000-of-00001")
    rows = extract.rows(source, "--format", "tfrecord", "--where", "id % 2 = 0")
    assert [row["id"] for row in rows] == list(range(0, 10_000, 2))


def test_tfrecord_several_values(extract, csv):
    source = csv(framed(example(id=1, tags=[b"x", b"y"]), example(id=2, tags=b"z")), "data.tfrecord")
    assert "Column 'tags' is VARCHAR[]: examples hold single values" in extract.fails(source, *ONE_SPLIT)
    rows = extract.rows(source, "--query", "SELECT id, tags[1] AS tag FROM source")
    assert rows == [{"id": 1, "tag": "x"}, {"id": 2, "tag": "z"}]


def damaged(position: int) -> bytes:
    whole = bytearray(framed(*EXAMPLES))
    whole[position] ^= 1
    return bytes(whole)


SECOND = len(framed(EXAMPLES[0]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (damaged(SECOND + 1), "record 2: its length doesn't match its checksum"),
        (damaged(SECOND + 20), "record 2: its bytes don't match their checksum"),
        (framed(*EXAMPLES)[:-1], "record 3: the file ends within it"),
        (framed(*EXAMPLES)[: SECOND + 5], "record 2: its length doesn't match its checksum"),
        (gzip.compress(framed(*EXAMPLES))[:-20], "record 3: gzip: Compressed file ended"),
        (b"a,b\n1,2\n", "record 1: its length doesn't match its checksum. The file is no TFRecord file"),
        (framed(EXAMPLES[0], b"\xff\xff\xff"), "record 2: not a tf.Example"),
        (framed(example(a=1), example(a=b"x")), "Feature 'a' changes its type: int64 in"),
        (gzip.compress(b""), "has no records"),
        (framed(example(a=[])), "has no features"),
    ],
)
def test_bad_tfrecord(extract, csv, data, message):
    source = csv(data, "data.tfrecord")
    error = extract.fails(source, *ONE_SPLIT)
    assert message in error
    assert str(source) in error


def test_a_damaged_tfrecord_among_good_ones(extract, csv):
    csv(framed(*EXAMPLES), "1.tfrecord")
    bad = csv(damaged(-1), "2.tfrecord")
    assert f"{str(bad)!r}, record 3: its bytes don't" in extract.fails(extract.folder / "*.tfrecord", *ONE_SPLIT)


def test_fractions_of_no_format_are_rounded_to_a_given_whole_type(extract, jsonl, tmp_path):
    whole, database = ("--column-types", '{"a": "BIGINT"}'), tmp_path / "a.db"
    pq.write_table(pa.table({"a": [1.0, -2.5]}), tmp_path / "a.parquet")
    with contextlib.closing(sqlite3.connect(database)) as opened, opened:
        opened.executescript("CREATE TABLE t (a REAL); INSERT INTO t VALUES (1), (-2.5)")
    query = ("--query", "SELECT a FROM t")
    for source, more in (
        (jsonl({"a": 1}, {"a": -2.5}), ()),
        (tmp_path / "a.parquet", ()),
        (f"sqlite:///{database}", query),
    ):
        error = extract.fails(source, *ONE_SPLIT, *whole, *more)
        assert "has fractions, but --column-types says BIGINT (row 2: '-2.5'). Say DOUBLE, or round it" in error
        assert "Column 'a' " in error
    assert extract.rows(jsonl({"a": 1.0}, {"a": None}, {"a": "007"}, {"a": 2**62}), *whole) == [
        {"a": 1},
        {"a": None},
        {"a": 7},
        {"a": 2**62},
    ]


def test_a_key_without_a_name_is_refused(extract, jsonl):
    error = extract.fails(jsonl({"": 1, "b": 2}), *ONE_SPLIT)
    assert "has a key without a name, which no column can have. Name it." in error
