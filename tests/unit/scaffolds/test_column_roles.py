"""What becomes of columns, and what the model is for, by what is known of them."""

import pytest

from pipeyard.errors import PipeyardError
from pipeyard.scaffolds import column_roles
from pipeyard.scaffolds.column_roles import ColumnFacts

SIZE = ColumnFacts("Size (cm)", "double", 900, distinct=500)


def label(kind: str, distinct: int, **more) -> ColumnFacts:
    return ColumnFacts("target", kind, 900, distinct=distinct, **more)


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (label("string", 2), "binary"),
        (label("string", 3), "multiclass"),
        (label("bool", 2), "binary"),
        (label("int64", 2), "binary"),
        (label("int64", 10), "multiclass"),
        (label("int64", 11), "regression"),
        (label("double", 2), "regression"),
        (label("double", 800), "regression"),
    ],
)
def test_the_task_is_what_the_label_s_values_suggest(target, task):
    assert column_roles.plan([SIZE, target], "target").task == task


@pytest.mark.parametrize(
    ("target", "task", "message"),
    [
        (label("string", 3), "binary", "has 3 different values; a binary model has 2: give --task multiclass"),
        (label("string", 3), "regression", "is string, no number"),
        (label("double", 30), "multiclass", "has fractions, no classes: give --task regression"),
        (label("string", 400), "", "400 different values, too many for classes"),
        (label("string", 1), "", "has one value alone: there is nothing to learn"),
        (label("string", 0, missing=900), "", "has no value: there is nothing to learn"),
        (label("string", 3), "multiclas", "Did you mean 'multiclass'"),
        (label("string", 3), "multilabel", "docs/model-tasks.md"),
    ],
)
def test_a_label_that_can_t_be_learned_is_refused_with_what_could_be(target, task, message):
    with pytest.raises(PipeyardError, match=message):
        column_roles.plan([SIZE, target], "target", task)


def test_an_unknown_label_is_told_with_near_misses():
    with pytest.raises(PipeyardError, match=r"no column 'taget' \(--label\). Did you mean 'target'"):
        column_roles.plan([SIZE, label("string", 2)], "taget")


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (SIZE, "numbers"),
        (ColumnFacts("rooms", "int64", 900, distinct=4), "numbers"),
        (ColumnFacts("Row ID", "int64", 900, distinct=900), "it names the row"),
        (ColumnFacts("id", "int64", 900, missing=20, distinct=880), "it names the row"),
        (ColumnFacts("valid", "int64", 900, distinct=900), "numbers"),
        (ColumnFacts("colour", "string", 900, distinct=3), "categories"),
        (ColumnFacts("is new", "bool", 900, distinct=2), "categories"),
        (ColumnFacts("town", "string", 900, distinct=300, words=1.2), "categories"),
        (ColumnFacts("name", "string", 900, distinct=800, words=2), "nearly every row has a value of its own"),
        (ColumnFacts("note", "string", 900, distinct=800, words=7), "texts"),
        (ColumnFacts("day", "date32[day]", 900, distinct=300), "dates"),
        (ColumnFacts("seen", "timestamp[us]", 900, distinct=300), "dates"),
        (ColumnFacts("day", "string", 900, distinct=890, words=1, dates="date"), "dates"),
        (ColumnFacts("seen", "string", 900, distinct=20, words=2, dates="timestamp"), "dates"),
        (
            ColumnFacts("day", "string", 900, distinct=890, words=1, dates="other"),
            "its dates don't begin with the year; written as 2024-02-29 they would be an input",
        ),
        (ColumnFacts("part", "string", 900, distinct=20, words=1, dates="other"), "categories"),
        (ColumnFacts("at", "time64[us]", 900, distinct=300), r"nothing is known to be made of time64[us]"),
        (ColumnFacts("same", "int64", 900, distinct=1), "it has one value alone"),
        (ColumnFacts("none", "string", 900, missing=900), "it is empty"),
    ],
    ids=lambda each: each.name if isinstance(each, ColumnFacts) else "",
)
def test_a_column_becomes_what_its_values_are(column, kind):
    plan = column_roles.plan([label("string", 2), ColumnFacts("other", "double", 900, distinct=9), column], "target")
    if column.name in plan.columns:
        assert column.name in getattr(plan, kind).values()
    else:
        assert plan.left_out == {column.name: kind}


def test_features_have_names_that_a_model_s_inputs_can_have_none_twice():
    names = ["Size (cm)", "size_cm", "Größe", "2nd", "label", "数"]
    columns = [ColumnFacts(name, "double", 900, distinct=9) for name in names]
    plan = column_roles.plan([*columns, ColumnFacts("size CM", "string", 900, distinct=2)], "size CM")
    assert plan.label_key == "size_cm"
    assert dict(plan.numbers) == {
        "size_cm_2": "Size (cm)",
        "size_cm_3": "size_cm",
        "gr_e": "Größe",
        "column_2nd": "2nd",
        "label_2": "label",
        "column_7": "数",
    }


def test_data_without_anything_to_predict_by_are_refused():
    with pytest.raises(PipeyardError, match="No column is left to predict 'target' by: 'id': it names the row"):
        column_roles.plan([label("string", 2), ColumnFacts("id", "int64", 900, distinct=900)], "target")


def test_rows_without_a_label_and_rare_classes_are_told():
    plan = column_roles.plan([SIZE, label("string", 3, missing=7, rarest=4)], "target")
    assert plan.warnings[0] == "7 rows have no 'target': they are left out (\"target\" IS NOT NULL)."
    assert "is in 4 rows alone" in plan.warnings[1]
    assert not column_roles.plan([SIZE, label("double", 300, rarest=1)], "target").warnings
