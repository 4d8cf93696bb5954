"""Arithmetic, judgement and rendering of benchmarks; sampling of a real process tree."""

import dataclasses
import os
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from benchmarks import machine, measuring, places, publishing, rendering, results, steps
from benchmarks.__main__ import NAMES
from benchmarks.results import CaseResult, SideResult, TableResult
from benchmarks.table import Case, Ready, Side, Table, run_case
from benchmarks.tables import TABLES, evaluate, growth, statistics, whole_pipeline, wide_table
from pipeyard.repository import uv_locks

MB = 1_000_000


def _side(name: str, *walls: float, **facts: float) -> SideResult:
    rounds = [{"wall_s": wall, "cpu_s": 2 * wall, "pss_mb": 100.0, "rss_mb": 120.0, **facts} for wall in walls]
    return SideResult(name, rounds)


def _case(name: str, *sides: SideResult, rows: int = 1000) -> CaseResult:
    return CaseResult(name, rows, list(sides), 3, "2026-11-24", "abc1234", {"CPU": "A", "cores": "2"})


def _table(**changes) -> Table:
    table = Table("demo", "Demo", "What is compared.", "ours", lambda quick: [], facts={"auc": "AUC"})
    return dataclasses.replace(table, **changes)


# --- arithmetic


def test_a_median_is_of_the_rounds_that_have_the_measure():
    side = SideResult("a", [{"wall_s": 9.0}, {"wall_s": 1.0, "auc": 0.5}, {"wall_s": 2.0}])
    assert side.median("wall_s") == 2.0
    assert side.median("auc") == 0.5
    assert side.median("pss_mb") is None


def test_a_quotient_of_what_is_missing_is_missing():
    assert results.quotient(3.0, 2.0) == 1.5
    assert results.quotient(None, 2.0) is None
    assert results.quotient(3.0, None) is None
    assert results.quotient(3.0, 0.0) is None


@pytest.mark.parametrize(("value", "met"), [(0.25, True), (0.251, False), (None, None)])
def test_at_most_includes_its_limit(value, met):
    assert results.at_most("goal", value, 0.25).met is met


@pytest.mark.parametrize(("value", "met"), [(20.0, True), (19.9, False), (None, None)])
def test_at_least_includes_its_limit(value, met):
    assert results.at_least("goal", value, 20).met is met


def test_noise_is_twice_the_standard_error_of_the_difference():
    wide = results.equal_within_noise("goal", [0.90, 0.92, 0.94], [0.93, 0.95, 0.97])
    assert wide.met  # 0.03 apart, 2 * sqrt(2 * 0.0004 / 3) = 0.0327
    assert wide.reached == "-0.0300, noise 0.0327"
    assert results.equal_within_noise("goal", [0.90, 0.91, 0.92], [0.93, 0.94, 0.95]).met is False
    assert results.equal_within_noise("goal", [0.9, 0.9], [0.901, 0.901], floor=0.002).met
    assert results.equal_within_noise("goal", [0.9], [0.9, 0.9]).met is None


def test_a_line_is_found_again_and_deviations_are_in_relation_to_it():
    straight = {rows: 3.0 + 2e-6 * rows for rows in (100_000, 1_000_000, 10_000_000)}
    line = results.least_squares(straight)
    assert line.start == pytest.approx(3.0)
    assert line.per_row == pytest.approx(2e-6)
    assert results.largest_deviation(straight) == pytest.approx(0, abs=1e-9)
    quadratic = {rows: 3.0 + 1e-12 * rows**2 for rows in (340_000, 1_000_000, 3_400_000, 10_000_000)}
    assert results.largest_deviation(quadratic) > 0.15


def test_results_survive_their_file(tmp_path):
    table = TableResult("demo", [_case("a", _side("ours", 1.0, auc=0.9), SideResult("peer", missing="no Python"))])
    (tmp_path / "demo.json").write_text(results.to_json(table))
    assert results.load(tmp_path, "demo") == table
    assert results.load(tmp_path, "other") == TableResult("other", [])


