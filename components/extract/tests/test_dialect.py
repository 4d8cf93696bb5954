"""How CSV files are written: found from their rows, said by options, or refused with the option that helps."""

import gzip
import json

import pytest
from conftest import ONE_SPLIT

ADVICE = ("strict_mode", "auto_detect", "ignore_errors", "null_padding", "max_line_size", "store_rejects", "Possible")


def plain(error: str) -> str:
    """Returns an error, which must not have DuckDB's advice."""
    assert not [word for word in ADVICE if word in error], error
    return error


# A file, and its rows: the delimiter isn't the first that the header has.
SNIFFED = {
    "decimal commas": ("station;temp, C\nBonn;3,5\nKiel;4,0\n", {"station": "Bonn", "temp, C": "3,5"}),
    "bars": ("id|price, net|city\n1|3,50|Bonn\n2|4,50|Kiel\n", {"id": 1, "price, net": "3,50", "city": "Bonn"}),
    "quoted commas": ('"name, full";x\n"Bo, A";1\n', {"name, full": "Bo, A", "x": 1}),
    "commas in quotes within": ('id;"a,b"\n1;"x,y"\n', {"id": 1, "a,b": "x,y"}),
    "tabs": ("a\tb, c\n1\t2;3\n4\t5\n", {"a": 1, "b, c": "2;3"}),
    "rows with other delimiters": ("a,b\n1;2,3|4\n5,6\n", {"a": "1;2", "b": "3|4"}),
    "rows decide": ("a,b;c\n1,2\n3,4;5\n6,7\n", {"a": 1, "b;c": "2"}),
    "newlines in quotes": ('a;b\n1;"x,\ny"\n2;"z"\n', {"a": 1, "b": "x,\ny"}),
    "one column": ("name\nBonn; Kiel\nUlm\n", {"name": "Bonn; Kiel"}),
}


@pytest.mark.parametrize(("text", "first"), SNIFFED.values(), ids=SNIFFED)
def test_the_delimiter_that_fits_the_rows(extract, csv, text, first):
    assert extract.rows(csv(text))[0] == first


def test_two_delimiters_fit(extract, csv):
    source = csv("a,b;c\n1,2;3\n4,5;6\n")
    error = extract.fails(source, *ONE_SPLIT)
    assert f"{str(source)!r} can be read with ',' or ';' between its values" in error
    assert "--delimiter ','" in error
    assert extract.rows(source, "--delimiter", ";")[0] == {"a,b": "1,2", "c": 3}
    assert extract.rows(source, "--delimiter", ";", "--decimal", ",")[0] == {"a,b": 1.2, "c": 3}
    assert extract.rows(source, "--delimiter", ",")[0] == {"a": 1, "b;c": "2;3"}


def test_a_shard_that_fits_one_delimiter_decides_for_all(extract, csv):
    csv("a,b;c\n1,2;3\n", "1.csv")
    csv("a,b;c\n1;3\n", "2.csv")
    assert extract.rows(extract.folder / "*.csv") == [{"a,b": "1,2", "c": 3}, {"a,b": "1", "c": 3}]


def test_shards_with_different_delimiters(extract, csv):
    one, two = csv("a,b\n1,2\n", "1.csv"), csv("a;b\n1;2\n", "2.csv")
    error = extract.fails(extract.folder / "*.csv", *ONE_SPLIT)
    assert f"{str(one)!r} has ',' between its values, and {str(two)!r} ';'" in error
    assert "--delimiter" in error


def test_no_delimiter_fits_all_rows(extract, csv):
    error = extract.fails(csv("a,b;c\n1,2;3\n4;5\n6,7\n8\n"), *ONE_SPLIT)
    assert "no delimiter by which all rows have as many values" in error
    assert "--delimiter" in error


