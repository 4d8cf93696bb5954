import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import fsspec
import pytest
from support import example_runs
from support.example_runs import START, RunFolder

from pipeyard.errors import PipeyardError
from pipeyard.runs import artifacts, formats, graph, results
from pipeyard.runs.record import Artifact, Attempt, State, Task
from pipeyard.runs.report import curves, render, timeline
from pipeyard.system import files

HOSTILE = "</pre></script><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'"


class Page(HTMLParser):
    """What a rendered page has: text by section, ids, links, tags, embedded pages."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.frames: list[dict[str, str | None]] = []
        self.handlers: list[str] = []
        self.text_in_sight = ""
        self._section = ""
        self._folded: list[bool] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.tags.append(tag)
        self.handlers += [name for name in known if name.startswith("on")]
        if "id" in known:
            self.ids.append(known["id"])
        if tag == "section":
            self._section = known["id"]
        if tag == "details":
            self._folded.append("open" not in known)
        if tag == "iframe":
            self.frames.append(known)
        if tag == "a" and known.get("href"):
            self.links.append(known["href"])
        self.sources += [known[name] for name in ("src", "srcset", "poster", "background") if known.get(name)]
        if tag == "link":
            self.sources.append(known["href"])

    def handle_endtag(self, tag):
        if tag == "details":
            self._folded.pop()

    def handle_data(self, data):
        if not any(self._folded):
            self.text_in_sight += data
        if self._section:
            self.sections[self._section] = " ".join(f"{self.sections.get(self._section, '')} {data}".split())


@pytest.fixture(name="runs")
def runs_folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def page_of(folder: Path) -> Page:
    return Page(render(folder))


def test_every_section_of_a_good_run_is_filled(runs):
    page = page_of(example_runs.succeeded(runs / "one"))
    expected = ["headline", "graph", "timings", "data", "training", "evaluation", "deployment", "steps", "run"]
    assert list(page.sections) == expected
    assert all(len(text) > 60 for text in page.sections.values()), page.sections
    headline = page.sections["headline"]
    for said in ("Deployed version 3", "Valid", "no anomalies", "no drift", "15,002 rows", "Blessed", "Version 3"):
        assert said in headline
    assert example_runs.BLESSED in headline
    assert "AUC 0.9112 baseline 0.9034 (+0.0078)" in headline


def test_embedded_pages_are_whole_and_may_run_no_script(runs):
    page = page_of(example_runs.succeeded(runs / "one"))
    assert [frame["srcdoc"] for frame in page.frames] == [
        example_runs.STATISTICS,
        example_runs.CURVES,
        example_runs.EVALUATION,
    ]
    assert {frame["sandbox"] for frame in page.frames} == {"allow-same-origin"}


def test_page_needs_nothing_from_elsewhere(runs):
    page = page_of(example_runs.succeeded(runs / "one"))
    assert page.sources == ["data:,"]
    assert "url(http" not in page.source and "@import" not in page.source
    assert "default-src 'none'" in page.source
    assert len(page.source) - sum(len(frame["srcdoc"]) for frame in page.frames) < 200_000


def test_ids_are_unique_and_links_within_the_page_lead_somewhere(runs):
    page = page_of(example_runs.failed(runs / "one"))
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#") and link != "#"} <= set(page.ids)


def test_links_to_files_are_relative_and_right(runs):
    folder = example_runs.succeeded(runs / "one")
    page = page_of(folder)
    files = [link for link in page.links if not link.startswith("#")]
    assert "train/model" in files and "train/attempt-1.log" in files
    assert all((folder / link).exists() for link in files)


def test_an_unblessed_model_is_said_not_to_be_deployed_and_why(runs):
    page = page_of(example_runs.unblessed(runs / "one"))
    why = f"the model is not blessed ({example_runs.NOT_BLESSED})"
    assert f"Not deployed: {why}" in page.sections["headline"]
    assert f"Skipped: {why}" in page.sections["deployment"]
    assert "cached" in page.sections["timings"] and "did not run" in page.sections["timings"]
    assert "20260301-earlier" in page.sections["steps"]


def test_a_cached_deployment_is_told_from_a_new_one(runs):
    def cache_deploy(run: RunFolder) -> None:
        deploy = next(task for task in run.run.tasks if task.name == "deploy")
        deploy.state, deploy.cached_from = State.CACHED, "the-first-run"

    page = page_of(example_runs.succeeded(runs / "one", cache_deploy))
    assert "serving/chicago_taxi/3 (by run the-first-run; nothing has changed since)" in page.sections["headline"]


def test_invalid_data_is_said_to_be_the_reason_of_every_empty_section(runs):
    page = page_of(example_runs.invalid(runs / "one"))
    why = "the data is not valid (2 anomalies)"
    assert f"Not deployed: {why}" in page.sections["headline"]
    for section in ("training", "evaluation", "deployment"):
        assert f"Skipped: {why}" in page.sections[section]
    assert "No metrics: no step wrote any." in page.sections["headline"]


def test_a_failed_step_shows_its_reason_its_attempts_and_its_log(runs):
    page = page_of(example_runs.failed(runs / "one"))
    said = "the module has no build_model(transform, hyperparameters). Add it, or name the right module."
    assert (
        f"Failed at train: it ended with code 1; it last said: train: {said} Nothing was deployed."
        in (page.sections["headline"])
    )
    assert "Failed: why, and its log" in page.sections["training"]
    # Once in the head, and once in the log, below which it isn't read again.
    assert page.text_in_sight.count(said) == 2
    assert "Why it is failed it ended with code 1; it last said: Attempts" in page.sections["steps"]
    assert "Attempts" in page.sections["steps"]
    assert re.search(r'<details class="panel step" id="step-train" open>', page.source)
    shown = re.search(r'id="step-train".*?<pre class="log">(.*?)</pre>', page.source, re.DOTALL).group(1).splitlines()
    assert len(shown) == artifacts.LOG_LINES
    assert shown[-1] == f"train: {said}" and shown[0] == "Loading the module"
    assert "Skipped: train did not succeed" in page.sections["evaluation"]


def test_an_error_between_steps_is_shown_with_the_run(runs):
    folder = example_runs.failed(runs / "one")
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    record["error"] = "condition-1: the parameter has no value"
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert "Error condition-1: the parameter has no value" in page_of(folder).sections["run"]


def test_metrics_stand_in_sight_once_where_a_page_shows_them_too(runs):
    page = page_of(example_runs.succeeded(runs / "one"))
    assert page.text_in_sight.count("0.9034") == 1
    assert page.sections["evaluation"].count("0.9034") == 1  # folded
    assert "Run summary" in page.sections["deployment"] and "Run summary" not in page.text_in_sight

    def without_page(run: RunFolder) -> None:
        evaluate = next(task for task in run.run.tasks if task.name == "evaluate")
        del evaluate.output_artifacts["report"]

    page = page_of(example_runs.succeeded(runs / "two", without_page))
    assert page.text_in_sight.count("0.9034") == 2


def test_markup_in_any_text_of_a_run_stays_text(runs):
    def spoil(run: RunFolder) -> None:
        record = run.run
        record.pipeline = record.commit = record.environment = HOSTILE
        record.parameters = {HOSTILE: HOSTILE, "long": HOSTILE * 20, "object": {HOSTILE: [HOSTILE]}}
        record.versions = {HOSTILE: HOSTILE}
        for task in record.tasks:
            task.name = task.component = task.image = task.condition = task.reason = task.cached_from = HOSTILE
            task.source_digest = task.cache_key = HOSTILE
            task.parameters = {HOSTILE: HOSTILE}
            task.output_parameters |= {HOSTILE: HOSTILE}
            if "reason" in task.output_parameters:
                task.output_parameters |= {"reason": HOSTILE, "blessed": False}
            if "pushed_uri" in task.output_parameters:
                task.output_parameters["pushed_uri"] = HOSTILE
            for attempt in task.attempts:
                attempt.error = HOSTILE
                (run.folder / attempt.log).write_text(HOSTILE, encoding="utf-8")
            for artifact in task.output_artifacts.values():
                artifact.name = artifact.meaning = artifact.digest = HOSTILE
                if artifact.type == "system.Metrics":
                    artifact.metadata = {HOSTILE: HOSTILE, "group": {HOSTILE: 1.0}}
                if artifact.type == "system.ClassificationMetrics":
                    specs = [{"displayName": HOSTILE}, {"displayName": "other"}]
                    artifact.metadata["confusionMatrix"]["annotationSpecs"] = specs
                if artifact.type == "system.Markdown":
                    Path(artifact.uri).write_text(
                        f"# {HOSTILE}\n\n{HOSTILE}\n\n[x](javascript:alert(1)) ![](http://x/y)", "utf-8"
                    )
                if artifact.type == "system.Artifact":
                    Path(artifact.uri).write_text(json.dumps({HOSTILE: {HOSTILE: HOSTILE}}), "utf-8")
                if artifact.type == "system.HTML":
                    Path(artifact.uri).write_text(HOSTILE, "utf-8")

    clean = page_of(example_runs.succeeded(runs / "clean"))
    page = page_of(example_runs.succeeded(runs / "hostile", spoil))
    assert page.tags.count("script") == clean.tags.count("script") == 1
    assert "img" not in page.tags
    assert not page.handlers
    # What was an image in Markdown is a link: nothing is loaded unless someone clicks.
    assert [link for link in page.links if link.startswith(("javascript:", "http"))] == ["http://x/y"]
    assert [frame["srcdoc"] for frame in page.frames] == [HOSTILE] * 3
    assert page.source.count("This page has scripts, which don't run here.") == 3
    assert "<script>document" not in page.source and "<img" not in page.source


def test_a_model_without_classes_has_no_classification_metrics(runs):
    def without_classes(run: RunFolder) -> None:
        for artifact in (each for task in run.run.tasks for each in task.output_artifacts.values()):
            if artifact.type == "system.ClassificationMetrics":
                artifact.metadata = {}
                Path(artifact.uri).write_text(content, "utf-8")

    content = "{}"
    assert "neither a ROC curve" not in page_of(example_runs.succeeded(runs / "regression", without_classes)).source
    content = '{"other": 1}'
    assert "neither a ROC curve" in page_of(example_runs.succeeded(runs / "other", without_classes)).source


def test_removed_artifacts_and_logs_are_said_to_be_no_longer_there(runs):
    folder = example_runs.succeeded(runs / "one")
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
    page = page_of(folder)
    assert "No longer there:" in page.sections["data"]
    assert "No longer there:" in page.sections["training"]
    assert "(no longer there)" in page.sections["steps"]
    assert "Deployed version 3" in page.sections["headline"]
    assert not page.frames


def test_a_run_without_steps_and_one_that_still_runs_have_a_page(runs):
    page = page_of(RunFolder(runs / "none").end(State.RUNNING))
    assert "The run has no steps yet." in page.sections["graph"]
    assert "This pipeline has no step for it." in page.sections["training"]

    def still_training(run: RunFolder) -> None:
        run.run.tasks = run.run.tasks[:4]
        train = run.run.tasks[3]
        train.state, train.ended_at, train.output_artifacts = State.RUNNING, None, {}

    folder = example_runs.succeeded(runs / "running", still_training)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (folder / "run.json").write_text(json.dumps({**record, "state": "RUNNING", "ended_at": None}), encoding="utf-8")
    page = page_of(folder)
    assert "Running: 3 of 4 steps ended" in page.sections["headline"]
    assert "Still running" in page.sections["training"]


def test_results_of_components_nobody_knows_get_a_section_of_their_own(runs):
    run = RunFolder(runs / "one", pipeline="other")
    task = run.task("profile_rows", 1.0)
    run.artifact(task, "table", "Metrics", {"rows": 12})
    page = page_of(run.end(State.SUCCEEDED))
    assert "profile_rows" in page.sections["other"] and "rows 12" in page.sections["other"]
    assert page.sections["headline"].startswith("Finished")


def test_a_failing_render_leaves_the_earlier_page(runs, monkeypatch):
    folder = example_runs.succeeded(runs / "one")
    before = render(folder).read_bytes()
    monkeypatch.setattr(files, "write_all", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        render(folder)
    assert (folder / "report.html").read_bytes() == before


def test_a_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(PipeyardError, match=r"is no run folder: it has no run\.json"):
        render(tmp_path)


def test_long_parameters_are_folded_and_cut(runs):
    def lengthen(run: RunFolder) -> None:
        run.run.parameters = {"text": "x" * 50_000, "short": "y"}

    page = page_of(example_runs.succeeded(runs / "one", lengthen))
    assert page.source.count("x" * 20_000) == 1 and "x" * 20_001 not in page.source
    assert "(50000 characters)" in page.sections["run"]
    assert "The last 30000 characters aren't shown." in page.sections["run"]


def test_in_a_browser_the_page_asks_for_nothing_and_frames_fit(runs, browser):
    page_path = render(example_runs.succeeded(runs / "one"))
    asked, said = [], []
    tab = browser.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(page_path.as_uri())
    tab.wait_for_function("[...document.querySelectorAll('iframe')].every(frame => frame.style.height)")
    fits = tab.evaluate(
        "[...document.querySelectorAll('iframe')].map(frame => "
        "frame.clientHeight - frame.contentDocument.documentElement.offsetHeight)"
    )
    tab.click(".graph a[href='#step-train']")
    opened = tab.evaluate("document.getElementById('step-train').open")
    top = tab.evaluate("document.getElementById('step-train').getBoundingClientRect().top")
    with tab.expect_download() as saved:
        tab.click("a.alone >> nth=0")
    copy = Path(saved.value.path()).read_text(encoding="utf-8")
    sideways = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    tab.close()
    assert asked[0] == page_path.as_uri()
    assert not [url for url in asked[1:] if not url.startswith("blob:")]
    assert not said
    assert len(fits) == 3 and all(0 <= spare < 8 for spare in fits)
    assert opened and 0 <= top < 700
    assert copy == example_runs.STATISTICS
    assert sideways == 0


LONG_NAMES = ["W" * 60, "ingest-the-events-of-region-north", "\N{CJK UNIFIED IDEOGRAPH-9577}" * 40, "i" * 200]


def test_in_a_browser_long_names_stay_in_their_boxes(runs, browser):
    def rename(run: RunFolder) -> None:
        for task, name in zip(run.run.tasks, LONG_NAMES, strict=False):
            for other in run.run.tasks:
                other.upstream = [name if each == task.path else each for each in other.upstream]
            task.path = task.name = name
            task.condition = f"{name}.valid == true"
            task.parameters = {name: name}
        run.run.pipeline = run.run.environment = "M" * 120

    page_path = render(example_runs.succeeded(runs / "one", rename))
    for width in (1280, 400):
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.goto(page_path.as_uri())
        tab.click("text=Open all")
        outside = tab.evaluate(
            """[...document.querySelectorAll('.graph a')].flatMap(box => {
                const frame = box.querySelector('rect').getBoundingClientRect();
                return [...box.querySelectorAll('text.name, text.below')].filter(text => {
                    const at = text.getBoundingClientRect();
                    return at.left < frame.left || at.right > frame.right;
                }).map(text => text.textContent);
            })"""
        )
        sideways = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        panels = tab.evaluate(
            """[...document.querySelectorAll('.panel')].filter(panel => panel.scrollWidth > panel.clientWidth + 1)
                .map(panel => panel.textContent.slice(0, 80))"""
        )
        tab.close()
        assert outside == []
        assert sideways == 0
        assert panels == []


# -- the parts --------------------------------------------------------------------------------------------------------


def task_named(name: str, *upstream: str, **more) -> Task:
    return Task(path=name, name=name, component=name, upstream=list(upstream), **more)


def test_boxes_stand_right_of_all_they_wait_for_and_apart():
    names = [task_named("a"), task_named("b", "a"), task_named("c", "a"), task_named("d", "b", "c", "a")]
    layout = graph.lay_out(names)
    at = {box.task.path: (box.x, box.y) for box in layout.boxes}
    assert at["a"][0] < at["b"][0] == at["c"][0] < at["d"][0]
    assert abs(at["b"][1] - at["c"][1]) >= graph.HEIGHT
    assert {(line.source, line.target): line.implied for line in layout.lines} == {
        ("a", "b"): False,
        ("a", "c"): False,
        ("b", "d"): False,
        ("c", "d"): False,
        ("a", "d"): True,
    }
    assert all(0 <= x <= layout.width - graph.WIDTH and 0 <= y <= layout.height - graph.HEIGHT for x, y in at.values())


def test_layout_takes_unknown_upstream_cycles_and_nothing():
    assert not graph.lay_out([]).boxes
    assert len(graph.lay_out([task_named("a", "gone"), task_named("b", "b")]).boxes) == 2
    assert len(graph.lay_out([task_named("a", "b"), task_named("b", "a")]).boxes) == 2


def test_layout_of_a_wide_loop_is_quick_and_without_overlap():
    tasks = [task_named("start"), *(task_named(f"loop[{number}]", "start") for number in range(150))]
    layout = graph.lay_out([*tasks, task_named("end", *(task.path for task in tasks))])
    heights = sorted(box.y for box in layout.boxes if box.task.path.startswith("loop"))
    assert all(below - above >= graph.HEIGHT for above, below in pairwise(heights))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("train", "train"),
        ("data-validation", "data-validation"),
        ("ingest-the-events-of-region-north", "ingest-t\u2026n-north"),
        ("for-loop-1[10]/condition-2/echo", "for-loop\u2026-2/echo"),
        ("W" * 60, "WWWW\u2026WWWW"),
        ("", ""),
    ],
)
def test_names_are_fitted_by_leaving_out_their_middle(text, shown):
    assert graph.fitted(text, graph.WIDTH - 20) == shown


def test_tasks_come_in_the_order_of_the_graph(runs):
    folder = example_runs.succeeded(runs / "one", lambda run: run.run.tasks.reverse())
    assert [task.name for task in results.load(folder).tasks] == [
        "extract", "data-validation", "transform", "train", "evaluate", "deploy", "summarize",
    ]  # fmt: skip


def test_bars_are_where_attempts_were(runs):
    run = results.load(example_runs.failed(runs / "one"))
    rows = {row.task.name: row for row in timeline.timeline(run).rows}
    first, second = rows["train"].bars
    assert first.left < first.left + first.width < second.left
    assert {first.state, second.state} == {State.FAILED}
    assert rows["extract"].bars[0].left == 0 and rows["extract"].bars[0].width == pytest.approx(
        100 * 2.31 / 29.13, 0.01
    )
    assert not rows["deploy"].bars and rows["deploy"].label == "did not run"


def test_steps_done_before_a_resume_have_no_bars(runs):
    run = results.load(example_runs.succeeded(runs / "one"))
    earlier = START - timedelta(hours=2)
    task = run.tasks[0]
    task.started_at = earlier
    task.attempts = [
        Attempt(number=1, log="l", started_at=earlier, ended_at=earlier + timedelta(seconds=3), exit_code=0)
    ]
    row = next(row for row in timeline.timeline(run).rows if row.task is task)
    assert not row.bars and row.label == "done before the run was resumed"


def test_roc_is_sorted_clamped_and_its_area_right():
    points = [(0.5, 0.8), (0.0, 0.0), (1.0000001, 1.0)]
    metadata = {"confidenceMetrics": {"list": [_point(*point) for point in points] + [{"recall": "no"}, None]}}
    roc = curves.roc(metadata)
    assert [point[:2] for point in roc.points] == [(0.0, 0.0), (0.5, 0.8), (1.0, 1.0)]
    assert roc.area == pytest.approx(0.5 * 0.8 / 2 + 0.5 * 0.9)
    assert roc.line.startswith("M0.0,260.0") and roc.line.endswith("L260.0,0.0")
    many = curves.roc({"confidenceMetrics": [_point(x / 9999, x / 9999) for x in range(10_000)]})
    assert many.line.count("L") < 400
    assert curves.roc({}) is None and curves.roc({"confidenceMetrics": "x"}) is None


def _point(rate: float, recall: float) -> dict[str, float]:
    return {"confidenceThreshold": 0.5, "recall": recall, "falsePositiveRate": rate}


def test_confusion_matrix_with_and_without_its_wrapper():
    matrix = {
        "annotationSpecs": [{"displayName": "a"}, {"displayName": "b"}],
        "rows": [{"row": [3, 1]}, {"row": [0, 0]}],
    }
    for metadata in ({"confusionMatrix": matrix}, {"confusionMatrix": {"struct": matrix}}):
        found = curves.confusion(metadata)
        assert found.labels == ["a", "b"]
        assert [[cell.count for cell in row] for row in found.rows] == [[3, 1], [0, 0]]
        assert [cell.share for cell in found.rows[0]] == [0.75, 0.25]
    assert curves.confusion({"confusionMatrix": {**matrix, "rows": []}}) is None
    assert curves.confusion({"confusionMatrix": {"rows": 3}}) is None


def test_metrics_come_from_metadata_or_else_from_the_file(runs):
    run = RunFolder(runs / "one")
    task = run.task("evaluate", 1.0)
    run.artifact(task, "from_file", "Metrics", {"AUC": 0.9, "baseline": {"AUC": 0.8, "at": {"top": 3}}})
    run.artifact(task, "from_metadata", "Metrics", "not JSON", loss=0.1, val_loss=0.2, val_rows=3)
    run.artifact(task, "broken", "Metrics", "not JSON")
    tables = results.metrics(run.run, run.folder)
    assert [(table.name, table.columns, table.rows) for table in tables[:2]] == [
        ("from_file", ["", "baseline"], {"AUC": {"": 0.9, "baseline": 0.8}, "at.top": {"baseline": 3}}),
        ("from_metadata", ["", "validation"], {"loss": {"": 0.1, "validation": 0.2}, "val_rows": {"": 3}}),
    ]
    assert tables[2].problem.startswith("It isn't JSON")
    assert results.key_metrics(tables[:1]) == [results.KeyMetric("AUC", 0.9, 0.8)]


def test_the_tail_of_a_log_is_its_last_lines_without_rewritten_ones(tmp_path):
    (tmp_path / "log").write_bytes(
        b"".join(b"line %d\n" % n for n in range(50_000)) + b"10%\r50%\r100%\nbad \xff\r\n\n"
    )
    attempt = Attempt(number=1, log="log", started_at=datetime.now(UTC))
    lines = artifacts.log_tail(attempt, tmp_path).text.splitlines()
    assert lines[-3:] == ["line 49999", "100%", "bad \N{REPLACEMENT CHARACTER}"]
    assert len(lines) == artifacts.LOG_LINES
    (tmp_path / "log").write_text("")
    assert artifacts.log_tail(attempt, tmp_path).problem == "The log is empty."


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("file:///a%20b/c", Path("/a b/c")), ("gs://bucket/x", None), ("/a/b", Path("/a/b")), ("a/b", Path("/run/a/b"))],
)
def test_local_artifacts_are_told_from_remote_ones(uri, expected):
    assert artifacts.local_path(uri, Path("/run")) == expected


def test_a_remote_artifact_is_read_or_its_problem_told(tmp_path):
    with fsspec.open("memory://bucket/page", "w") as stream:
        stream.write("<p>here</p>")
    there = Artifact(name="page", type="system.HTML", uri="memory://bucket/page")
    assert artifacts.read(there, tmp_path, 100).text == "<p>here</p>"
    assert artifacts.read(there, tmp_path, 3).problem.startswith("Too large to show here")
    gone = Artifact(name="page", type="system.HTML", uri="memory://bucket/gone")
    assert artifacts.read(gone, tmp_path, 100).problem == "No longer there: memory://bucket/gone"
    unknown = Artifact(name="page", type="system.HTML", uri="nosuchscheme://x")
    assert artifacts.read(unknown, tmp_path, 100).problem.startswith("Can't be read: nosuchscheme://x")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formats.duration(0.4), "0.40 s"),
        (formats.duration(59.94), "59.9 s"),
        (formats.duration(125), "2 min 05 s"),
        (formats.duration(3725), "1 h 02 min"),
        (formats.size(999), "999 B"),
        (formats.size(1_234_567), "1.23 MB"),
        (formats.number(15002), "15,002"),
        (formats.number(0.123456), "0.1235"),
        (formats.number(4991.0), "4,991"),
        (formats.literal(list(range(100))), str(list(range(100)))),
        (formats.literal({"a": "x" * 100}), '{\n  "a": "' + "x" * 100 + '"\n}'),
        (formats.scalar(None), "\N{EN DASH}"),
        (formats.scalar(True), "yes"),
        (formats.scalar([1, "a"]), '[1, "a"]'),
        (formats.digest("sha256:" + "ab" * 32), "abababababab"),
        (formats.counted(1, "anomaly", "anomalies"), "1 anomaly"),
    ],
)
def test_values_are_written_for_people(written, expected):
    assert written == expected


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("true", True), ("True", True), ("false", False)])
def test_booleans_may_be_text(value, expected):
    assert results.truth(value) is expected
