"""Columns have any name: it is the same in the source, in the parameters and in the examples."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

NAMES = [
    *("hours-per-week", "1st", "party.facts.id", "Fare (EUR)", "a/b", "x[0]", "it's", 'say "hi"', "100%", "k:v"),
    *("größe", "年齢", "_under", "__", "a b", "a-b", "a_b", "{curly}", "back\\slash", "?", "select", "source"),
]
ROWS = [[100 * column + row for column in range(len(NAMES))] for row in range(12)]


def as_csv(folder):
    text = io.StringIO()
    csv.writer(text).writerows([NAMES, *ROWS])
    (folder / "named.csv").write_text(text.getvalue(), encoding="utf-8")
    return folder / "named.csv"


def as_parquet(folder):
    pq.write_table(
        pa.table([list(column) for column in zip(*ROWS, strict=True)], names=NAMES), folder / "named.parquet"
    )
    return folder / "named.parquet"


def as_jsonl(folder):
    lines = [json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=False) for row in ROWS]
    (folder / "named.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder / "named.jsonl"


@pytest.mark.parametrize("write", [as_csv, as_parquet, as_jsonl])
def test_all_names(extract, tmp_path, write):
    source = write(tmp_path)
    assert extract.rows(source) == [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    for position, name in enumerate(NAMES):
        assert [
            each["name"] for each in extract.ok(source, "--split-key", name, "--splits", '{"all": 1}')["columns"]
        ] == NAMES
        quoted = '"' + name.replace('"', '""') + '"'
        flags = ["--where", f"{quoted} >= {100 * position + 10}", "--columns", json.dumps([name]), "--column-types"]
        kinds = json.dumps({name: "BIGINT"}) if write is as_csv else "{}"
        assert extract.rows(source, *flags, kinds) == [{name: 100 * position + 10}, {name: 100 * position + 11}]