OPTIONS = {
    "delimiter": (b"a:b\n1:2\n", ["--delimiter", ":"], {"a": 1, "b": 2}),
    "a tab by its name": (b"a,b\tc\n1,2\t3\n", ["--delimiter", "\\t"], {"a,b": "1,2", "c": 3}),
    "decimal": (b"a;b\n1,5;-2,25e3\n3;4\n", ["--decimal", ","], {"a": 1.5, "b": -2250.0}),
    "quote": (b"a,b\n'x,y',1\n", ["--quote", "'"], {"a": "x,y", "b": 1}),
    "no quote": (b'a,b\n5" disk,1\n"x,2\n', ["--quote", ""], {"a": '5" disk', "b": 1}),
    "escape": (b'a,b\n"say \\"hi\\"",1\nx\\,y,2\n', ["--escape", "\\"], {"a": 'say "hi"', "b": 1}),
    "comment": (
        b'# made by x\na,b\n# a, b\n"x\n# no comment",1\n',
        ["--comment", "#"],
        {"a": "x\n# no comment", "b": 1},
    ),
    "a blank line after comments": (b"# x\n\na,b\n1,2\n", ["--comment", "#"], {"a": 1, "b": 2}),
    "encoding": ("a,b\nÉté,1\n".encode("cp1252"), ["--encoding", "cp1252"], {"a": "Été", "b": 1}),
    "UTF-16": ("a,b\n汉,1\n".encode("utf-16"), ["--encoding", "utf-16"], {"a": "汉", "b": 1}),
    "Shift JIS": ("a,b\n表,1\n".encode("shift_jis"), ["--encoding", "shift_jis"], {"a": "表", "b": 1}),
    "no header": (b"1,x\n2,y\n", ["--header", "false"], {"column0": 1, "column1": "x"}),
    "no header, but names": (
        b"1,x\n2,y\n",
        ["--header", "False", "--column-names", '["id", "name"]'],
        {"id": 1, "name": "x"},
    ),
    "other names": (b"a,a\n1,x\n", ["--column-names", '["id", "name"]'], {"id": 1, "name": "x"}),
    "all at once": (
        "#x\n1;'é\\'';2,5\n".encode("latin-1"),
        [
            *("--delimiter", ";", "--decimal", ",", "--quote", "'", "--escape", "\\", "--comment", "#"),
            *("--encoding", "latin-1", "--header", "false", "--column-names", '["a", "b", "c"]'),
        ],
        {"a": 1, "b": "é'", "c": 2.5},
    ),
}


@pytest.mark.parametrize(("data", "flags", "first"), OPTIONS.values(), ids=OPTIONS)
def test_options(extract, csv, data, flags, first):
    assert extract.rows(csv(data), *flags)[0] == first


def test_options_are_in_the_manifest(extract, csv):
    manifest = extract.ok(csv("a;b\n1;2\n"), *ONE_SPLIT, "--delimiter", ";", "--column-names", '["x", "y"]')
    assert manifest["source"]["csv"] == {
        "delimiter": ";",
        "decimal": ".",
        "quote": '"',
        "escape": "",
        "comment": "",
        "encoding": "utf-8",
        "header": True,
        "column_names": ["x", "y"],
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--delimiter", ";;"], "--delimiter is ';;'; give one ASCII character"),
        (["--comment", "//"], "--comment is '//'"),
        (["--delimiter", '"'], "--delimiter and --quote are both '\"'"),
        (["--decimal", ";"], "--decimal is ';'; give '.' or ','"),
        (["--decimal", ",", "--delimiter", ","], "--decimal and --delimiter are both ','"),
        (["--encoding", "utf-88"], "--encoding 'utf-88' isn't known"),
        (["--column-names", '["a", ""]'], "--column-names takes texts that aren't blank"),
        (["--format", "parquet", "--delimiter", ";"], "aren't for it"),
    ],
)
def test_options_that_cannot_be(extract, csv, flags, message):
    assert message in extract.fails(csv("a,b\n1,2\n"), *flags, code=2)


