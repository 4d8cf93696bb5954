"""Sorts a run's steps into the parts of the page: data, training, evaluation, deployment, and the rest."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeyard.runs import results
from pipeyard.runs.record import Run, Task
from pipeyard.runs.report import visuals


@dataclass(frozen=True)
class Topic:
    """A part of the page, and how its steps are known: by their component's name, or by what their outputs mean."""

    anchor: str
    title: str
    components: frozenset[str] = frozenset()
    meanings: frozenset[str] = frozenset()


TOPICS = [
    Topic(
        "data",
        "Data",
        frozenset({"extract", "data_validation"}),
        frozenset({"Examples", "ExamplesManifest", "ExampleStatistics", "Schema", "ExampleAnomalies"}),
    ),
    Topic(
        "training",
        "Training",
        frozenset({"transform", "train"}),
        frozenset({"TransformGraph", "TransformedExamples", "SavedModel", "HyperParameters", "TrainingMetrics"}),
    ),
    Topic(
        "evaluation",
        "Evaluation",
        frozenset({"evaluate"}),
        frozenset({"ModelEvaluation", "EvaluationMetrics", "ClassificationMetrics"}),
    ),
    Topic(
        "deployment",
        "Deployment",
        frozenset({"deploy", "summarize"}),
        frozenset({"PushedModel", "InfraValidation", "RunSummary"}),
    ),
]
OTHER = Topic("other", "Other results")


@dataclass(frozen=True)
class Group:
    """What one step contributes to a topic."""

    task: Task
    visuals: list[visuals.Visual]
    why_not: str


@dataclass(frozen=True)
class Section:
    """A topic with its steps, the most telling first; `empty` says in words why there are none."""

    topic: Topic
    groups: list[Group] = field(default_factory=list)
    empty: str = ""


def sections(run: Run, folder: Path) -> list[Section]:
    """Returns a section per topic; the one of other results only if there are any."""
    by_topic: dict[str, list[Task]] = {}
    for task in run.tasks:
        by_topic.setdefault(topic_of(task).anchor, []).append(task)
    found = [_section(topic, by_topic.get(topic.anchor, []), run, folder) for topic in TOPICS]
    other = _section(OTHER, by_topic.get(OTHER.anchor, []), run, folder)
    return [*found, other] if other.groups else found


def topic_of(task: Task) -> Topic:
    """Returns the topic that a task belongs to."""
    for topic in TOPICS:
        if task.component in topic.components:
            return topic
    meanings = {artifact.meaning for artifact in task.output_artifacts.values()}
    return next((topic for topic in TOPICS if meanings & topic.meanings), OTHER)


def _section(topic: Topic, tasks: list[Task], run: Run, folder: Path) -> Section:
    groups = [Group(task, visuals.of(task, folder), results.why_no_result(run, task)) for task in tasks]
    telling = [group for group in groups if group.visuals or group.task.output_parameters or group.why_not]
    # A page that was written to be looked at comes before a manifest.
    telling.sort(key=lambda group: not any(visual.kind == "html" for visual in group.visuals))
    if telling:
        return Section(topic, telling)
    if tasks:
        names = ", ".join(task.name for task in tasks)
        return Section(topic, empty=f"Nothing to show: {names} wrote no page, metrics or parameters.")
    return Section(topic, empty="This pipeline has no step for it.")
