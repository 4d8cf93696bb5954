"""What a step wrote for people to look at, read from its artifacts and ready for the template."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

from pipeyard.runs import artifacts, formats, results
from pipeyard.runs.record import Artifact, Task
from pipeyard.runs.report import curves

# KFP's types whose artifacts are folders of data; their content is no JSON object worth a table.
_BULK_TYPES = {"system.Dataset", "system.Model"}
_MAX_OBJECT_CHARACTERS = 20_000
_SHORT_OBJECT_CHARACTERS = 1500
# HTML in the source is shown as text, and images aren't loaded: the page needs no network and runs no foreign markup.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


@dataclass(frozen=True)
class Visual:
    """One artifact, shown.

    Attributes:
        kind: html, markdown, metrics, classification, object or problem; decides which other fields are set.
        link: URL relative to the report; empty if the artifact isn't a local file that is there.
        problem: in words, why there is nothing to see.
        repeats: what it says stands elsewhere on the page, so that it is folded.
    """

    kind: str
    name: str
    artifact: Artifact
    link: str = ""
    problem: str = ""
    html: str = ""
    has_script: bool = False
    markdown: Markup = field(default_factory=Markup)
    metrics: results.MetricsTable | None = None
    roc: curves.Roc | None = None
    confusion: curves.Confusion | None = None
    entries: dict[str, Any] = field(default_factory=dict)
    short: bool = True
    repeats: bool = False


def of(task: Task, folder: Path) -> list[Visual]:
    """Returns what can be shown of a task's output artifacts: pages first, then metrics, then small JSON objects."""
    found = [_visual(task, name, artifact, folder) for name, artifact in task.output_artifacts.items()]
    if any(visual and visual.kind == "html" for visual in found):  # which has the metrics, with more about them
        found = [replace(each, repeats=True) if each and each.kind == "metrics" else each for each in found]
    # The page of a model card has what its JSON has.
    found = [replace(each, repeats=True) if each and _is_card(each) else each for each in found]
    order = ["html", "problem", "markdown", "classification", "metrics", "object"]
    return sorted((visual for visual in found if visual), key=lambda visual: order.index(visual.kind))


def _is_card(visual: Visual) -> bool:
    return visual.kind == "object" and visual.artifact.meaning == "ModelCard"


def _visual(task: Task, name: str, artifact: Artifact, folder: Path) -> Visual | None:
    path = artifacts.local_path(artifact.uri, folder)
    link = artifacts.link(path, folder) if path is not None and path.is_file() else ""
    match artifact.type:
        case "system.HTML" | "system.Markdown":
            return _text(name, artifact, folder, link)
        case "system.Metrics":
            table = results.metrics_table(task, name, artifact, folder)
            kind = "problem" if table.problem else "metrics"
            return Visual(kind, name, artifact, link, problem=table.problem, metrics=table)
        case "system.ClassificationMetrics":
            return _classification(name, artifact, folder, link)
    return _object(name, artifact, folder, link) if artifact.type not in _BULK_TYPES else None


def _text(name: str, artifact: Artifact, folder: Path, link: str) -> Visual:
    content = artifacts.read(artifact, folder, artifacts.MAX_PAGE_BYTES)
    if content.problem:
        return Visual("problem", name, artifact, link, problem=content.problem)
    if artifact.type == "system.HTML":
        return Visual("html", name, artifact, link, html=content.text, has_script="<script" in content.text.lower())
    # The renderer escapes all text and attributes, and refuses javascript: links.
    summary = artifact.meaning == "RunSummary"  # of what the page has, for those who read it elsewhere
    return Visual("markdown", name, artifact, link, markdown=Markup(_MARKDOWN.render(content.text)), repeats=summary)


def _classification(name: str, artifact: Artifact, folder: Path, link: str) -> Visual | None:
    values, problem = artifacts.values(artifact, folder)
    if not values and not problem:  # of a model without classes
        return None
    roc, confusion = curves.roc(values), curves.confusion(values)
    if not roc and not confusion:
        problem = problem or "It holds neither a ROC curve nor a confusion matrix."
        return Visual("problem", name, artifact, link, problem=problem)
    return Visual("classification", name, artifact, link, roc=roc, confusion=confusion)


def _object(name: str, artifact: Artifact, folder: Path, link: str) -> Visual | None:
    """Shows an artifact of a type of the component's own, if it is a small JSON object."""
    found, _ = artifacts.read_object(artifact, folder) if link else ({}, "")
    if not found:
        return None
    entries = {str(key): formats.literal(value)[:_MAX_OBJECT_CHARACTERS] for key, value in found.items()}
    short = sum(map(len, entries.values())) < _SHORT_OBJECT_CHARACTERS
    return Visual("object", name, artifact, link, entries=entries, short=short)