# Each a file that needs an option, a part of the message, the flags that it names, and what they give.
ASKED = {
    "a comment at the top": (
        b"# by x\na,b\n1,2\n",
        "line 1: it starts with '#' and has 1 values, the next 2",
        ["--comment", "#"],
        [{"a": 1, "b": 2}],
    ),
    "a comment below": (b"a,b\n1,2\n# x\n3,4\n", "line 3: the row has 1 values", ["--comment", "#"], [1, 3]),
    "backslashes": (
        b'a,b\n"x \\"y\\"",1\n',
        "line 2: a quote isn't closed as it should be",
        ["--escape", "\\"],
        [{"a": 'x "y"', "b": 1}],
    ),
    "a backslash before a delimiter": (
        b"a,b\nx\\,y,1\n2,3\n",
        "line 2: the row has 3 values",
        ["--escape", "\\"],
        ["x,y", "2"],
    ),
    "Latin-1": (b"a,b\n1,caf\xe9\n", "line 2: the bytes aren't UTF-8 text", ["--encoding", "latin-1"], [1]),
    "Latin-1 in the header": (b"caf\xe9,b\n1,2\n", "line 1: the header isn't UTF-8", ["--encoding", "latin-1"], [1]),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "line 1: the header isn't UTF-8", ["--encoding", "utf-16"], [1]),
    "a name that comes twice": (b"a,A\n1,2\n", "names two columns 'a' and 'A'", ["--column-names", '["x", "y"]'], [1]),
    "a column without a name": (b"a,,c\n1,2,3\n", "Column 2 of", ["--column-names", '["a", "b", "c"]'], [1]),
    "R's row names": (
        b'"a","b"\n"1",2,3\n"2",4,5\n',
        "line 2: the row has 3 values, the header 2",
        ["--column-names", '["row", "a", "b"]'],
        [{"row": 1, "a": 2, "b": 3}, {"row": 2, "a": 4, "b": 5}],
    ),
    "a stray quote": (b'a,b\n"5"" x,1\n', "a quote isn't closed", ["--quote", ""], ['"5"" x']),
}


@pytest.mark.parametrize(("data", "message", "flags", "rows"), ASKED.values(), ids=ASKED)
def test_the_message_names_the_option_that_helps(extract, csv, data, message, flags, rows):
    source = csv(data)
    error = plain(extract.fails(source, *ONE_SPLIT))
    assert message in error
    assert str(source) in error
    assert flags[0] in error
    found = extract.rows(source, *flags)
    assert rows in (found, [next(iter(row.values())) for row in found])


# Each a file as it is, and its rows.
READ = {
    "CRLF": ("id,x\r\n1,a\r\n2,b\r\n", ["a", "b"]),
    "CRLF, then LF": ("id,x\r\n1,a\r\n2,b\n3,c\r\n", ["a", "b", "c"]),
    "LF, then CRLF": ("id,x\n1,a\n2,b\r\n3,c\n", ["a", "b", "c"]),
    "CR CR LF": ("id,x\r\r\n1,a\r\r\n2,b\r\r\n", ["a", "b"]),
    "LF, then CR CR LF": ("id,x\n1,a\r\r\n2,b\n", ["a", "b"]),
    "CR": ("id,x\r1,a\r2,b\r", ["a", "b"]),
    "CR, then LF": ("id,x\r1,a\n2,b\r", ["a", "b"]),
    "LF, and at last CRLF": ("id,x\n1,a\r\n", ["a"]),
    "CRLF, and at last none": ("id,x\r\n1,a\r\n2,b", ["a", "b"]),
    "CRLF and LF in quotes": ('id,x\r\n1,"a\nb"\r\n2,"c\r\nd"\r\n', ["a\nb", "c\r\nd"]),
    "mixed, with quotes": ('id,x\r\n1,"a\nb"\n2,"c\r\nd"\r\n', ["a\nb", "c\r\nd"]),
    "blank lines": ("id,x\n\n1,a\n\n2,b\n\n", ["a", "b"]),
    "a delimiter after each row": ("id,x,\n1,a,\n2,b,\n", ["a", "b"]),
    "a delimiter after rows, not the header": ("id,x\n1,a,\n2,b,\n", ["a", "b"]),
    "a delimiter after rows, and mixed ends": ("id,x\r\n1,a,\n2,b,\r\n", ["a", "b"]),
    "pandas' index": (",id,x\n7,1,a\n8,2,b\n", ["a", "b"]),
    "a byte order mark": ("\ufeffid,x\n1,a\n", ["a"]),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("text", "values"), READ.values(), ids=READ)
