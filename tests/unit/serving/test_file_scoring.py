"""`pipeyard predict`: which model is meant, what extract and batch_predict are told, what is said in the end."""

import json
from pathlib import Path

import pytest

from pipeyard.errors import PipeyardError
from pipeyard.repository import component_programs, project
from pipeyard.serving import file_scoring
from pipeyard.serving.file_scoring import ScoredModel
from pipeyard.serving.serving_folder import ServingFolder
from rollout import desired
from rollout.policy import DIRECT, Policy
from stepkit.model_description import ModelDescription

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pushed(tmp_path):
    """Versions 1 and 2 of `taxi`, of which 1 is the stable one."""
    folder = tmp_path / "serving"
    description = ModelDescription("tip", arguments={"fare": "fare", "Company Name": "Company_Name"})
    for version in ("1", "2"):
        (folder / "taxi" / version / "assets.extra").mkdir(parents=True)
        (folder / "taxi" / version / "saved_model.pb").touch()
        (folder / "taxi" / version / "assets.extra/model.json").write_text(description.to_json())
    stage = {"strategy": DIRECT, "policy": Policy(), "registry_uri": "", "now": 1.0}
    desired.update(folder / "taxi", lambda before: desired.stage(before, 1, **stage))
    return ServingFolder(folder)


def test_a_name_means_the_stable_version_and_a_number_that_one(pushed):
    assert file_scoring.find_model("taxi", lambda: pushed) == ScoredModel(str(pushed.path / "taxi/1"), "taxi", 1)
    assert file_scoring.find_model("taxi@2", lambda: pushed) == ScoredModel(str(pushed.path / "taxi/2"), "taxi", 2)


def test_a_folder_or_uri_needs_no_pushed_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    never = pytest.fail
    assert file_scoring.find_model("./model", never) == ScoredModel(str(tmp_path / "model"))
    assert file_scoring.find_model("gs://bucket/model", never) == ScoredModel("gs://bucket/model")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tax", "No model 'tax' is in .*Did you mean 'taxi'?"),
        ("taxi@3", "taxi has no version 3. There are: 2, 1."),
        ("taxi@new", "'taxi@new' has no version's number after @. Give taxi@3, or taxi for the champion."),
        ("./nothing", "There is no folder './nothing'. Give one, or the name of a pushed model"),
    ],
)
def test_what_is_no_model(text, told, pushed):
    with pytest.raises(PipeyardError, match=told):
        file_scoring.find_model(text, lambda: pushed)


def test_inputs_of_extract_are_taken_as_they_are_called():
    here = project.find(ROOT)
    assert file_scoring.reading_of(here, ["delimiter=;", "where=a = 1"]) == {"delimiter": ";", "where": "a = 1"}
    with pytest.raises(PipeyardError, match="no such input here. Did you mean 'delimiter'?"):
        file_scoring.reading_of(here, ["delimeter=;"])
    with pytest.raises(PipeyardError, match="--read 'delimiter' has no value"):
        file_scoring.reading_of(here, ["delimiter"])
    with pytest.raises(PipeyardError, match="no such input here"):
        file_scoring.reading_of(here, ["splits={}"])


MANIFEST = {
    "uri": "out.parquet",
    "task": "binary",
    "rows": 1234,
    "columns": [{"name": "id", "type": "string"}, {"name": "probability", "type": "double"}],
    "files": [{"path": "", "rows": 1234, "bytes": 5, "sha256": "0"}],
}


@pytest.fixture
def asked(monkeypatch):
    """What programs of components are told; they write what they would."""
    told: list[list[str]] = []

    def run(_project, component, arguments, purpose, say):
        assert (arguments[:2], purpose) == (["-m", component], "files are scored")
        say(f"ran {component}")
        told.append(arguments[1:])
        if "--row-count" in arguments:
            Path(arguments[arguments.index("--row-count") + 1]).write_text("1234")
        if "--predictions" in arguments:
            folder = Path(arguments[arguments.index("--predictions") + 1])
            folder.mkdir()
            (folder / "manifest.json").write_text(json.dumps(MANIFEST))
        return ""

    monkeypatch.setattr(component_programs, "run", run)
    return told


def test_files_are_checked_read_and_scored(asked, pushed, run_pipeyard):
    given = ("--columns", "id, fare", "--prefix", "p_", "--read", "delimiter=;", "--project", str(ROOT))
    files = ("--input", "a.csv", "--input", "b/*.csv", "--output", "out.parquet", "--folder", str(pushed.path))
    code, out, told = run_pipeyard("predict", "taxi", *files, *given)
    assert (code, out) == (
        0,
        "1,234 rows scored with taxi, version 1: out.parquet\nColumns: id, probability\n",
    )
    assert "reading a.csv,b/*.csv" in told
    assert "scoring 1,234 rows with taxi, version 1" in told
    check, read, score = asked
    assert check[:2] == ["batch_predict", "--check"]
    common = ["--model", str(pushed.path / "taxi/1"), "--output-uri", "out.parquet", "--prefix", "p_"]
    common += ["--columns", '["id", "fare"]']
    assert check[2:] == common
    assert score[1 : len(common) + 1] == common
    assert read[:5] == ["extract", "--source", "a.csv,b/*.csv", "--splits", '{"all": 1}']
    assert read[5:9] == ["--columns", '["id", "fare", "Company Name"]', "--delimiter", ";"]
    assert score[score.index("--examples") + 1] == read[read.index("--examples") + 1]


def test_json_says_what_was_scored_with_what(asked, pushed, run_pipeyard):
    files = ("--input", "a.csv", "--output", "out.parquet", "--folder", str(pushed.path), "--project", str(ROOT))
    code, out, _ = run_pipeyard("predict", "taxi@2", *files, "--json")
    assert code == 0
    assert json.loads(out) == {
        "model": "taxi",
        "version": 2,
        "model_uri": str(pushed.path / "taxi/2"),
        "output": "out.parquet",
        **{name: MANIFEST[name] for name in ("rows", "task", "columns", "files")},
    }
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("taxi", "--output", "x"), 2, "Missing option '--input'"),
        (("taxi", "--input", "x", "--output", "y", "--columns", "[1]"), 2, "1 isn't a column's name"),
        (("taxi", "--input", "x", "--output", "y", "--columns", "[a"), 2, "isn't a JSON array"),
        (("tax", "--input", "x", "--output", "y"), 1, "Did you mean 'taxi'?"),
    ],
)
def test_exit_codes(arguments, code, told, asked, pushed, run_pipeyard):
    found = run_pipeyard("predict", *arguments, "--folder", str(pushed.path), "--project", str(ROOT))
    assert found[0] == code
    assert told in found[2]
    assert not asked


def test_what_a_program_refuses_is_the_commands_error(monkeypatch, pushed, run_pipeyard):
    def run(*_):
        raise PipeyardError("batch_predict, by which files are scored, failed: The output 'y' is there already.")

    monkeypatch.setattr(component_programs, "run", run)
    files = ("--input", "x", "--output", "y", "--folder", str(pushed.path), "--project", str(ROOT))
    code, out, told = run_pipeyard("predict", "taxi", *files)
    assert (code, out) == (1, "")
    assert "The output 'y' is there already." in told