def test_cases_that_were_measured_anew_replace_the_old_ones_only():
    old = TableResult("demo", [_case("small", _side("ours", 1.0)), _case("large", _side("ours", 9.0))])
    new = old.with_cases([_case("large", _side("ours", 5.0)), _case("middle", _side("ours", 3.0))], ["small", "middle"])
    assert [case.case for case in new.cases] == ["small", "middle", "large"]
    assert new.median("large", "ours", "wall_s") == 5.0
    assert new.median("small", "ours", "wall_s") == 1.0


# --- goals of the tables


def _goal(verdicts, *parts):
    (found,) = [each for each in verdicts if all(part in each.goal for part in parts)]
    return found


def test_statistics_are_judged_at_the_large_size():
    result = TableResult("statistics", [
        _case("0.34M rows", _side(statistics.OURS, 9.0), _side(statistics.TFDV, 10.0), _side(statistics.DUCKDB, 1.0)),
        _case("3.4M rows", _side(statistics.OURS, 6.0), _side(statistics.TFDV, 180.0), _side(statistics.DUCKDB, 4.0)),
    ])  # fmt: skip
    verdicts = statistics.TABLE.verdicts(result)
    assert (_goal(verdicts, "20x").reached, _goal(verdicts, "20x").met) == ("30.0x", True)
    assert (_goal(verdicts, "1.2").reached, _goal(verdicts, "1.2").met) == ("1.50", False)


def test_whole_pipelines_are_judged_by_wall_memory_and_metrics():
    ours = _side(whole_pipeline.OURS, 40.0, 41.0, 42.0, auc=0.92, accuracy=0.9)
    tfx = _side(whole_pipeline.TFX, 200.0, auc=0.80, accuracy=0.9)
    tfx.rounds.append({**tfx.rounds[0], "auc": 0.81})
    verdicts = whole_pipeline.TABLE.verdicts(TableResult("whole_pipeline", [_case("flights", ours, tfx)]))
    assert _goal(verdicts, "flights", "wall").met
    assert _goal(verdicts, "flights", "memory").reached == "1.00"
    assert _goal(verdicts, "flights", "AUC").met is False
    assert _goal(verdicts, "flights", "BinaryAccuracy").met
    assert _goal(verdicts, "chicago_taxi", "wall").met is None


def test_evaluations_of_every_task_are_judged():
    def sides(ours, plain):
        return _side(evaluate.OURS, ours), _side(evaluate.PLAIN, plain, max_difference=1e-7, values_missing=0.0)

    cases = [_case("0.34M rows", *sides(10.0, 200.0)), _case("0.34M rows, 10 classes", *sides(20.0, 200.0))]
    verdicts = evaluate.TABLE.verdicts(TableResult("evaluate", cases))
    assert _goal(verdicts, "0.34M rows: at least").met
    assert (_goal(verdicts, "10 classes: at least").reached, _goal(verdicts, "10 classes: at least").met) == (
        "10.0x",
        False,
    )
    assert _goal(verdicts, "10 classes: every metric").met
    assert _goal(verdicts, "regression: at least").met is None


def test_the_wide_table_is_judged_by_time_and_the_largest_report():
    whole = _side(wide_table.WHOLE, 100.0, 110.0, 119.0, report_mb=1.2)
    verdicts = wide_table.TABLE.verdicts(TableResult("wide_table", [_case(wide_table.CASE, whole)]))
    assert (_goal(verdicts, "2 minutes").reached, _goal(verdicts, "2 minutes").met) == ("110.0 s", True)
    assert (_goal(verdicts, "1 MB").reached, _goal(verdicts, "1 MB").met) == ("1.20 MB", False)


def test_growth_is_judged_once_all_sizes_are_measured():
    sizes = {"0.34M": 336_776, "1M": 1_000_000, "3.4M": 3_367_760, "10M": 10_000_000}
    cases = [_case(f"{name} rows", _side("extract", 2.0 + rows * 1e-6), rows=rows) for name, rows in sizes.items()]
    verdicts = growth.TABLE.verdicts(TableResult("growth", cases))
    assert _goal(verdicts, "extract", "line").met
    assert _goal(verdicts, "extract", "line").reached == "0.0% (2.0 s + 1.00 s per million rows)"
    assert _goal(verdicts, "extract", "memory").reached == "+0.0%"
    assert _goal(verdicts, "evaluate", "line").met is None
    assert _goal(growth.TABLE.verdicts(TableResult("growth", cases[:3])), "extract", "line").met is None


