"""The report of a rollout: one page that needs nothing else, with what both versions did, and why it was decided so."""

import json
from datetime import UTC, datetime
from pathlib import Path

from pipeyard.runs import record, report
from pipeyard.runs.report import page
from pipeyard.serving import rollout_evidence
from pipeyard.serving.rollout_evidence import RolloutEvidence
from pipeyard.serving.serving_folder import ServingFolder
from pipeyard.system import files
from rollout import decision, desired
from rollout.desired import Decided, Desired

_TEMPLATES = Path(__file__).parent / "templates"
_SIDES = ("stable", "candidate")
_TONES = {desired.PROMOTED: "good", desired.ROLLED_BACK: "bad", desired.SUPERSEDED: "warn"}


def html(found: RolloutEvidence, state: Desired | None) -> str:
    """Returns the page.

    Args:
        state: what is desired now, which knows how the rollout ended, also if somebody decided it by hand.
    """
    ended = _ended(found, state)
    last = found.last
    means = found.labelled.means if found.labelled else {}
    shown = ended.action if ended else "undecided"
    return (
        page.environment(_TEMPLATES)
        .get_template("rollout.html.j2")
        .render(
            begin=found.begin,
            staged_at=datetime.fromtimestamp(found.begin.staged_at, UTC),
            run_id=run_of(found, state),
            looks=len(found.rollout.looks),
            verdict=f"Version {found.begin.candidate} {'is' if not ended else 'was'} {shown.replace('_', ' ')}",
            tone=_TONES.get(shown, "quiet"),
            reasons=ended.reasons if ended else last.decision.reasons if last else (),
            left_out=found.left_out,
            versions=found.versions,
            sides=_SIDES,
            classes=sorted({name for each in found.versions for name in each.sampled}),
            labelled=found.labelled,
            means=[means.get(str(each.number), (0, 0.0)) for each in found.versions],
            charts=found.charts,
            width=rollout_evidence.WIDTH,
            height=rollout_evidence.HEIGHT,
            checks=last.decision.evidence.get("checks", {}) if last else {},
            steps=[look for look in found.rollout.looks if look.decision.action != decision.HOLD],
            policy=json.dumps(found.begin.policy.to_json()),
            style=page.style(),
        )
    )


def write(
    folder: ServingFolder, found: RolloutEvidence, out: Path | None, runs: Path | None
) -> tuple[Path, Path | None]:
    """Writes the page, and puts it beside the report of the run that staged the version, which then links to it.

    Args:
        out: where; None: the served folder's place for it.
        runs: folder of runs on this machine, if there is one.

    Returns:
        Where the page is, and the run's report, if its run is here.

    Raises:
        PipeyardError: the run's record can't be read.
        OSError: it can't be written.
    """
    begin = found.begin
    state = desired.read(folder.model(begin.model))
    text = html(found, state)
    path = out or folder.reports(begin.model, begin.candidate)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, text)
    run_id = run_of(found, state)
    run = runs / run_id if runs and run_id else None
    if run is None or not (run / record.FILE).is_file():
        return path, None
    files.write_whole(run / page.ROLLOUTS.replace("*", f"{begin.model}-v{begin.candidate}"), text)
    return path, report.render(run)


def run_of(found: RolloutEvidence, state: Desired | None) -> str:
    """Returns the run that staged the candidate; empty if that isn't known."""
    ended = _ended(found, state)
    if ended:
        return ended.run_id
    return state.run_id if state and state.candidate == found.begin.candidate else ""


def _ended(found: RolloutEvidence, state: Desired | None) -> Decided | None:
    ended = state.decided if state else None
    return ended if ended and ended.version == found.begin.candidate and ended.at >= found.begin.staged_at else None
