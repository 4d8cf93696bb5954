"""Puts the page together."""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pipeyard.runs import artifacts, formats, graph, results
from pipeyard.runs.record import Artifact, Run, State, Task
from pipeyard.runs.report import curves, headline, timeline, topics
from pipeyard.system import files

FILE = "report.html"
# Reports of rollouts of what the run staged, which `pipeyard serve report` puts beside this page.
ROLLOUTS = "rollout-*.html"
TEMPLATES = Path(__file__).parent / "templates"
_SHORT = 160  # characters of a parameter that is shown without folding
_MOST = 20_000  # characters of a parameter that are shown at all


@dataclass(frozen=True)
class ShownValue:
    """A parameter's value as text; `cut` is how many characters at its end are left out."""

    text: str
    long: bool
    cut: int


@dataclass(frozen=True)
class Log:
    """The tail of the log of a step's last attempt."""

    path: str
    link: str
    text: str
    problem: str


@dataclass(frozen=True)
class StoredArtifact:
    """A row of a table of artifacts."""

    name: str
    artifact: Artifact
    link: str
    gone: bool


@dataclass(frozen=True)
class TaskSection:
    """A task and what is said of it in its own part of the page."""

    task: Task
    anchor: str
    label: str
    why_not: str
    reason: str
    cached_link: str
    parameters: dict[str, ShownValue]
    output_parameters: dict[str, ShownValue]
    inputs: list[StoredArtifact]
    outputs: list[StoredArtifact]
    log: Log | None
    topic: topics.Topic | None


def write(folder: Path) -> Path:
    """Writes the page into a run's folder, aside and then renamed."""
    text = html(results.load(folder), folder)
    files.sweep(folder)
    files.write_whole(folder / FILE, text)
    return folder / FILE


def html(run: Run, folder: Path) -> str:
    """Returns the page as text; `folder` is where the run's record, logs and local artifacts are."""
    labels = results.labels(run)
    anchors = _anchors(run, labels)
    shown = topics.sections(run, folder)
    topic_by_task = {group.task.path: section.topic for section in shown for group in section.groups if group.visuals}
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            rollouts=[artifacts.link(path, folder) for path in sorted(folder.glob(ROLLOUTS))],
            verdict=results.verdict(run),
            cards=headline.cards(run),
            key_metrics=results.key_metrics(results.metrics(run, folder)),
            graph=graph.lay_out(run.tasks),
            box=graph,
            timeline=timeline.timeline(run),
            sections=shown,
            steps=[_step(run, task, folder, labels, anchors, topic_by_task.get(task.path)) for task in run.tasks],
            states=[state for state in State if any(task.state is state for task in run.tasks)],
            labels=labels,
            anchors=anchors,
            run_error=_error_of_run(run),
            run_parameters=_values(run.parameters),
            roc_size=curves.SIZE,
            style=style(),
            script=Markup(script),
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


@cache
def environment(*others: Path) -> jinja2.Environment:
    """Returns what renders templates: this folder's, and those of others that share its macros and filters."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATES, *others]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {
        "duration": formats.duration,
        "size": formats.size,
        "when": formats.when,
        "scalar": formats.scalar,
        "digest": formats.digest,
        "brief": results.brief,
        "counted": formats.counted,
        "number": formats.number,
        "signed": lambda value: f"{value:+.4g}",
        "is_number": results.is_number,
        "is_folded": lambda text: len(text) > _SHORT or "\n" in text,
        "shortened": _shortened,
    }
    return found


def style() -> Markup:
    """Returns the style sheet of pages."""
    return Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))


def _step(
    run: Run, task: Task, folder: Path, labels: dict[str, str], anchors: dict[str, str], topic: topics.Topic | None
) -> TaskSection:
    cached_report = folder.parent / task.cached_from / FILE
    log = _log(task, folder)
    return TaskSection(
        task=task,
        anchor=anchors[task.path],
        label=labels[task.path],
        why_not=results.why_no_result(run, task),
        reason=_beside_log(task.reason, log),
        cached_link=artifacts.link(cached_report, folder) if task.cached_from and cached_report.is_file() else "",
        parameters=_values(task.parameters),
        output_parameters=_values(task.output_parameters),
        inputs=[_stored(name, artifact, folder) for name, artifact in task.input_artifacts.items()],
        outputs=[_stored(name, artifact, folder) for name, artifact in task.output_artifacts.items()],
        log=log,
        topic=topic,
    )


def _beside_log(reason: str, log: Log | None) -> str:
    """Returns a reason without the lines that the log below it has, too."""
    said = set(log.text.splitlines()) if log else set()
    lines = [line for line in reason.splitlines() if not line.strip() or line not in said]
    return "\n".join(lines).strip()


def _error_of_run(run: Run) -> str:
    """Returns the run's error where no failed step has it as its own."""
    told = any(task.state is State.FAILED and task.reason and task.reason in run.error for task in run.tasks)
    return "" if told else run.error


def _log(task: Task, folder: Path) -> Log | None:
    if not task.attempts:
        return None
    last = task.attempts[-1]
    path = folder / last.log
    content = artifacts.log_tail(last, folder)
    link = artifacts.link(path, folder) if path.is_file() else ""
    return Log(str(path), link, content.text, content.problem)


def _stored(name: str, artifact: Artifact, folder: Path) -> StoredArtifact:
    path = artifacts.local_path(artifact.uri, folder)
    if path is None:
        return StoredArtifact(name, artifact, "", False)
    there = path.exists()
    return StoredArtifact(name, artifact, artifacts.link(path, folder) if there else "", not there)


def _values(parameters: dict[str, Any]) -> dict[str, ShownValue]:
    found = {}
    for name, value in parameters.items():
        text = formats.literal(value)
        found[name] = ShownValue(text[:_MOST], len(text) > _SHORT or "\n" in text, max(len(text) - _MOST, 0))
    return found


def _anchors(run: Run, labels: dict[str, str]) -> dict[str, str]:
    """Returns ids for links by task path: unique, and readable in an address."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for task in run.tasks:
        plain = "step-" + re.sub(r"[^a-z0-9]+", "-", labels[task.path].lower()).strip("-")
        found[task.path] = f"{plain}-{len(found)}" if plain in taken else plain
        taken.add(found[task.path])
    return found


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
