"""No reader leaves bytes or fields of what it reads, or renames a column."""

import contextlib
import gzip
import io
import json
import sqlite3
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ONE_SPLIT
from tfrecords import example, field, framed, varint


def clashing(*names: str) -> pa.Table:
    return pa.Table.from_arrays([pa.array([1])] * len(names), names=list(names))


NAMES = {"twice": ("x", "x"), "by case": ("Price", "price"), "three": ("id", "x", "ID")}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "sqlite", "database", "tfrecord", "query"])
def test_names_that_clash_are_refused_by_every_reader(extract, csv, database_stream, kind, names):
    flags: list[str] = []
    error = ""
    table = clashing(*names)
    if kind == "csv":
        source = csv(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    elif kind == "jsonl":
        source = csv("{" + ", ".join(f'"{name}": 1' for name in names) + "}\n", "data.jsonl")
    elif kind == "parquet":
        source = extract.folder / "data.parquet"
        pq.write_table(table, source)
    elif kind == "sqlite":
        with contextlib.closing(sqlite3.connect(extract.folder / "data.db")) as connection:
            connection.execute("CREATE TABLE t (a)")
            connection.execute("INSERT INTO t VALUES (1)")
            connection.commit()
        source = f"sqlite:///{extract.folder}/data.db"
        flags = ["--query", "SELECT " + ", ".join(f'a AS "{name}"' for name in names) + " FROM t"]
    elif kind == "tfrecord":
        entries = [field(1, field(1, name.encode()) + field(2, field(3, field(1, varint(1))))) for name in names]
        source = csv(framed(field(1, b"".join(entries))), "data.tfrecord")
    elif kind == "query":
        source = csv("a\n1\n")
        flags = ["--query", "SELECT " + ", ".join(f'a AS "{name}"' for name in names) + " FROM source"]
    else:
        with pytest.raises(Exception, match="names two columns") as raised:
            database_stream(table)()
        error = str(raised.value)
    if not error:
        error = extract.fails(source, *ONE_SPLIT, *flags)
    first, second = [name for name in names if name.lower() == names[-1].lower()]
    assert second in error.replace('"', "'").split("'")
    assert first in error.replace('"', "'").split("'")


def test_names_that_clash_between_files_of_json_lines(extract, csv):
    csv('{"a": 1}\n', "1.jsonl")
    csv('{"A": 1}\n', "2.jsonl")
    assert "names two columns 'a' and 'A'" in extract.fails(extract.folder / "*.jsonl", *ONE_SPLIT)


def test_names_that_clash_within_an_object(extract, csv):
    source = csv('{"a": {"x": 1, "X": 2}}\n', "data.jsonl")
    assert "has the keys 'x' and 'X'" in extract.fails(source, *ONE_SPLIT)


def test_names_that_clash_after_files_agree(extract, tmp_path):
    pq.write_table(pa.table({"a": [{"x": 1}], "b": [1]}), tmp_path / "data.parquet")  # nested names are no columns
    assert extract.rows(tmp_path / "data.parquet", "--columns", '["b"]') == [{"b": 1}]


SEQUENCES = field(2, field(1, field(1, b"clicks") + field(2, field(1, field(3, field(1, varint(5)))))))
FEATURE = field(3, field(1, varint(1)))
LEFT = {
    "a SequenceExample": (example(user=1) + SEQUENCES, "a tf.SequenceExample, whose feature lists would be lost"),
    "feature lists alone": (SEQUENCES, "a tf.SequenceExample"),
    "an unknown field": (example(a=1) + field(7, b"x"), "it has the field 7"),
    "an unknown number": (example(a=1) + bytes([7 << 3]) + varint(5), "it has the field 7"),
    "an unknown field of features": (field(1, field(1, field(1, b"a") + field(2, FEATURE)) + field(9, b"")), "field 9"),
    "an unknown field of an entry": (field(1, field(1, field(1, b"a") + field(2, FEATURE) + field(3, b"x"))), "fields"),
    "an unknown kind": (field(1, field(1, field(1, b"a") + field(2, field(4, b"x")))), "a kind that is none of bytes"),
    "two kinds": (field(1, field(1, field(1, b"a") + field(2, FEATURE + field(1, field(1, b"x"))))), "several kinds"),
    "a feature twice": (field(1, field(1, field(1, b"a") + field(2, FEATURE)) * 2), "the feature 'a' twice"),
    "more than values": (field(1, field(1, field(1, b"a") + field(2, field(3, field(2, b"x"))))), "fields besides"),
}


@pytest.mark.parametrize(("record", "message"), LEFT.values(), ids=LEFT)
def test_what_a_tf_example_does_not_have(extract, csv, record, message):
    source = csv(framed(example(a=1), record), "data.tfrecord")
    error = extract.fails(source, *ONE_SPLIT)
    assert f"{str(source)!r}, record 2: " in error
    assert message in error


def test_values_that_are_not_packed_are_read(extract, csv):
    unpacked = b"".join(bytes([1 << 3]) + varint(number) for number in (300,))
    record = field(1, field(1, field(1, b"a") + field(2, field(3, unpacked))))
    assert extract.rows(csv(framed(record, example(a=2)), "data.tfrecord")) == [{"a": 300}, {"a": 2}]


@pytest.mark.parametrize(("name", "text"), [("data.csv.gz", b"a,b\n1,x\n"), ("data.jsonl.gz", b'{"a": 1, "b": "x"}\n')])
def test_gzip_is_verified_to_its_end(extract, csv, name, text):
    whole = gzip.compress(text)
    row = {"a": 1, "b": "x"}
    assert extract.rows(csv(whole, name)) == [row]
    assert extract.rows(csv(whole + gzip.compress(text.splitlines()[-1] + b"\n"), name)) == [row, row]
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # its checksum
    for bad in (bytes(flipped), whole[:-1], whole + b"x", whole[:-8] + zlib.crc32(text).to_bytes(4, "little")):
        error = extract.fails(csv(bad, name), *ONE_SPLIT)
        assert f"{str(extract.folder / name)!r} is damaged or isn't whole" in error


JSON = {
    "two objects on a line": ('{"a": 1} {"a": 2}', "line 2: not JSON (Extra data"),
    "two without a space": ('{"a": 1}{"a": 2}', "line 2: not JSON (Extra data"),
    "words after an object": ('{"a": 1} x', "line 2: not JSON (Extra data"),
    "a comma after an object": ('{"a": 1},', "line 2: not JSON (Extra data"),
    "a comment": ("// x", "line 2: not JSON"),
    "a key twice": ('{"a": 1, "a": 2}', "line 2: Object"),
    "a key twice within": ('{"a": 1, "b": {"c": 1, "c": 2}}', "has duplicate key"),
    "a lone surrogate": ('{"a": "\\ud800"}', "line 2: not JSON (no low surrogate"),
    "an object over two lines": ('{"a":\n1}', "line 2: not JSON"),
}


@pytest.mark.parametrize(("line", "message"), JSON.values(), ids=JSON)
def test_what_is_left_of_a_line_of_json(extract, csv, line, message):
    source = csv(f'{{"z": 1}}\n{line}\n', "data.jsonl")
    flags = ["--query", "SELECT b.c FROM source"] if '"b"' in line else []
    error = extract.fails(source, *ONE_SPLIT, *flags)
    assert message in error
    assert str(source) in error
    assert not [word for word in ("auto_detect", "ignore_errors", "Try ") if word in error]


def test_json_with_a_byte_order_mark(extract, csv):
    error = extract.fails(csv("\ufeff" + '{"a": 1}\n', "data.jsonl"), *ONE_SPLIT)
    assert "line 1: it starts with a byte order mark" in error


def test_json_written_by_python_has_nan(extract, csv):
    lines = io.StringIO()
    for value in (float("nan"), float("inf"), 1.5):
        lines.write(json.dumps({"a": value}) + "\n")
    rows = extract.rows(csv(lines.getvalue(), "data.jsonl"))
    assert str([row["a"] for row in rows]) == "[nan, inf, 1.5]"
