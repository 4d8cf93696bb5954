"""Labels that come later, joined with sampled answers and compared; and the report of a rollout."""

import re

import duckdb
import pytest
from support import example_runs

from pipeyard.errors import PipeyardError
from pipeyard.serving import delayed_labels, live_monitoring, rollout_evidence, rollout_report
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from pipeyard.settings import QualityTrigger
from pipeyard.triggers import drift
from rollout import decision, desired, log
from rollout.observations import Window
from rollout.policy import CANARY, DIRECT, SHADOW, Policy

STAGED = 1_764_000_000.0
STABLE = ServedVersion("taxi", 3)
POLICY = Policy(min_requests=20)


def _log(folder: ServingFolder, strategy: str, looks: int = 3) -> log.Begin:
    """Logs a rollout: 100 requests a second each; the candidate is slower and errs."""
    begin = log.Begin("taxi", 3, 4, strategy, POLICY, STAGED)
    lines = [log.begin_line(begin)]
    for second in range(looks):
        windows = [
            Window(
                STAGED + second, STAGED + second + 1, number, alive=second > 0, requests=100, errors=errors,
                latency={0.01: fast, 0.1: 100, float("inf"): 100}, scores={"probabilities": {0.5: 40, 1.0: 100}},
                weight=10,
            )
            for number, errors, fast in ((3, 0, 95), (4, 7, 20))
        ]  # fmt: skip
        ends = second == looks - 1
        decided = decision.Decision(
            decision.ROLL_BACK if ends else decision.HOLD, 0 if ends else 10, ["errors: <b>7%</b>"],
            {"checks": {"errors": {"state": "bad", "candidate": 0.07}}},
        )  # fmt: skip
        lines.append(log.look_line(log.Look(STAGED + second + 1, 10, *windows, decided)))
    folder.logs.mkdir(parents=True, exist_ok=True)
    folder.looks("taxi").write_text("".join(lines))
    return begin


def _sample(folder: ServingFolder, version: int, start: int, end: int, right: float) -> None:
    """Keeps answers of a version to the requests r<start> to r<end - 1>: a share of them is right."""
    folder.samples("taxi").mkdir(parents=True, exist_ok=True)
    duckdb.sql(
        f"""COPY (SELECT 1.5 AS fare, make_timestamptz({int(STAGED * 1e6)} + 1000000) AS _time, 'r' || i AS _request_id,
        0::INT AS _row, 'taxi' AS _model, {version}::BIGINT AS _version, 0.7 AS _score_probabilities,
        CASE WHEN i % 100 < {100 * right} THEN 'tip' ELSE 'no tip' END AS _class FROM range({start}, {end}) t(i))
        TO '{folder.samples("taxi")}/taxi-v{version}-20251124T160000{start:06}Z.parquet' (FORMAT parquet)"""
    )


def _labels(path, start: int, end: int, label: str = "tip", kind: str = "csv"):
    file = path / f"labels-{start}.{kind}"
    form = {"csv": "csv, HEADER", "jsonl": "json", "parquet": "parquet"}[kind]
    duckdb.sql(
        f"COPY (SELECT 'r' || i AS request_id, '{label}' AS label FROM range({start}, {end}) t(i)) "
        f"TO '{file}' (FORMAT {form})"
    )
    return file


@pytest.fixture
def folder(tmp_path):
    """A rollout: version 3 answers 800 requests, version 4 another 800, and is right far less often."""
    made = ServingFolder(tmp_path / "serving")
    for number in (3, 4):
        (made.path / f"taxi/{number}").mkdir(parents=True)
        (made.path / f"taxi/{number}/saved_model.pb").touch()
    _sample(made, 3, 0, 800, 0.9)
    _sample(made, 4, 800, 1600, 0.5)
    return made


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_labels_are_joined_by_request_and_the_versions_compared(folder, tmp_path, kind):
    begin = _log(folder, CANARY)
    early = delayed_labels.take(folder, STABLE, _labels(tmp_path, 750, 900, kind=kind))
    assert (early.taken, early.metric, early.comparisons, early.needed) == (150, "accuracy", (), 200)
    assert {number: count for number, (count, _) in early.means.items()} == {3: 50, 4: 100}
    found = delayed_labels.take(folder, STABLE, _labels(tmp_path, 0, 1600, kind=kind))
    assert found.means == {3: (800, pytest.approx(0.9)), 4: (800, pytest.approx(0.5))}
    (compared,) = found.comparisons
    assert (compared.look, compared.requests, found.needed) == (3, 800, 1600)
    assert compared.difference == pytest.approx(-0.4)
    assert -0.6 < compared.low < -0.4 < compared.high < -0.2
    # The same labels are no further look; and the supervisor finds what was compared.
    assert delayed_labels.take(folder, STABLE, _labels(tmp_path, 0, 1600)).comparisons == found.comparisons
    assert delayed_labels.read(folder, begin).comparisons == found.comparisons
    other = log.Begin("taxi", 3, 5, CANARY, POLICY, STAGED + 9)
    assert delayed_labels.read(folder, other) is None
    evidence = decision.Evidence(POLICY)
    assert decision.judge(evidence, STAGED, STAGED + 5, 10, found.comparisons).action == decision.ROLL_BACK


def test_a_later_label_counts_and_labels_of_nobody_don_t(folder, tmp_path):
    _log(folder, CANARY)
    delayed_labels.take(folder, STABLE, _labels(tmp_path, 0, 100, "no tip"))
    found = delayed_labels.take(folder, STABLE, _labels(tmp_path, 0, 100, "tip"))
    assert found.means == {3: (100, pytest.approx(0.9)), 4: (0, 0.0)}
    assert delayed_labels.take(folder, STABLE, _labels(tmp_path, 9000, 9100)).means[3][0] == 100


