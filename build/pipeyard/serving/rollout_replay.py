"""Logged rollouts, decided again; as text, as JSON, and as a picture."""

import html
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.system import files, jsons
from rollout import log
from rollout.decision import HOLD, Decision
from rollout.errors import RolloutError
from rollout.policy import Policy

_WIDTH, _HEIGHT, _LEFT, _TOP = 720, 150, 60, 20


@dataclass(frozen=True)
class ReplayedRollout:
    """A rollout.

    Attributes:
        looks: each with what is decided on it now.
        differing: how many are decided otherwise than then.
    """

    begin: log.Begin
    looks: Sequence[tuple[log.Look, Decision]]

    @property
    def differing(self) -> int:
        return sum(log.differs(*pair) for pair in self.looks)


def replay(path: Path, policy: str = "") -> list[ReplayedRollout]:
    """Returns the rollouts of a log, decided again.

    Args:
        policy: JSON of another policy, whose keys are put over the logged one's; empty: the logged one.

    Raises:
        PipeyardError: it is no log, or no policy.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            found = log.read(lines, str(path))
        changed = jsons.load(policy) if policy else {}
        return [
            ReplayedRollout(
                each.begin, list(log.replay(each, Policy.from_json({**each.begin.policy.to_json(), **changed})))
            )
            for each in found
        ]
    except (RolloutError, UnicodeDecodeError) as error:
        raise PipeyardError(str(error)) from error
    except (ValueError, TypeError) as error:
        raise PipeyardError(
            f"--policy isn't a JSON object ({error}). Write it like '{{\"min_requests\": 100}}'."
        ) from error


def as_text(replayed: Sequence[ReplayedRollout]) -> Iterator[str]:
    """Yields a line a rollout, and a line a look at which something is done, or decided otherwise than then."""
    for each in replayed:
        begin = each.begin
        versions = f"version {begin.candidate} beside {begin.stable}"
        yield f"{begin.model}: {versions}, {begin.strategy}, {len(each.looks)} looks"
        for number, pair in enumerate(each.looks, 1):
            look, now = pair
            if now.action == HOLD and not log.differs(*pair) and number < len(each.looks):
                continue
            before = f"  (was: {look.decision.action} {look.decision.weight}%)" if log.differs(*pair) else ""
            at = time.strftime("%H:%M:%S", time.gmtime(look.at))
            done = f"{now.action} {now.weight}%{before}: {'; '.join(now.reasons)}"
            yield f"  {at}  look {number}  at {look.weight}%: {done}"


def as_json(replayed: Sequence[ReplayedRollout]) -> Iterator[str]:
    """Yields a JSON object a look."""
    for each in replayed:
        for pair in each.looks:
            look, now = pair
            yield json.dumps(
                {
                    "model": each.begin.model,
                    "candidate": each.begin.candidate,
                    "at": look.at,
                    "weight": look.weight,
                    "action": now.action,
                    "new_weight": now.weight,
                    "reasons": now.reasons,
                    "differs": log.differs(*pair),
                }
            )


def write_plot(replayed: Sequence[ReplayedRollout], path: Path) -> None:
    """Writes a page, which needs nothing else, with each rollout's course."""
    body = "".join(map(_section, replayed)) or "<p>The log has no rollout.</p>"
    style = "body{font:15px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto}svg{display:block}"
    files.write_whole(
        path,
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Rollouts</title>'
        f"<style>{style} text{{font-size:12px}}</style>{body}</html>",
    )


def _section(each: ReplayedRollout) -> str:
    begin = each.begin
    last = each.looks[-1][1] if each.looks else None
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in last.reasons) if last else ""
    charts = "".join(
        _chart(title, each, value)
        for title, value in (
            ("Share of the candidate, percent", lambda look, now: look.weight),
            ("Errors of the candidate, percent of all so far", lambda look, now: _rate(now, "candidate")),
            ("Errors of the stable version, percent of all so far", lambda look, now: _rate(now, "stable")),
            ("Evidence of more errors, natural logarithm", lambda look, now: _check(now, "errors", "log_e")),
            ("Evidence of longer answers, natural logarithm", lambda look, now: _check(now, "latency", "log_e")),
        )
    )
    title = f"{begin.model}: version {begin.candidate} beside version {begin.stable}"
    ended = f"{last.action} at {last.weight}%" if last else "no look"
    return f"<h1>{html.escape(title)}</h1><p>{ended}</p><ul>{reasons}</ul>{charts}"


def _chart(title: str, each: ReplayedRollout, value: Callable[[log.Look, Decision], float | None]) -> str:
    points = [
        (look.at - each.begin.staged_at, found) for look, now in each.looks if (found := value(look, now)) is not None
    ]
    if not points:
        return ""
    longest = max(x for x, _ in points) or 1.0
    low, high = min(0.0, *(y for _, y in points)), max(y for _, y in points)
    span = high - low or 1.0
    line = " ".join(
        f"{_LEFT + x / longest * (_WIDTH - _LEFT):.1f},{_TOP + (high - y) / span * (_HEIGHT - 2 * _TOP):.1f}"
        for x, y in points
    )
    bottom = _HEIGHT - _TOP
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f'<text x="{_LEFT}" y="12">{html.escape(title)}</text><text x="0" y="{_TOP + 8}">{high:.3g}</text>'
        f'<text x="0" y="{bottom}">{low:.3g}</text><text x="{_WIDTH - 60}" y="{_HEIGHT - 2}">{longest:.0f} s</text>'
        f'<line x1="{_LEFT}" y1="{bottom}" x2="{_WIDTH}" y2="{bottom}" stroke="#999"/>'
        f'<polyline points="{line}" fill="none" stroke="#1f5fa8" stroke-width="2"/></svg>'
    )


def _rate(now: Decision, side: str) -> float | None:
    rate = _check(now, "errors", side)
    return None if rate is None else 100 * rate


def _check(now: Decision, check: str, name: str) -> float | None:
    value = now.evidence.get("checks", {}).get(check, {}).get(name)
    return None if value is None else float(value)