# --- rendering


def test_a_section_has_ratios_goals_notes_and_what_is_missing():
    table = _table(verdicts=lambda result: [results.at_most("at most 2", 3.0, 2), results.at_most("x | y", None, 2)])
    peer = dataclasses.replace(_side("peer", 3.0, 5.0, 4.0, auc=0.5), note="Does less.")
    gone = SideResult("gone", missing="Python 3.10 was not found")
    text = rendering.markdown(table, TableResult("demo", [_case("small", _side("ours", 2.0), peer, gone)]))
    assert "`.venv/bin/python -m benchmarks demo`" in text
    assert "| ours | 2.0 s | 1.00 | 4.0 s | 500 | 100 MB | 120 MB |  |" in text
    assert "| peer (1) | 4.0 s | 2.00 | 8.0 s | 250 | 100 MB | 120 MB | 0.5 |" in text
    assert "| gone (2) |  |" in text
    assert "1. Does less.\n2. Not measured: Python 3.10 was not found" in text
    assert "| at most 2 | 3.00 | **missed** |" in text
    assert "| x \\| y | not measured | not measured |" in text
    assert "- CPU A, cores 2; medians of 3, sides in turn; 2026-11-24, commit abc1234." in text


def test_a_remark_of_two_sides_is_listed_once():
    sides = [dataclasses.replace(_side(name, 1.0), note="Reads a | b.") for name in ("ours", "peer")]
    text = rendering.markdown(_table(), TableResult("demo", [_case("small", *sides)]))
    assert "| ours (1) |" in text
    assert "| peer (1) |" in text
    assert text.count("Reads a \\| b.") == 1


def test_cases_of_different_runs_each_state_theirs():
    later = dataclasses.replace(_case("large", _side("ours", 2.0)), commit="def5678")
    text = rendering.markdown(_table(), TableResult("demo", [_case("small", _side("ours", 1.0)), later]))
    assert "- small: CPU A" in text
    assert "- large: CPU A" in text


def test_readme_sections_are_written_between_their_markers():
    text = "before\n<!-- demo:begin -->old<!-- demo:end -->\nafter\n"
    wanted = "before\n<!-- demo:begin -->\nnew \\1\n<!-- demo:end -->\nafter\n"
    assert rendering.readme(text, {"demo": "new \\1"}) == wanted
    with pytest.raises(ValueError, match="no place for other"):
        rendering.readme(text, {"other": ""})


def test_every_committed_table_is_what_its_results_say():
    assert publishing.stale() == [], "run `.venv/bin/python -m benchmarks render`"


def test_commands_are_the_tables():
    assert tuple(TABLES) == NAMES


def test_every_committed_lock_of_a_peer_is_without_index():
    folders = [places.HERE, *(path.parent for path in places.PEERS.glob("*/pyproject.toml"))]
    assert len(folders) > 4
    for folder in folders:
        text = (folder / "uv.lock").read_text(encoding="utf-8")
        assert uv_locks.without_index(text) == text, folder


# --- measuring

ALLOCATE = "held = bytearray(%d); held[::4096] = b'x' * len(held[::4096])"
# A parent that holds 20 MB, and two children that hold 40 MB each until the parent tells them to end.
TREE = textwrap.dedent("""
    import subprocess, sys
    child = "%s; print(flush=True); input()"
    %s
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    children = [subprocess.Popen([sys.executable, "-c", child], **pipes) for _ in range(2)]
    for each in children: each.stdout.readline()
    import time; time.sleep(%s)
    for each in children: each.communicate(b"\\n")
    print("told"); sys.exit(%d)
""")


def _tree(seconds: float, code: int = 0) -> list[str]:
    return [sys.executable, "-c", TREE % (ALLOCATE % (40 * MB), ALLOCATE % (20 * MB), seconds, code)]


def test_a_trees_memory_is_that_of_all_its_processes(tmp_path):
    measured = measuring.measure(_tree(1.0), folder=tmp_path)
    assert (tmp_path / measuring.STDOUT).read_text() == "told\n"
    assert 100 < measured.pss_mb < measured.rss_mb < 300  # three interpreters share what they load
    assert measured.wall_s > 1.0
    assert 0 < measured.cpu_s < 30


