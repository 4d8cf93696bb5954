import gzip

import pytest
from conftest import ONE_SPLIT

TYPES = {
    "1\n-2\n": "int64",
    "1\n2.5\n": "double",
    "1\n\n1e3\n": "double",
    " 1 \n 2\n": "int64",
    "9223372036854775807\n": "int64",
    "1\n9223372036854775808\n": "string",  # a double would lose its last digits
    "true\nFalse\n": "bool",
    "2013-01-31\n": "date32[day]",
    "2013-01-31\n2013-01-31 10:00:00\n": "timestamp[us]",
    "2013-01-31T10:00:00Z\n": "timestamp[us, tz=UTC]",
    "2013-01-31T10:00:00Z\n2013-01-31 10:00:00\n": "string",
    "1\nx\n": "string",
    "10:30\n": "string",
    "NA\n1\n": "string",
}


@pytest.mark.parametrize(("values", "kind"), TYPES.items())
def test_every_value_decides_the_type(extract, csv, values, kind):
    rows = "".join(f"{value},k\n" for value in values.splitlines())
    manifest = extract.ok(csv(f"value,key\n{rows}"), *ONE_SPLIT)
    assert manifest["columns"] == [{"name": "value", "type": kind}, {"name": "key", "type": "string"}]


def test_a_late_value_of_another_type_is_no_surprise(extract, csv):
    values = [*range(200_000), "2.5"]
    rows = extract.rows(csv("value\n" + "\n".join(map(str, values)) + "\n"))
    assert rows[3] == {"value": 3.0}
    assert rows[-1] == {"value": 2.5}


def test_null_values(extract, csv):
    assert extract.rows(csv('a,b\n1,x\nNA,\n3,"-"\n'), "--null-values", '["", "NA", "-"]') == [
        {"a": 1, "b": "x"},
        {"a": None, "b": None},
        {"a": 3, "b": None},
    ]


def test_quotes_newlines_bom_and_windows_line_ends(extract, csv):
    source = csv('\ufeff"a","b, c"\r\n1,"x\r\ny"\r\n2,"say ""hi"""\r\n')
    assert extract.rows(source) == [{"a": 1, "b, c": "x\r\ny"}, {"a": 2, "b, c": 'say "hi"'}]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiters(extract, csv, delimiter):
    assert extract.rows(csv(f"a{delimiter}b\n1{delimiter}x\n")) == [{"a": 1, "b": "x"}]


def test_gzip(extract, csv):
    assert extract.rows(csv(gzip.compress(b"a,b\n1,x\n"), "data.csv.gz")) == [{"a": 1, "b": "x"}]


def test_quoted_newlines_across_the_borders_of_parallel_reads(extract, csv):
    # The quoted text looks like rows: a reader that starts in the middle must not take it for some.
    text = "7,seven\n" * 700
    count = 15_000
    source = csv("id,text\n" + "".join(f'{i},"{text}"\n' for i in range(count)))
    assert source.stat().st_size > 80_000_000
    manifest = extract.ok(source, *ONE_SPLIT, "--columns", '["id"]')
    assert manifest["splits"]["all"]["rows"] == count
    assert extract.table()["id"].to_pylist() == list(range(count))


def test_columns_in_another_order_in_another_file(extract, csv):
    csv("a,b\n1,x\n", "1.csv")
    csv("b,a\ny,2\n", "2.csv")
    assert extract.rows(extract.folder / "*.csv") == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_integers_in_one_file_and_fractions_in_another(extract, csv):
    csv("a,b\n1,\n", "1.csv")
    csv("a,b\n2.5,x\n", "2.csv")
    assert extract.rows(extract.folder / "*.csv") == [{"a": 1.0, "b": None}, {"a": 2.5, "b": "x"}]


def test_a_type_that_changes_between_files(extract, csv):
    one, two = csv("id,zip\n1,123\n", "1.csv"), csv("id,zip\n2,K1A\n", "2.csv")
    error = extract.fails(extract.folder / "*.csv", *ONE_SPLIT)
    assert f"Column 'zip' changes its type between files: BIGINT in {str(one)!r}, VARCHAR in {str(two)!r}" in error
    assert '--column-types, e.g. {"zip": "VARCHAR"}' in error
    remedied = extract.rows(extract.folder / "*.csv", "--column-types", '{"zip": "VARCHAR"}')
    assert [row["zip"] for row in remedied] == ["123", "K1A"]


