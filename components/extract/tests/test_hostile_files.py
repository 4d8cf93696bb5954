"""Files and databases as they come on bad days: read right, or refused in their own terms."""

import contextlib
import json
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ONE_SPLIT


@pytest.mark.parametrize("exponent", ["1e99999999999999999999", "-1E-99999999999999999999"])
def test_an_exponent_beyond_any_number_s_stays_text(extract, csv, exponent):
    assert [row["x"] for row in extract.rows(csv(f"x\n1\n{exponent}\n"))] == ["1", exponent]
    source = csv(f'{{"x": 1}}\n{{"x": {exponent}}}\n', "data.jsonl")
    rows = extract.rows(source, "--column-types", '{"x": "VARCHAR"}')
    assert [row["x"] for row in rows] == ["1", exponent]


def test_objects_whose_members_are_null_throughout(extract, csv):
    source = csv('{"x": null, "n": {"a": null}, "l": [null]}\n{"n": {}}\n{"x": 1, "n": null, "l": []}\n', "data.jsonl")
    rows = extract.rows(source, "--query", "SELECT x, n.a AS a, l[1] AS l FROM source")
    assert [row["x"] for row in rows] == [None, None, 1]
    assert {row["a"] for row in rows} | {row["l"] for row in rows} == {None}


def test_objects_without_keys_are_told_as_such(extract, csv):
    assert "has objects without a key in any line" in extract.fails(csv("{}\n{}\n", "data.jsonl"), *ONE_SPLIT)


def test_json_that_is_nested_too_deep(extract, csv):
    line = '{"x": ' + "[" * 5000 + "]" * 5000 + "}\n"
    assert "nested too deep. Write it flatter" in extract.fails(csv(line, "data.jsonl"), *ONE_SPLIT)


def test_a_header_that_stands_again_is_refused(extract, csv):
    error = extract.fails(csv("id,x\n1,a\nid,x\n2,b\n"), *ONE_SPLIT)
    assert "has its header again in row 2, as files have that were joined" in error
    assert [row["word"] for row in extract.rows(csv("word\na\nword\n"))] == ["a", "word"]
    assert extract.rows(csv("id,x\nid,a\n1,x\n")) == [{"id": "id", "x": "a"}, {"id": "1", "x": "x"}]


def test_a_file_is_read_once_however_it_is_spelled(extract, csv):
    source = csv("x\n1\n")
    again = source.parent / ".." / source.parent.name / source.name
    assert extract.rows(f"{source},{again}") == [{"x": 1}]
    (source.parent / "link.csv").symlink_to(source)
    assert extract.rows(source.parent / "*.csv") == [{"x": 1}, {"x": 1}]
    warned = extract.capsys.readouterr().err
    assert f"warning: {str(source.parent / 'link.csv')!r} is the same file as {str(source)!r}" in warned


def test_what_is_packed_as_nobody_reads(extract, csv):
    error = extract.fails(csv(b"BZh9", "data.csv.bz2"), *ONE_SPLIT)
    assert "is packed as .bz2, which isn't read. Pack it as .gz or .zst." in error


def test_zstandard_files_that_were_joined(extract, csv):
    pack = pa.Codec("zstd").compress
    source = csv(pack(b"x\n1\n", asbytes=True) + pack(b"2\n", asbytes=True), "data.csv.zst")
    for flags in ((), ("--comment", "#")):  # with comments the file is read by Python
        assert extract.rows(source, *flags) == [{"x": 1}, {"x": 2}]
    lines = (pack(line, asbytes=True) for line in (b'{"x": 1e2}\n', b'{"x": 2}\n'))
    source = csv(b"".join(lines), "data.jsonl.zst")
    assert extract.rows(source, "--column-types", '{"x": "VARCHAR"}') == [{"x": "1e2"}, {"x": "2"}]
    whole = pack(b"x\n" + b"1\n" * 9000, asbytes=True)
    assert "cut.csv.zst" in extract.fails(csv(whole[:-9], "cut.csv.zst"), *ONE_SPLIT)


def test_text_of_a_database_that_is_not_utf_8(extract, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "data.db")) as opened, opened:
        opened.execute("CREATE TABLE t (x TEXT)")
        opened.executemany("INSERT INTO t VALUES (CAST(? AS TEXT))", [(b"a",), (b"\xff1",)])
    source = f"sqlite:///{tmp_path}/data.db"
    error = extract.fails(source, *ONE_SPLIT, "--query", "SELECT x FROM t")
    assert "column 'x' of --query has text that isn't UTF-8 in row 2. Correct it there" in error
    rows = extract.rows(source, "--query", "SELECT CAST(x AS BLOB) AS x FROM t")
    assert [row["x"] for row in rows] == [b"a", b"\xff1"]


def test_times_far_from_now(extract, tmp_path):
    times = pa.array([-62135596800000000, 253402300799999999, 253402300800000000], pa.timestamp("us"))
    pq.write_table(pa.table({"t": times}), tmp_path / "data.parquet")
    extract.ok(tmp_path / "data.parquet", *ONE_SPLIT)
    assert extract.table()["t"].cast(pa.int64()).to_pylist() == times.cast(pa.int64()).to_pylist()


def test_json_numbers_keep_their_sign(extract, csv):
    rows = extract.rows(csv('{"x": -0.0}\n{"x": 0.5}\n', "data.jsonl"))
    assert json.dumps([row["x"] for row in rows]) == "[-0.0, 0.5]"
