"""The cards at the top of the page."""

from dataclasses import dataclass, field

from pipeyard.runs import formats, results
from pipeyard.runs.record import Run
from pipeyard.runs.results import Tone


@dataclass(frozen=True)
class Card:
    """A question that everyone asks of a run, its answer in a word or two, and what is behind the answer."""

    question: str
    tone: Tone
    answer: str
    details: list[str] = field(default_factory=list)


def cards(run: Run) -> list[Card]:
    """Returns the cards on data, model and deployment."""
    return [_data(run), _model(run), _deployment(run)]


def _data(run: Run) -> Card:
    rows = [formats.counted(results.integer(finding.value), "row") for finding in results.find(run, "row_count")]
    verdicts = results.find(run, "valid")
    if not verdicts:
        answer, why = _absent(run, "data_validation")
        return Card("Data", Tone.QUIET, answer, [*why, *rows])
    count = sum(results.integer(finding.value) for finding in results.find(run, "anomaly_count"))
    drift = results.find(run, "drift_detected")
    details = [formats.counted(count, "anomaly", "anomalies") if count else "no anomalies"]
    if drift:
        details.append("drift detected" if any(results.truth(finding.value) for finding in drift) else "no drift")
    valid = all(results.truth(finding.value) for finding in verdicts)
    return Card("Data", Tone.GOOD if valid else Tone.BAD, "Valid" if valid else "Not valid", [*details, *rows])


def _model(run: Run) -> Card:
    verdicts = results.find(run, "blessed")
    if not verdicts:
        answer, why = _absent(run, "evaluate")
        return Card("Model", Tone.QUIET, answer, why)
    blessed = all(results.truth(finding.value) for finding in verdicts)
    reasons = [str(finding.task.output_parameters.get("reason") or "") for finding in verdicts]
    details = [reason for reason in reasons if reason]
    baselines = [results.integer(finding.value) for finding in results.find(run, "baseline_version")]
    details += [f"compared with version {number}" for number in baselines if number]
    return Card("Model", Tone.GOOD if blessed else Tone.WARN, "Blessed" if blessed else "Not blessed", details)


def _deployment(run: Run) -> Card:
    versions = results.pushed(run)
    if versions:
        answer = ", ".join(f"Version {results.integer(finding.value)}" for finding in versions)
        return Card(
            "Deployment", Tone.GOOD, answer, [str(finding.task.output_parameters["pushed_uri"]) for finding in versions]
        )
    if reason := results.why_not_deployed(run):
        return Card("Deployment", Tone.WARN, "Not deployed", [reason])
    answer, why = _absent(run, "deploy")
    return Card("Deployment", Tone.QUIET, answer, why)


def _absent(run: Run, component: str) -> tuple[str, list[str]]:
    """Returns a word and the reason for which no task said anything; `component` is the one that would have."""
    for task in run.tasks:
        if task.component == component:
            why = results.why_no_result(run, task)
            word, _, reason = why.partition(": ")
            return (word, [reason] if reason else []) if why else ("Not known", ["the step ended without saying"])
    return formats.DASH, ["this pipeline has no step for it"]
