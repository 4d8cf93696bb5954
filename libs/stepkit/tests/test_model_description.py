import json

import pytest

from stepkit import model_description
from stepkit.errors import StepError
from stepkit.model_description import ModelDescription


@pytest.fixture(name="model")
def fixture_model(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    return tmp_path


def test_what_is_written_is_read(model):
    described = ModelDescription(
        "species", "multiclass", ("Adélie", "Gentoo"), "w", {"bill (mm)": "FLOAT"}, {"bill (mm)": "bill_mm_"}
    )
    (model / model_description.FILE).write_text(described.to_json(), encoding="utf-8")
    assert model_description.read(model) == described
    assert described.answer == "scores"


def test_a_model_without_description(model):
    assert model_description.read(model) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "newer format"),
        ({"classes": ["a", "a"]}, "names 'a' twice"),
        ({"unknown": 1}, "doesn't describe a model"),
        ({"task": None}, "doesn't describe a model|classes"),
    ],
)
def test_damaged_descriptions_are_refused(model, change, message):
    content = json.loads(ModelDescription("y", "multiclass", ("a", "b")).to_json()) | change
    if change == {"task": None}:
        del content["task"]
    (model / model_description.FILE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(StepError, match=message):
        model_description.read(model)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["fare", "trip_miles"], {"fare": "fare", "trip_miles": "trip_miles"}),
        (
            ["hours-per-week", "1st", "party.facts.id", "Fare (EUR)", "_x", "%", "größe"],
            {
                "hours-per-week": "hours_per_week",
                "1st": "c_1st",
                "party.facts.id": "party_facts_id",
                "Fare (EUR)": "Fare_EUR_",
                "_x": "c_x",
                "%": "c",
                "größe": "gr_e",
            },
        ),
        (["a b", "a-b", "a_b"], {"a_b": "a_b", "a b": "a_b_2", "a-b": "a_b_3"}),
        (["age", "Age", "AGE"], {"AGE": "AGE", "Age": "Age_2", "age": "age_3"}),
        (["a b", "a_b_2", "a_b"], {"a_b": "a_b", "a_b_2": "a_b_2", "a b": "a_b_3"}),
        (["%", "&", "c"], {"c": "c", "%": "c_2", "&": "c_3"}),
    ],
)
def test_arguments_are_distinct_and_leave_tame_names(names, expected):
    assert model_description.arguments(names) == expected
    assert model_description.arguments(reversed(names)) == expected
