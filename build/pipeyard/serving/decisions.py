"""Rollouts under way: each second both versions are looked at, and what is decided is written where it is desired.

Nothing is kept but in files: what was seen is in the log of looks, by which the next supervisor goes on.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeyard.serving import delayed_labels, serving_logs, version_counters
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from pipeyard.serving.supervisor import ServingStatus
from pipeyard.serving.wanted_models import DesiredModel
from rollout import decision, desired, log
from rollout.decision import Evidence
from rollout.errors import RolloutError
from rollout.observations import Counters, Window, between

_LOOK_SECONDS = 1.0
# A candidate that ends so often by itself, in a row, isn't waited for until the deadline.
_MOST_FAILURES = 4
_log = logging.getLogger(__name__)


@dataclass
class WatchedRollout:
    """A rollout under way.

    Attributes:
        begin: by which it is known again.
        before: what stable version and candidate had counted at the look before.
        weight: that the router gave the candidate then; None: another than was desired.
        last: the latest decision.
    """

    begin: log.Begin
    evidence: Evidence
    before: tuple[Counters | None, Counters | None] = (None, None)
    weight: int | None = None
    windows: tuple[Window, Window] | None = None
    last: decision.Decision | None = None


@dataclass(frozen=True)
class RolloutEdges:
    """What rollouts touch of the world: what a version at a port has counted, and the time in epoch seconds."""

    read: Callable[[int, float, float], Counters | None] = version_counters.read
    now: Callable[[], float] = time.time


class RolloutWatcher:
    """Looks at rollouts, in a thread of its own: a version that doesn't answer keeps nobody from routing around it."""

    def __init__(self, folder: ServingFolder, edges: RolloutEdges | None = None) -> None:
        self._folder = folder
        self._edges = edges or RolloutEdges()
        self._watched: dict[str, WatchedRollout] = {}
        self._seen: tuple[Sequence[DesiredModel], ServingStatus] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def see(self, models: Sequence[DesiredModel], status: ServingStatus) -> None:
        """Takes what the supervisor saw last."""
        self._seen = models, status

    def told(self) -> dict[str, WatchedRollout]:
        """Returns model to its rollout, of those under way."""
        return dict(self._watched)

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            if self._seen:
                try:
                    self.look(*self._seen)
                except Exception:  # pylint: disable=broad-exception-caught  # whom nobody looks at is never decided
                    _log.exception("a look at the rollouts failed; the next one comes")

    def look(self, models: Sequence[DesiredModel], status: ServingStatus) -> None:
        """Looks at each model that has a candidate, once."""
        for gone in set(self._watched) - {model.name for model in models if model.desired.candidate is not None}:
            del self._watched[gone]
        for model in models:
            if model.desired.candidate is not None and not model.problem:
                self._look_at(model, model.desired.candidate, status)

    def _look_at(self, model: DesiredModel, candidate: int, status: ServingStatus) -> None:
        state, now = model.desired, self._edges.now()
        rollout = self._rollout(model, candidate)
        weight = routed_weight(model, status)
        readings = tuple(self._read(ServedVersion(model.name, each), status, now) for each in (state.stable, candidate))
        # Of a second in which the shares changed nobody knows which of them it saw.
        steady = weight is not None and weight == rollout.weight
        windows = [
            between(
                before if steady else None,
                after,
                version=number,
                weight=state.weight,
                start=now - _LOOK_SECONDS,
                end=now,
            )
            for number, before, after in zip((state.stable, candidate), rollout.before, readings, strict=True)
        ]
        rollout.before, rollout.weight = (readings[0], readings[1]), weight
        rollout.windows = windows[0], windows[1]
        rollout.evidence.add(*rollout.windows)
        kept = delayed_labels.read(self._folder, rollout.begin)
        compared = kept.comparisons if kept else ()
        decided = decision.judge(rollout.evidence, state.staged_at, now, state.weight, compared)
        self._append(model.name, log.look_line(log.Look(now, state.weight, *rollout.windows, decided, compared)))
        failures = status.failures.get(str(ServedVersion(model.name, candidate)), 0)
        if failures >= _MOST_FAILURES:
            reason = f"version {candidate} has ended by itself {failures} times: see `pipeyard serve logs`"
            decided = decision.Decision(decision.ROLL_BACK, 0, [reason], decided.evidence)
        rollout.last = decided
        self._apply(model, candidate, decided, now)

    def _rollout(self, model: DesiredModel, candidate: int) -> WatchedRollout:
        """Returns the rollout under way: the one that is watched, else as the log has it, else a new one."""
        state = model.desired
        begin = log.Begin(model.name, state.stable, candidate, state.strategy, state.policy, state.staged_at)
        watched = self._watched.get(model.name)
        if watched and watched.begin == begin:
            return watched
        looks = self._logged(model.name, begin)
        if looks is None:
            path = self._folder.looks(model.name)
            if path.exists() and path.stat().st_size > serving_logs.MOST_BYTES:
                path.replace(path.with_name(f"{path.name}.1"))
            self._append(model.name, log.begin_line(begin))
        rollout = WatchedRollout(begin, Evidence(state.policy))
        for each in looks or ():
            rollout.evidence.add(each.stable, each.candidate)
        self._watched[model.name] = rollout
        return rollout

    def _logged(self, model: str, begin: log.Begin) -> Sequence[log.Look] | None:
        path = self._folder.looks(model)
        try:
            _mend(path)
            with path.open(encoding="utf-8") as stream:
                found = log.read(stream, str(path))
        except FileNotFoundError:
            return None
        except RolloutError as error:  # its look may be decided again, but what it had seen is lost
            _log.warning("%s", error)
            path.replace(path.with_name(f"{path.name}.1"))
            return None
        return found[-1].looks if found and found[-1].begin == begin else None

    def _append(self, model: str, line: str) -> None:
        path = self._folder.looks(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.write(line.encode())

    def _read(self, version: ServedVersion, status: ServingStatus, now: float) -> Counters | None:
        process = status.processes.get(str(version))
        return self._edges.read(process.ports[0], process.started, now) if process else None

    def _apply(self, model: DesiredModel, candidate: int, decided: decision.Decision, now: float) -> None:
        if decided.action == decision.HOLD:
            return

        def change(current: desired.Desired | None) -> desired.Desired:
            state = current or model.desired
            if decided.action == decision.ADVANCE:
                return desired.shift(state, candidate, decided.weight)
            end = desired.promote if decided.action == decision.PROMOTE else desired.roll_back
            return end(state, candidate, decided.reasons, now)

        _log.info("%s/%d: %s: %s", model.name, candidate, decided.action, "; ".join(decided.reasons))
        try:
            desired.update(self._folder.model(model.name), change)
        except RolloutError as error:  # somebody else was quicker
            _log.warning("%s", error)


def routed_weight(model: DesiredModel, status: ServingStatus) -> int | None:
    """Returns the percentage that the router gives the candidate now; None if that isn't what is desired."""
    route = status.routes.get(model.name)
    if not status.in_force or route is None:
        return None
    wanted = model.wanted
    if wanted.mirrored:
        return 0 if route.mirror == wanted.candidate else None
    shares = tuple((number, share) for number, share in wanted.shares.items() if share)
    return model.desired.weight if route.shares == shares else None


def _mend(path: Path) -> None:
    """Takes away half a line, which a supervisor that was killed may have left."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole)