def test_cpu_of_children_counts(tmp_path):
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    assert measuring.measure([sys.executable, "-c", program], folder=tmp_path).cpu_s > 0.3


def test_shared_pages_count_once():
    """A forked child has its parent's pages: twice in RSS, once in PSS."""
    held = bytearray(50 * MB)
    held[::4096] = b"x" * len(held[::4096])
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        memory = measuring.tree_memory(os.getpid())
        assert memory.rss - memory.pss > 40 * MB
        assert measuring.tree_memory(os.getpid(), at_least=2 * memory.rss).pss == 0
    finally:
        os.close(writing)
        psutil.Process(child).wait()


def test_a_process_that_is_gone_has_no_memory():
    assert measuring.tree_memory(2**22 + 1) == measuring.Memory()


def test_pss_of_a_process_that_is_ending_is_0():
    assert measuring.parse_pss("00400000-7ffe [rollup]\nRss: 9 kB\nPss:      7 kB\nPss_Dirty: 1 kB\n") == 7 * 1024
    assert measuring.parse_pss("") == 0


def test_what_can_not_be_sampled_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "parse_pss", lambda text: int("no number"))
    with pytest.raises(ValueError, match="no number"):
        measuring.measure([sys.executable, "-c", "import time; time.sleep(0.5)"], folder=tmp_path)


def test_what_was_not_prepared_whole_is_prepared_again(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "DATA", tmp_path)
    (tmp_path / "prepared" / "some").mkdir(parents=True)
    (tmp_path / "prepared" / "some" / "half").touch()  # as SIGKILL leaves it
    folder = steps.once("some", lambda folder: (folder / "data").touch())
    assert [file.name for file in folder.iterdir()] == ["data"]
    assert steps.once("some", lambda folder: pytest.fail("it is there")) == folder


def test_failures_tell_code_and_last_words(tmp_path):
    program = "import sys; print('working'); sys.exit('the disk is full')"
    with pytest.raises(measuring.FailedError, match="exit code 1: the disk is full"):
        measuring.measure([sys.executable, "-c", program], folder=tmp_path)


def test_what_takes_too_long_is_stopped_with_its_children(tmp_path):
    with pytest.raises(measuring.FailedError, match="stopped after 0 s"):
        measuring.measure(_tree(60), folder=tmp_path, timeout_s=0.3)
    # Killed children are the init process's, and may take a moment to go.
    _, alive = psutil.wait_procs([each for each in psutil.process_iter() if _is_in(each, tmp_path)], timeout=10)
    assert not alive


def _is_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False


def test_sides_take_turns_and_one_that_fails_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "DATA", tmp_path)
    order = []

    def ready(name, program):
        def command(each):
            order.append((each.number, name))
            return [sys.executable, "-c", program]

        return lambda: Ready(command, facts=lambda each: {"bytes": float((each.folder / "out").stat().st_size)})

    def unavailable():
        raise places.UnavailableError("Python 3.10 was not found")

    write = "open('out', 'w').write('x' * 7)"
    case = Case("c", lambda: 5, [
        Side("a", ready("a", write)), Side("b", ready("b", "raise SystemExit(3)")), Side("c", ready("c", write)),
        Side("d", unavailable),
    ])  # fmt: skip
    result = run_case(case, [], 2)
    assert order == [(0, "a"), (0, "b"), (0, "c"), (1, "a"), (1, "c")]
    assert result.rows == 5
    assert result.side("a").median("bytes") == 7
    assert result.side("b").missing.startswith("failed: exit code 3")
    assert result.side("d").missing == "Python 3.10 was not found"
    assert not any((tmp_path / "scratch").iterdir())
    assert [side.side for side in run_case(case, ["c"], 1).sides] == ["c"]


def test_the_cpu_is_named():
    assert machine.parse_cpu_model("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n") == "Some CPU @ 2 GHz"
    assert machine.parse_cpu_model("processor\t: 0\n") == ""
    assert machine.describe()["cores"].isdigit()