def test_in_shadow_mode_pairs_are_compared(folder, tmp_path):
    _log(folder, SHADOW)
    _sample(folder, 4, 0, 300, 0.5)
    (compared,) = delayed_labels.take(folder, STABLE, _labels(tmp_path, 0, 1600)).comparisons
    assert (compared.paired, compared.requests) == (True, 300)
    assert compared.difference == pytest.approx(-0.4)


def test_a_quality_trigger_reads_the_metric_of_the_stable_version(folder, tmp_path):
    delayed_labels.take(folder, STABLE, _labels(tmp_path, 0, 1600))  # no rollout is needed
    trigger = QualityTrigger(
        kind="quality", name="live", metrics=str(folder.monitoring("taxi") / "metrics.json"), min={"accuracy": 0.95}
    )
    assert drift.quality(trigger, "", example_runs.START).event.detail == "accuracy: is 0.9 < 0.95"


@pytest.mark.parametrize(
    ("metric", "label", "prediction", "worth"),
    [
        ("accuracy", "1", "1", 1.0),
        ("accuracy", "true", "1", 1.0),
        ("accuracy", "1.0", "0", 0.0),
        ("accuracy", "tip", "tip", 1.0),
        ("accuracy", "tip", "1", 0.0),
        ("negative_error", "3", 2.5, -0.5),
        ("value", "4.5", None, 4.5),
    ],
)
def test_what_an_answer_is_worth(metric, label, prediction, worth):
    assert delayed_labels.worth(metric, label, prediction) == worth


def test_what_can_t_be_joined_is_said(folder, tmp_path, run_pipeyard):
    (tmp_path / "wrong.csv").write_text("request-id,label\nr1,tip\n")
    (tmp_path / "labels.txt").touch()
    at = ("serve", "--folder", str(folder.path), "labels", "taxi")
    cases = {
        "wrong.csv": "has no column 'request_id'. Did you mean 'request-id'?",
        "labels.txt": "is none of .parquet, .csv, .jsonl, .ndjson",
        "gone.csv": "There is no file",
    }
    for name, says in cases.items():
        code, _, said = run_pipeyard(*at, str(tmp_path / name))
        assert (code, says in said) == (1, True), said
    with pytest.raises(PipeyardError, match="The label 'tip' is no number, which the metric value needs"):
        delayed_labels.take(folder, STABLE, _labels(tmp_path, 0, 10), "value")
    for file in folder.samples("taxi").iterdir():
        file.unlink()
    with pytest.raises(PipeyardError, match="No answer of taxi was kept"):
        delayed_labels.take(folder, STABLE, _labels(tmp_path, 0, 10))


def _stage(folder: ServingFolder, run_id: str) -> None:
    model = folder.model("taxi")
    options = {"policy": POLICY, "registry_uri": "", "now": STAGED}
    desired.update(model, lambda now: desired.stage(now, 3, strategy=DIRECT, **options))
    desired.update(model, lambda now: desired.stage(now, 4, strategy=CANARY, run_id=run_id, **options))
    desired.update(model, lambda now: desired.roll_back(now, 4, ["errors: <b>7%</b>"], STAGED + 3))


def test_the_report_tells_both_versions_and_the_decision_and_asks_nobody(folder, tmp_path):
    _log(folder, CANARY)
    delayed_labels.take(folder, STABLE, _labels(tmp_path, 0, 1600))
    run = example_runs.succeeded(tmp_path / "runs/r1")
    _stage(folder, "r1")
    found = rollout_evidence.gather(folder, folder.looks("taxi"), None)
    # The first look is of a version that was down.
    assert found.left_out == 1
    stable, candidate = found.versions
    assert (stable.requests, stable.errors, candidate.requests, candidate.errors) == (200, 0, 200, 14)
    assert candidate.sampled == {"no tip": 400, "tip": 400}
    assert candidate.percentiles[0] > stable.percentiles[0]
    page, linked = rollout_report.write(folder, found, None, tmp_path / "runs")
    text = page.read_text()
    assert page == folder.path / ".serve/reports/taxi-v4.html"
    assert "Version 4 was rolled back" in text
    assert "errors: &lt;b&gt;7%&lt;/b&gt;" in text
    assert "14 (7.00%)" in text
    assert len(re.findall(r'<path class="(?:stable|candidate)"', text)) == 2 * 5
    assert ">0.9</td>" in text and ">0.5</td>" in text
    assert not re.search(r"""(?:src|href)=["'](?!data:,)|https?://|@import|url\(""", text)
    assert linked == run / "report.html"
    assert 'href="rollout-taxi-v4.html"' in linked.read_text()
    assert (run / "rollout-taxi-v4.html").read_text() == text


def test_a_report_of_a_rollout_that_wasn_t_is_refused(folder, run_pipeyard, tmp_path):
    at = ("serve", "--folder", str(folder.path), "report", "taxi")
    assert "nor a model with a logged rollout" in run_pipeyard(*at)[2]
    _log(folder, CANARY, looks=0)
    assert "has no rollout of version 9. Of these there are: 4." in run_pipeyard(*at, "--version", "9")[2]
    code, said, _ = run_pipeyard(*at, "--out", str(tmp_path / "page.html"))
    assert (code, said) == (0, f"Report: {tmp_path / 'page.html'}\n")
    assert "Version 4 is undecided" in (tmp_path / "page.html").read_text()
    assert live_monitoring.version_of(folder, "taxi").number == 4  # of a model about which nothing is written
