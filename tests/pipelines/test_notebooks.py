"""The notebooks: executed over a real run as their README says, and what is committed of them."""

import copy
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ["data_exploration", "model_analysis"]
EARLIER_AUC = 0.5
MACHINE_PATH = re.compile(r"/(home|root|work|tmp|Users|mnt|opt|usr|private|var)/|[A-Z]:\\\\|https?://(localhost|127\.)")


def execute(project: Path, *arguments: str, home: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(project / "notebooks/execute"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(home)},
    )


class Executed:
    """An executed notebook."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]

    def outputs(self, kind: str) -> list[str]:
        """Returns the outputs of one MIME type, in order."""
        found = [output.data for cell in self.code for output in cell.outputs if "data" in output]
        return [data[kind] for data in found if kind in data]

    @property
    def printed(self) -> str:
        return "".join(o.text for cell in self.code for o in cell.outputs if o.get("name") == "stdout")

    @property
    def tables(self) -> str:
        return "\n".join(self.outputs("text/html"))


@pytest.fixture(name="home", scope="module")
def _home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(name="runs", scope="module")
def _runs(taxi, tmp_path_factory) -> Path:
    """Two runs that share their artifacts; the earlier one's AUC is another."""
    folder = tmp_path_factory.mktemp("runs")
    later = json.loads((taxi.folder / "run.json").read_text())
    _store(folder, later)

    metrics = json.loads(taxi.artifact("evaluate", "metrics").read_text())
    other = folder / "earlier_metrics.json"
    other.write_text(json.dumps({**metrics, "AUC": EARLIER_AUC}))
    earlier = {**copy.deepcopy(later), "id": "earlier", "started_at": "2020-01-01T00:00:00.000000Z"}
    _step(earlier, "evaluate")["output_artifacts"]["metrics"]["uri"] = str(other)
    _store(folder, earlier)
    return folder


def _store(parent: Path, record: dict[str, Any]) -> Path:
    folder = parent / record["id"]
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def _step(record: dict[str, Any], component: str) -> dict[str, Any]:
    return next(task for task in record["tasks"] if task["component"] == component)


@pytest.fixture(name="executed", scope="module")
def _executed(taxi, project, runs, home) -> dict[str, Executed]:
    """Every notebook, executed over the later run."""
    found = {}
    for name in NAMES:
        done = execute(project, name, str(runs / taxi.run.id), home=home)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(runs / taxi.run.id / "notebooks" / f"{name}.ipynb")
        found[name] = Executed(Path(done.stdout.strip()))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs_without_noise(executed, name):
    counts = [cell.execution_count for cell in executed[name].code]
    assert counts == list(range(1, len(counts) + 1))
    noise = [
        o for cell in executed[name].code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"
    ]
    assert not noise


def test_exploration_shows_the_data_of_the_run(executed, taxi):
    shown = executed["data_exploration"]
    splits = json.loads((taxi.artifact("extract", "examples") / "manifest.json").read_text())["splits"]
    for split in splits.values():
        assert f"{split['rows']:,}" in shown.tables
    assert "0 anomalies; drift detected: False" in shown.printed
    assert len(shown.outputs("image/png")) == 2 + len(splits)
    # payment_type: 6,614 of the training split's rides were paid in cash, and those have no tips on record.
    assert re.search(r"Cash</th>\s*<td[^>]*>[\d,]+</td>\s*<td[^>]*>0\.0%", shown.tables)


def test_exploration_aligns_labels_with_rows(executed, project):
    with (project / "pipelines/chicago_taxi/data/data.csv").open() as file:
        big_tips = [float(row["tips"]) > 0.2 * float(row["fare"]) for row in csv.DictReader(file)]
    rate = float(re.search(r"big_tip is 1 in ([\d.]+)%", executed["data_exploration"].printed)[1])
    assert rate == pytest.approx(100 * sum(big_tips) / len(big_tips), abs=1)
    by_card = re.search(
        r"Credit Card</th>\s*<td[^>]*>[\d,]+</td>\s*<td[^>]*>([\d.]+)%", executed["data_exploration"].tables
    )
    assert float(by_card[1]) > 2 * rate


def test_exploration_tells_outliers_from_shifts(executed):
    """The splits are random; TFDV's own distance calls trip_miles shifted because of one trip."""
    tables = executed["data_exploration"].tables
    cells = re.search(r"trip_miles</th>\s*<td[^>]*>(0\.\d{4})</td>\s*<td[^>]*>(0\.\d{4})</td>", tables)
    by_tfdv, by_rows = map(float, cells.groups())
    assert by_tfdv > 0.1
    assert by_rows < 0.01


