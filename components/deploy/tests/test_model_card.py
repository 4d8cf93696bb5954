"""The model card: what it says, what it leaves out, where it goes, and what is refused before a run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from deploy import card_data, card_declaration, card_page, model_card
from deploy.cli import main
from tensorflow_metadata.proto.v0 import statistics_pb2

from stepkit import registry, tasks
from stepkit.errors import StepError
from stepkit.model_description import ModelDescription
from stepkit.served import MODEL_CARD, MODEL_CARD_PAGE

MODULE = """
import a_library_that_only_training_has

MODEL_CARD = {
    "overview": "Which rides are <long>?",
    "owners": [{"name": "Dispatch", "contact": "dispatch@example.com"}],
    "licenses": "Apache-2.0",
    "use_cases": ["Ranking offers."],
    "limitations": ["Rides before 2013 "
                    "aren't in the data."],
    "ethical_considerations": [{"name": "Areas differ", "mitigation_strategy": "Slices by area are watched"}],
}
"""
ANALYSIS = {
    "split": "test",
    "slices": [
        {"slice": "overall", "examples": 900, "metrics": {"AUC": 0.75}, "intervals": {}},
        {
            "slice": "area=3",
            "examples": 300,
            "metrics": {"AUC": 0.5},
            "intervals": {"AUC": {"standard_error": 0.01, "lower": 0.48, "upper": 0.52}},
        },
    ],
    "gaps": [
        {
            "metric": "AUC",
            "features": "area",
            "gap": 0.25,
            "highest": {"slice": "area=1", "value": 0.75, "examples": 600},
            "lowest": {"slice": "area=3", "value": 0.5, "examples": 300},
        }
    ],
    "importance": {
        "loss": "cross entropy",
        "rows": 900,
        "columns": [{"column": "miles", "mean": 0.25, "spread": 0.01, "by_slice": []}],
    },
}
# Of model_card.schema.json v0.0.2, which allows no other at the top.
TOP = {"schema_version", "model_details", "model_parameters", "quantitative_analysis", "considerations"}
IMAGE = "registry/train@sha256:" + 64 * "a"


def _with_analysis(files):
    path = files.workspace / "metrics.json"
    path.write_text(json.dumps({"AUC": 0.75, "Precision": None, "analysis": ANALYSIS}), encoding="utf-8")
    return replace(files, metrics=path)


def test_a_card_goes_with_the_model_and_is_found_from_the_registry(files):
    files = _with_analysis(files)
    lineage = json.dumps({"commit": "c0ffee", "images": {"train": IMAGE, "deploy": "pipeyard/deploy:dev"}})
    assert main(files.argv(module=MODULE, lineage=lineage)) == 0
    pushed = files.serving / "taxi/1"
    text = (pushed / MODEL_CARD).read_text(encoding="utf-8")
    card = json.loads(text)
    assert set(card) == TOP and card["schema_version"] == "0.0.2"
    assert text == (files.outputs / "model_card").read_text(encoding="utf-8")
    page = (pushed / MODEL_CARD_PAGE).read_text(encoding="utf-8")
    assert page == (files.outputs / "model_card_page").read_text(encoding="utf-8")

    details = card["model_details"]
    assert details["owners"] == [{"name": "Dispatch", "contact": "dispatch@example.com"}]
    assert details["licenses"] == [{"identifier": "Apache-2.0"}]
    record = json.loads((pushed / "pipeyard.json").read_text(encoding="utf-8"))
    assert details["lineage"]["model_digest"] == record["digest"] and details["lineage"]["run_id"] == "run-7"
    assert details["lineage"]["images"]["train"] == IMAGE
    assert card["considerations"]["limitations"] == [{"description": "Rides before 2013 aren't in the data."}]
    assert card["quantitative_analysis"]["performance_metrics"] == [
        {"type": "AUC", "value": 0.75},
        {
            "type": "AUC",
            "value": 0.5,
            "slice": "area=3",
            "confidence_interval": {"lower_bound": 0.48, "upper_bound": 0.52},
        },
    ]
    assert [each["name"] for each in card["model_parameters"]["data"]] == ["empty", "eval"]
    assert any("images of deploy: they are named by a tag" in each for each in details["not_known"])
    assert "statistics: the statistics can't be read" in details["not_known"]
    assert not any("importance" in each or "commit" in each for each in details["not_known"])
    for words in ("Which rides are &lt;long&gt;?", "Slices by area are watched", "area=3", "0.5 (0.48 to 0.52)", IMAGE):
        assert words in page
    assert "src=" not in page and "href=" not in page  # nothing is loaded

    # The registry leads to the page, the record beside the model names it.
    assert record["model_card"] == MODEL_CARD_PAGE
    assert registry.get_by_alias(files.registry_uri, "taxi", "champion").tags["model_card"] == str(
        pushed / MODEL_CARD_PAGE
    )


def test_without_declaration_and_analysis_a_card_says_what_it_lacks(files):
    assert main(files.argv()) == 0
    card = json.loads((files.outputs / "model_card").read_text(encoding="utf-8"))
    assert card["considerations"] == {}
    assert card["quantitative_analysis"] == {"performance_metrics": [{"type": "AUC", "value": 0.75}]}
    assert {each.partition(":")[0] for each in card["model_details"]["not_known"]} == {
        "overview, owners, licenses, users, use_cases, limitations, ethical_considerations",
        "task, classes and columns",
        "commit",
        "component images",
        "statistics",
        "metrics by slice",
        "confidence intervals",
        "importance of columns",
    }
    assert "Not known" in (files.outputs / "model_card_page").read_text(encoding="utf-8")


def test_a_model_that_is_there_already_gets_the_newest_card(files):
    assert main(files.argv()) == 0
    assert main(files.argv(module=MODULE)) == 0
    assert (files.outputs / "version").read_text() == "1"
    assert "Which rides" in (files.serving / "taxi/1" / MODEL_CARD_PAGE).read_text(encoding="utf-8")


def test_statistics_and_what_the_model_says_of_itself(tmp_path):
    import tensorflow as tf

    found = statistics_pb2.DatasetFeatureStatisticsList()
    for split, rows in (("eval", 10), ("train", 40)):
        dataset = found.datasets.add(name=split, num_examples=rows)
        miles = dataset.features.add(name="miles", type="FLOAT").num_stats
        miles.common_stats.num_non_missing, miles.common_stats.num_missing = 30, 10
        miles.mean, miles.std_dev, miles.min, miles.max = 2.5, 1.0, 0.5, float("inf")
        company = dataset.features.add(type="STRING")
        company.path.step.append("company")
        company.string_stats.unique = 7
    path = tmp_path / "stats.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(found.SerializeToString())
    statistics = card_data.statistics(path)
    assert statistics["split"] == "train" and statistics["rows"] == 40
    miles, company = statistics["columns"]
    assert miles == {"name": "miles", "type": "FLOAT", "missing": 0.25, "mean": 2.5, "std_dev": 1.0, "min": 0.5}
    assert company == {"name": "company", "type": "STRING", "distinct": 7}

    said = ModelDescription(
        "kind", tasks.MULTICLASS, ("ant", "bee"), "weight", {"a col": "FLOAT", "b": "INT"}, {"a col": "a_col", "b": "b"}
    )
    card = model_card.compose(model_card.Known("insects", {}, {}, said, [], statistics, {}, {}))
    parameters = card["model_parameters"]
    assert parameters["arguments"] == {"a col": "a_col"} and parameters["classes"] == ["ant", "bee"]
    assert (parameters["task"], parameters["label"], parameters["weight"]) == ("multiclass", "kind", "weight")
    page = card_page.render(card)
    assert "25.0%" in page and "<td>a_col</td>" in page


@pytest.mark.parametrize(
    ("declaration", "words"),
    [
        ("{'usecases': ['x']}", "unknown key 'usecases'. Did you mean 'use_cases'"),
        ("{'owners': [{'nam': 'x'}]}", "unknown key 'nam' in 'owners'. Did you mean 'name'"),
        ("{'users': [3]}", "an item of 'users' is 3. Write a text, or leave it out."),
        ("{'overview': ''}", "'overview' is ''"),
        ("{'licenses': [{'identifier': 'MIT', 'custom_text': 'x'}]}", "a license has either"),
        ("['x']", "Make it a dictionary"),
        ("make_card()", "in line 1 isn't written out"),
    ],
)
def test_declarations_that_are_none_are_refused_before_training(declaration, words, capsys):
    module = f"MODEL_CARD = {declaration}"
    with pytest.raises(StepError) as caught:
        card_declaration.read(module, "")
    assert words in str(caught.value)
    assert main(["--check", "--module", module]) == 1
    assert words in capsys.readouterr().err


def test_a_module_without_declaration_or_that_cannot_be_parsed(tmp_path: Path):
    assert card_declaration.read("", "") == card_declaration.read("x = 1", "") == {}
    (tmp_path / "module.py").write_text("MODEL_CARD: dict = {'users': 'All'}", encoding="utf-8")
    assert card_declaration.read("", str(tmp_path / "module.py")) == {"users": [{"description": "All"}]}
    with pytest.raises(StepError, match="can't be parsed"):
        card_declaration.read("def", "")


def test_unknown_lineage_is_refused_before_a_run(capsys):
    assert main(["--check", "--lineage", '{"image": {}}']) == 1
    assert "--lineage has an unknown key 'image'. Did you mean 'images'?" in capsys.readouterr().err
    assert main(["--check", "--lineage", '{"images": ["x"]}']) == 1
    assert "Give an object such as" in capsys.readouterr().err