def test_line_ends_and_what_writers_add(extract, csv, text, values, pack):
    rows = extract.rows(csv(pack(text.encode()), "data.csv.gz" if pack is gzip.compress else "data.csv"))
    assert [(row["id"], row["x"]) for row in rows] == list(enumerate(values, start=1))
    assert set(rows[0]) - {"index"} == {"id", "x"}


def test_mixed_line_ends_far_down(extract, csv):
    ends = ["\n"] * 150_000 + ["\r\n"] + ["\n"] * 1000
    source = csv("id\n" + "".join(f"{number}{end}" for number, end in enumerate(ends)))
    extract.ok(source, *ONE_SPLIT)
    assert extract.table()["id"].to_pylist() == list(range(len(ends)))


def test_the_index_of_pandas_has_a_name(extract, csv):
    source = csv(",id\n7,1\n8,2\n")
    assert extract.rows(source) == [{"index": 7, "id": 1}, {"index": 8, "id": 2}]
    assert extract.rows(source, "--columns", '["id"]') == [{"id": 1}, {"id": 2}]
    named = extract.rows(source, "--column-names", '["row", "id"]')
    assert named[0] == {"row": 7, "id": 1}
    assert "names two columns 'index' and 'Index'" in extract.fails(csv(",Index\n7,1\n"), *ONE_SPLIT)


def test_a_last_column_without_a_name_but_with_values(extract, csv):
    error = extract.fails(csv("a,\n1,\n2,3\n"), *ONE_SPLIT)
    assert "Column 2 of" in error
    assert "--column-names" in error


BROKEN = {
    "a comment in a file without": ("a,b\n1,2\n#\n", "line 3: the row has 1 values, the header 2: '#'"),
    "too many values, mixed ends": ("a,b\r\n1,2\n3,4,5\r\n", "line 3: the row has 3 values"),
    "too few values, CR CR LF": ("a,b\r\r\n1,2\r\r\n3\r\r\n", "line 3: the row has 1 values"),
    "an end of file character": ("a,b\n1,2\n\x1a", "line 3: the row has 1 values"),
    "an unclosed quote, mixed ends": ('a,b\r\n1,2\n3,"4\r\n5,6\n', "line 3: a quote isn't closed"),
    "text after a quote": ('a,b\n"x"y,1\n', "line 2: a quote isn't closed"),
    "fewer names than values": ("1,2\n", "line 1: the row has 2 values, --column-names 1"),
    "a long value": ("a,b\n1," + "x" * 2_100_000 + "\n", "line 2: a value has more than 2,000,000 characters"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_has_a_line_and_no_advice_of_duckdb(extract, csv, text, message):
    flags = ["--header", "false", "--column-names", '["a"]', "--delimiter", ","] if "names" in message else []
    assert message in plain(extract.fails(csv(text), *ONE_SPLIT, *flags))


def test_what_an_escape_might_mean_is_refused(extract, csv):
    error = extract.fails(csv("a,b\n1,\\N\n"), *ONE_SPLIT, "--escape", "\\")
    assert "line 2: '\\\\N' may mean a null or a control character, which --escape doesn't read" in error


def test_a_value_of_another_type_in_a_file_that_was_rewritten(extract, csv):
    source = csv("a,b\r\n1,x\noops,y\r\n")
    error = plain(extract.fails(source, *ONE_SPLIT, "--column-types", '{"a": "BIGINT"}'))
    assert f"{str(source)!r}, row 2: column 'a' has 'oops', which is no BIGINT" in error


def test_null_values_of_files_that_are_rewritten(extract, csv):
    source = csv('a,b\r\n1,NA\n,"x"\r\n')
    assert extract.rows(source, "--null-values", '["", "NA"]') == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


def test_sqls_own_errors_have_no_advice_of_duckdb(extract, csv):
    plain(extract.fails(csv("a,b\n1,x\n"), *ONE_SPLIT, "--where", "b::INT > 1"))
    plain(extract.fails(csv("a,b\n1,x\n"), *ONE_SPLIT, "--where", "b::DATE > 'x'"))
    source = csv(json.dumps({"a": "x"}) + "\n", "data.jsonl")
    plain(extract.fails(source, *ONE_SPLIT, "--column-types", '{"a": "BIGINT"}'))
