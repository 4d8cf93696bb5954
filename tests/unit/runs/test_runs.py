import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console
from support import example_runs
from support.example_runs import START, RunFolder

from pipeyard.commands.runs import command
from pipeyard.errors import PipeyardError
from pipeyard.runs import stored_runs, tables
from pipeyard.runs.comparison import compare
from pipeyard.runs.report import browser


@pytest.fixture(name="root")
def runs_root(tmp_path: Path) -> Path:
    """A good run, then an unblessed one, then a failed one, then one of another pipeline."""
    root = tmp_path / "runs"
    example_runs.succeeded(root / "chicago-taxi-1-aaaa")
    example_runs.unblessed(root / "chicago-taxi-2-bbbb", start=START + timedelta(hours=1))
    example_runs.failed(root / "chicago-taxi-3-cccc", start=START + timedelta(hours=2))
    example_runs.succeeded(root / "flights-4-dddd", start=START + timedelta(hours=3), pipeline="flights", auc=0.75)
    (root / ".cache").mkdir()
    return root


def test_runs_are_listed_newest_first_and_broken_records_are_left_out_with_a_warning(root):
    (root / "broken").mkdir()
    (root / "broken" / "run.json").write_text('{"id": ', encoding="utf-8")
    told = []
    listed = stored_runs.list_runs(root, told.append)
    assert [stored.run.id for stored in listed] == [
        "flights-4-dddd", "chicago-taxi-3-cccc", "chicago-taxi-2-bbbb", "chicago-taxi-1-aaaa",
    ]  # fmt: skip
    assert len(told) == 1 and "broken/run.json isn't a run record" in told[0]
    with pytest.warns(UserWarning, match="isn't a run record"):
        stored_runs.list_runs(root)


def test_there_may_be_no_runs(tmp_path):
    assert not stored_runs.list_runs(tmp_path / "none")
    with pytest.raises(PipeyardError, match="There are no runs in"):
        stored_runs.find(tmp_path / "none", "latest")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("chicago-taxi-2-bbbb", "chicago-taxi-2-bbbb"),
        ("chicago-taxi-1", "chicago-taxi-1-aaaa"),
        ("fl", "flights-4-dddd"),
        ("latest", "flights-4-dddd"),
        ("chicago-taxi", "chicago-taxi-3-cccc"),
        ("chicago_taxi", "chicago-taxi-3-cccc"),
    ],
)
def test_a_run_is_found_by_id_prefix_latest_or_pipeline(root, reference, expected):
    assert stored_runs.find(root, reference) == root / expected


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("chicago", r"'chicago' is the beginning of 3 runs' ids\. Write more of it: chicago-taxi-3-cccc"),
        ("flihgts", r"There is no run 'flihgts' in .*\. Did you mean 'flights'"),
        ("", r"There is no run '' in "),
        ("../runs/flights-4-dddd", r"There is no run '\.\./runs/flights-4-dddd'"),
    ],
)
def test_what_is_meant_by_none_or_several_is_refused_with_near_misses(root, reference, message):
    with pytest.raises(PipeyardError, match=message):
        stored_runs.find(root, reference)


def test_metrics_are_named_by_task_and_group(root):
    metrics = stored_runs.load(root / "chicago-taxi-1-aaaa").metrics
    assert metrics["evaluate.AUC"] == 0.9112
    assert metrics["evaluate.baseline.AUC"] == 0.9034
    assert metrics["train.validation.loss"] == 0.249


def test_comparison_shows_what_differs(tmp_path):
    def change(run: RunFolder) -> None:
        run.run.parameters["epochs"] = 12
        train = next(task for task in run.run.tasks if task.name == "train")
        train.parameters["epochs"] = 12
        train.ended_at += timedelta(seconds=10)
        train.output_artifacts["model"].digest = "sha256:other"

    first = stored_runs.load(example_runs.succeeded(tmp_path / "first"))
    second = stored_runs.load(example_runs.succeeded(tmp_path / "second", change, auc=0.95))
    comparison = compare(first, second)
    assert [(row.name, row.values) for row in comparison.parameters] == [("epochs", [8, 12]), ("train.epochs", [8, 12])]
    auc = next(row for row in comparison.metrics if row.name == "evaluate.AUC")
    assert auc.values == [0.9112, 0.95] and auc.deltas[1] == pytest.approx(0.0388)
    train = next(row for row in comparison.seconds if row.name == "train")
    assert train.deltas == [0, pytest.approx(10)]
    assert {row.name for row in comparison.digests if not row.equal} == {"train.model", "evaluate.metrics"}


def test_steps_that_ran_in_one_run_alone_have_no_numbers_in_the_other(root):
    comparison = compare(*(stored_runs.load(root / name) for name in ("chicago-taxi-1-aaaa", "chicago-taxi-3-cccc")))
    states = {row.name: row.values for row in comparison.states}
    seconds = {row.name: row.values for row in comparison.seconds}
    assert states["deploy"] == ["SUCCEEDED", "SKIPPED"] and seconds["deploy"] == [5.2, None]
    assert states["train"] == ["SUCCEEDED", "FAILED"] and seconds["train"] == [21.9, 8.0]
    assert next(row for row in comparison.metrics if row.name == "train.loss").deltas == [0, None]
    # Steps without parameters in one of the runs, and the run's own id, aren't differences of parameters.
    assert not [row.name for row in comparison.parameters if row.name.startswith("deploy.")]


