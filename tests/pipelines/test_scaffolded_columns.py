"""What `pipeyard new pipeline` knows of data's columns, from extract's own environment."""

from dataclasses import replace
from pathlib import Path

from pipeyard.repository.project import Project
from pipeyard.scaffolds import column_roles, data_facts

ROWS = [
    "day,at,american,code,size,label",
    "2012/01/01,2012-01-01 10:00,1/31/2012,x,1.5,sun",
    ",2012-01-02 11:30,12/31/99,2012-01-01,2,rain",
    "2012/01/03,2012-01-03 00:00,2/1/2012,y,2.5,rain",
]


def test_what_stands_for_a_missing_value_is_told_and_can_be_said(tmp_path):
    (tmp_path / "rows.csv").write_text("size,label,nan\n1.5,a,1\nNA,b,nan\n2.5,a,3\n", encoding="utf-8")
    said: list[str] = []
    reader = data_facts.DataReader(Project(Path(__file__).parents[2]), tmp_path / "read", said.append)
    source = data_facts.source_of(tmp_path / "rows.csv")
    columns = reader.columns(source, "label")
    assert [(each.type, each.word) for each in columns] == [("string", "NA"), ("string", ""), ("string", "nan")]
    assert said[-1] == "column 'nan' is string: 'nan' is a word, not a number; name it in --null if it stands for none"
    (warning, _) = column_roles.plan(columns, "label").warnings[-2:]
    assert "'size' is text: it has 'NA' among its numbers." in warning and warning.endswith("--null NA.")
    reader = data_facts.DataReader(Project(Path(__file__).parents[2]), tmp_path / "again", said.append)
    size, *_ = reader.columns(replace(source, nulls=("NA",)), "label")
    assert (size.type, size.missing) == ("double", 1)


def test_texts_that_are_dates_are_found(tmp_path):
    (tmp_path / "rows.csv").write_text("\n".join(ROWS) + "\n", encoding="utf-8")
    reader = data_facts.DataReader(Project(Path(__file__).parents[2]), tmp_path / "read", lambda _: None)
    columns = reader.columns(data_facts.source_of(tmp_path / "rows.csv"), "label")
    assert {each.name: (each.type, each.dates) for each in columns if each.dates} == {
        "day": ("string", "date"),
        "american": ("string", "other"),
    }
    plan = column_roles.plan(columns, "label")
    assert plan.dates == {"day": "day", "at": "at"}
    assert plan.times  # of the column that is a timestamp
    assert [each.rarest for each in columns if each.name == "label"] == [1]