def test_column_types(extract, csv):
    source = csv("zip,day,n\n01234,2013-01-31,5\n")
    types = '{"zip": "VARCHAR", "day": "TIMESTAMP", "n": "DOUBLE"}'
    manifest = extract.ok(source, *ONE_SPLIT, "--column-types", types)
    assert [column["type"] for column in manifest["columns"]] == ["string", "timestamp[us]", "double"]
    assert extract.table()["zip"].to_pylist() == ["01234"]


BAD = {
    "ragged, short": ("a,b\n1,2\n3\n", "line 3: the row has 1 values, the header 2: '3'. Correct the row"),
    "ragged, long": ("a,b\n1,2\n3,4,5\n", "line 3: the row has 3 values, the header 2: '3,4,5'"),
    "undecodable": (
        b"a,b\n1,x\n2,caf\xe9\n",
        "line 3: the bytes aren't UTF-8 text (invalid continuation",
    ),
    "undecodable header": (b"caf\xe9,b,c,d,e\n1,2,3,4,5\n", "line 1: the header isn't UTF-8 text"),
    "unclosed quote": (
        'a,b\n1,"x\n3,4\n',
        "line 2: a quote isn't closed as it should be (unexpected end",
    ),
    "text after a quote": ('a,b\n1,x\n2,"a"b\n', "line 3: a quote isn't closed as it should be"),
    "header alone": ("a,b\n", "has a header but no rows"),
    "empty": ("", "is empty"),
    "blank header": ("\na,b\n1,2\n", "has no header: its first line is blank"),
    "unnamed column": ("a,,c\n1,2,3\n", "Column 2 of "),
    "columns alike": ("a,b,A\n1,2,3\n", "names two columns 'a' and 'A'"),
    "all null": ("a,b\n,\n,\n", "All columns are null in every row"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_files(extract, csv, text, message):
    error = extract.fails(csv(text), *ONE_SPLIT)
    assert message in error
    if not message.startswith("All"):
        assert str(extract.folder / "data.csv") in error


@pytest.mark.parametrize("name", ["ragged, short", "undecodable", "unclosed quote"])
def test_the_bad_file_among_good_ones_is_named(extract, csv, name):
    csv("a,b\n1,2\n", "1.csv")
    bad = csv(BAD[name][0], "2.csv")
    assert str(bad) in extract.fails(extract.folder / "*.csv", *ONE_SPLIT)


def test_a_bad_row_far_down_is_named_by_its_line(extract, csv):
    bad = csv("a,b\n" + "1,2\n" * 100_000 + "3\n")
    assert f"{str(bad)!r}, line 100002: the row has 1 values" in extract.fails(bad, *ONE_SPLIT)


def test_an_unclosed_quote_loses_no_rows_silently(extract, csv):
    rows = [f"{i},{f'text {i} ' * 15}\n" for i in range(250_000)]
    rows[-1000] = '1,"text\n'
    bad = csv("a,b\n" + "".join(rows))
    assert bad.stat().st_size > 40_000_000  # more than is read at once, so that the quote is in a later part
    assert f"{str(bad)!r}, line 249002: a quote isn't closed" in extract.fails(bad, *ONE_SPLIT)


def test_a_column_that_one_file_lacks(extract, csv):
    one, two = csv("id,tips\n1,2\n", "1.csv"), csv("id,tipz\n1,2\n", "2.csv")
    error = extract.fails(extract.folder / "*.csv", *ONE_SPLIT)
    assert f"Column 'tips' is in {str(one)!r} but not in {str(two)!r}. Did you mean 'tipz'?" in error
    csv("id,tips,fare\n1,2,3\n", "2.csv")
    error = extract.fails(extract.folder / "*.csv", *ONE_SPLIT)
    assert f"Column 'fare' is in {str(two)!r} but not in {str(one)!r}" in error


def test_a_value_that_the_given_type_does_not_take(extract, csv):
    source = csv("a,b\n1,x\noops,y\n")
    error = extract.fails(source, *ONE_SPLIT, "--column-types", '{"a": "BIGINT"}')
    assert f"{str(source)!r}, line 3: column 'a' has 'oops', which is no BIGINT" in error
    assert "--null-values" in error


def test_fractions_are_not_rounded_to_the_given_type(extract, csv):
    error = extract.fails(csv("a\n1\n2.5\n"), *ONE_SPLIT, "--column-types", '{"a": "BIGINT"}')
    assert "Column 'a' in" in error
    assert "has fractions, but --column-types says BIGINT" in error


def test_one_all_null_column_is_kept_as_text_with_a_warning(extract, csv):
    manifest = extract.ok(csv("a,b\n1,\n2,\n"), *ONE_SPLIT)
    assert manifest["columns"][1] == {"name": "b", "type": "string"}
    assert "extract: warning: column 'b' is null in every row; it is kept, as string" in extract.capsys.readouterr().err