def test_steps_of_other_names_that_write_the_same_are_compared(tmp_path):
    def of_trees(run: RunFolder) -> None:
        train = next(task for task in run.run.tasks if task.name == "train")
        train.name, train.path = "train-trees", train.path.replace("train", "train-trees")

    def other(run: RunFolder) -> None:
        of_trees(run)
        for artifact in next(task for task in run.run.tasks if task.name == "train-trees").output_artifacts.values():
            artifact.meaning = "Forest"

    first = stored_runs.load(example_runs.succeeded(tmp_path / "first"))
    trees = stored_runs.load(example_runs.succeeded(tmp_path / "trees", of_trees))
    comparison = compare(first, trees)
    assert [row.values for row in comparison.states if row.name == "train"] == [["SUCCEEDED", "SUCCEEDED"]]
    assert next(row for row in comparison.metrics if row.name == "train.loss").deltas == [0, 0]
    assert "train.model" in {row.name for row in comparison.digests}
    assert not [row for row in comparison.states if row.name == "train-trees"]
    unlike = stored_runs.load(example_runs.succeeded(tmp_path / "unlike", other))
    names = {row.name for row in compare(first, unlike).states}
    assert {"train", "train-trees"} <= names


def test_three_runs_compare_and_one_does_not(root):
    listed = stored_runs.list_runs(root)
    assert len(compare(*listed[:3]).as_dict()["runs"]) == 3
    with pytest.raises(PipeyardError, match="two runs or more"):
        compare(listed[0])


def test_comparison_as_json_and_as_tables(root):
    comparison = compare(*(stored_runs.load(root / name) for name in ("chicago-taxi-1-aaaa", "flights-4-dddd")))
    told = json.loads(json.dumps(comparison.as_dict()))
    assert told["runs"] == ["chicago-taxi-1-aaaa", "flights-4-dddd"]
    assert told["facts"]["pipeline"] == ["chicago-taxi", "flights"]
    assert told["metrics"]["evaluate.AUC"]["deltas"] == [0, pytest.approx(-0.1612)]
    assert told["tasks"]["deploy"]["states"] == ["SUCCEEDED", "SUCCEEDED"]
    assert told["artifacts"]["evaluate.metrics"]["equal"] is False
    text = as_text(*tables.compare_tables(comparison))
    assert "-0.1612" in text and "All parameters are equal." in text


def test_brackets_in_values_are_no_markup(tmp_path):
    def change(run: RunFolder) -> None:
        run.run.parameters["where"] = "[bold]payment[/bold] [/nonsense]"

    first = stored_runs.load(example_runs.succeeded(tmp_path / "first"))
    second = stored_runs.load(example_runs.succeeded(tmp_path / "second", change))
    assert "[bold]payment[/bold] [/nonsense]" in as_text(*tables.compare_tables(compare(first, second)))


def test_a_report_is_opened_and_rendered_first_if_it_is_not_there(root):
    folder = root / "chicago-taxi-1-aaaa"
    opened = []
    page = browser.open_report(folder, lambda url: bool(opened.append(url)) or True)
    assert page == folder / "report.html" and page.is_file()
    assert opened == [page.as_uri()]
    with pytest.raises(PipeyardError, match=r"No browser could be started\. Open this file in one: .*report\.html"):
        browser.open_report(folder, lambda _: False)


def as_text(*parts) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    for part in parts:
        console.print(part)
    return console.export_text()


# -- the command ------------------------------------------------------------------------------------------------------


def invoke(root: Path, *arguments: str):
    return CliRunner().invoke(command, ["--root", str(root), *arguments])


def test_list_command(root):
    result = invoke(root, "list", "--pipeline", "chicago_taxi", "--limit", "2")
    assert result.exit_code == 0
    assert "chicago-taxi-3-cccc" in result.stdout and "Failed at train" in result.stdout
    assert "chicago-taxi-2-bbbb" in result.stdout and "Not deployed" in result.stdout
    assert "flights" not in result.stdout and "chicago-taxi-1-aaaa" not in result.stdout
    listed = json.loads(invoke(root, "list", "--json").stdout)
    assert listed[-1]["outcome"] == "Deployed version 3"
    assert listed[-1]["metrics"]["evaluate.AUC"] == 0.9112
    assert listed[1]["tasks"] == {"SUCCEEDED": 4, "SKIPPED": 2, "FAILED": 1}


def test_list_command_without_runs(tmp_path):
    result = invoke(tmp_path / "none", "list")
    assert result.exit_code == 0 and not result.stdout and "There are no runs in" in result.stderr
    assert json.loads(invoke(tmp_path / "none", "list", "--json").stdout) == []


def test_show_command(root):
    text = invoke(root, "show", "chicago-taxi-2").stdout
    assert f"Not deployed: the model is not blessed ({example_runs.NOT_BLESSED})" in text
    assert "evaluate.AUC" in text
    told = json.loads(invoke(root, "show", "--json").stdout)
    assert told["id"] == "flights-4-dddd" and told["record"]["tasks"][0]["component"] == "extract"


def test_compare_command(root):
    assert "evaluate.AUC" in invoke(root, "compare", "chicago-taxi-1", "latest").stdout
    assert json.loads(invoke(root, "compare", "chicago-taxi-1", "latest", "--json").stdout)["facts"]
    alone = invoke(root, "compare", "latest")
    assert alone.exit_code == 2 and "two runs or more" in alone.stderr


def test_open_command_prints_where_the_report_is(root):
    result = invoke(root, "open", "chicago-taxi-1", "--render", "--print")
    assert result.stdout.strip() == str(root / "chicago-taxi-1-aaaa" / "report.html")


def test_an_unknown_run_is_an_error_of_the_user(root):
    result = invoke(root, "show", "nonsense")
    assert isinstance(result.exception, PipeyardError) and "There is no run 'nonsense'" in str(result.exception)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from pipeyard.commands import runs; "
        "print([name for name in ('pydantic', 'rich', 'jinja2', 'fsspec', 'kfp') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