def test_analysis_shows_the_metrics_of_the_run(executed, taxi):
    shown = executed["model_analysis"]
    metrics = json.loads(taxi.artifact("evaluate", "metrics").read_text())
    assert f"auc = {metrics['AUC']:.6f}" in shown.printed
    assert f"blessed: True; {taxi['evaluate'].output_parameters['reason']}" in shown.printed
    assert "TFMA's validation: passed" in shown.printed
    assert len(shown.outputs("image/png")) == 3
    names, areas = _slices(shown.tables)
    assert {name.partition("=")[0] for name in names} == {"payment_type", "trip_start_day"}
    assert areas == sorted(areas)  # the worst first


def _slices(tables: str) -> tuple[list[str], list[float]]:
    """Returns the slices of the table of them, and their AUC."""
    ((table, column),) = re.findall(r'id="(T_\w+?)_level0_(col\d+)"[^>]*>auc<', tables)
    areas = re.findall(rf'id="{table}_row\d+_{column}"[^>]*>([^<]+)<', tables)
    return re.findall(rf'id="{table}_level0_row\d+"[^>]*>([^<]+)<', tables), [float(area) for area in areas]


def test_analysis_compares_with_the_run_before(executed, taxi):
    shown = executed["model_analysis"]
    auc = json.loads(taxi.artifact("evaluate", "metrics").read_text())["AUC"]
    assert "Compared with earlier, on the same examples" in shown.printed
    cells = [f"{auc:.4f}", f"{EARLIER_AUC:.4f}", f"{auc - EARLIER_AUC:.4f}"]
    assert re.search(r"\s*".join(rf"<td[^>]*>{cell}</td>" for cell in cells), shown.tables)


def test_analysis_asks_the_pushed_model(executed, taxi):
    """On 1,000 rows it is right about as often as on the whole split."""
    metrics = json.loads(taxi.artifact("evaluate", "metrics").read_text())
    right = re.search(r"1,000 rows asked; right at 0.5: ([\d.]+)%", executed["model_analysis"].printed)
    assert float(right[1]) == pytest.approx(100 * metrics["BinaryAccuracy"], abs=3)


def test_executing_leaves_nothing_of_jupyter_in_the_home(executed, home):
    assert executed
    left = {path.name for path in home.iterdir()}
    assert not left & {".ipython", ".jupyter", ".local"}, left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data_exploraton"], "Did you mean 'data_exploration'?"),
        (["model_analysis", "chicago-taxi-none"], "chicago-taxi-none is no run: it has no run.json."),
    ],
)
def test_what_does_not_exist_is_named(project, home, arguments, message):
    done = execute(project, *arguments, home=home)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_without_an_evaluation_is_refused(taxi, project, home, tmp_path):
    record = json.loads((taxi.folder / "run.json").read_text())
    _step(record, "evaluate")["state"] = "FAILED"
    folder = _store(tmp_path, record)
    done = execute(project, "model_analysis", str(folder), home=home)
    assert done.returncode == 1
    assert f"Run {record['id']} has no outputs of evaluate (FAILED)." in done.stderr
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_a_failing_cell_is_shown_and_nothing_is_written(taxi, project, home, tmp_path):
    folder = _store(tmp_path, json.loads((taxi.folder / "run.json").read_text()))
    broken = nbformat.read(project / "notebooks/data_exploration.ipynb", as_version=4)
    broken.cells = [nbformat.v4.new_code_cell("columns = {}\ncolumns['fare']")]
    path = project / "notebooks/broken.ipynb"
    nbformat.write(broken, path)
    try:
        done = execute(project, "broken", str(folder), home=home)
    finally:
        path.unlink()
    assert done.returncode == 1
    assert f"broken failed on run {folder.name}." in done.stderr
    assert "KeyError: 'fare'" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_all_notebooks_are_tested():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_have_no_outputs_and_no_machine_paths(path):
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        assert cell.metadata == {}
    assert notebook.metadata.keys() == {"kernelspec", "language_info", "pipeyard"}
    assert (ROOT / "components" / notebook.metadata["pipeyard"]["environment"] / "component.yaml").is_file()
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    assert not MACHINE_PATH.search(text)
