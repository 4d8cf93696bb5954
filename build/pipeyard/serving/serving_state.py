"""What is served now, as `pipeyard serve status` and the operators' page tell of it."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pipeyard.serving.decisions import WatchedRollout
from pipeyard.serving.served_processes import ROUTER
from pipeyard.serving.serving_folder import ServedVersion, ServingFolder
from pipeyard.serving.start_options import StartOptions
from pipeyard.serving.supervisor import ServingStatus
from pipeyard.serving.wanted_models import DesiredModel
from pipeyard.system import files
from rollout.observations import Window, quantile, total

_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class StateWriter:
    """Writes the state when it has changed."""

    def __init__(self, folder: ServingFolder, options: StartOptions) -> None:
        self._folder = folder
        self._options = options
        self._state: dict[str, Any] = {}

    def latest(self) -> dict[str, Any]:
        """Returns what was written last."""
        return self._state

    def write(
        self,
        models: Sequence[DesiredModel],
        status: ServingStatus,
        rollouts: Mapping[str, WatchedRollout],
        problems: Mapping[str, str],
    ) -> None:
        """Writes what there is now.

        Raises:
            OSError: it can't be written.
        """
        state = {
            "url": self._options.url,
            "operators_url": self._options.operators_url,
            "supervisor": {"pid": os.getpid()},
            "router": _process(ROUTER, status),
            "models": {
                model.name: _model(model, status, rollouts.get(model.name), problems.get(model.name, ""))
                for model in models
            },
        }
        if state != self._state:
            files.write_whole(self._folder.state, json.dumps(state, indent=2), synced=False)
            self._state = state


def read(folder: ServingFolder) -> dict[str, Any]:
    """Returns the state that was written last; nothing if nothing is served."""
    try:
        found = json.loads(folder.state.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_settled(state: Mapping[str, Any]) -> bool:
    """Whether each model's stable version answers by the router."""
    return bool(state) and all(
        model["in_force"] and model["versions"].get(str(model["stable"]), {}).get("healthy")
        for model in state["models"].values()
    )


def remove(folder: ServingFolder) -> None:
    """Removes what is the supervisor's, but logs, and the folders that are empty then."""
    for file in (folder.start, folder.state, folder.token):
        file.unlink(missing_ok=True)
    shutil.rmtree(folder.router, ignore_errors=True)
    files.sweep(folder.own)
    folder.lock.unlink(missing_ok=True)
    for empty in (folder.logs, folder.own):
        with contextlib.suppress(OSError):
            empty.rmdir()


def _model(model: DesiredModel, status: ServingStatus, rollout: WatchedRollout | None, problem: str) -> dict[str, Any]:
    state = model.desired
    route = status.routes.get(model.name)
    numbers = sorted({*model.wanted.versions, *(route.versions if route else ())})
    shares = dict(route.shares) if route else {}
    decided = state.decided
    return {
        "strategy": state.strategy,
        "stable": state.stable,
        "candidate": state.candidate,
        "weight": state.weight,
        "revision": state.revision,
        "in_force": status.in_force,
        "versions": {
            str(number): {
                **_process(str(ServedVersion(model.name, number)), status),
                "healthy": ServedVersion(model.name, number) in status.healthy,
                "share": shares.get(number, 0),
                "mirrored": bool(route and route.mirror == number),
            }
            for number in numbers
        },
        "rollout": _rollout(rollout) if rollout else None,
        "decided": {
            "version": decided.version,
            "action": decided.action,
            "reasons": list(decided.reasons),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(decided.at)),
        }
        if decided
        else None,
        "problems": [text for text in (model.problem, problem) if text],
    }


def _process(role: str, status: ServingStatus) -> dict[str, Any]:
    process = status.processes.get(role)
    found: dict[str, Any] = {"alive": process is not None, "failures": status.failures.get(role, 0)}
    if process:
        found |= {"pid": process.pid, "port": process.ports[0], "started": round(process.started, 2)}
    return found


def _rollout(rollout: WatchedRollout) -> dict[str, Any]:
    last, windows = rollout.last, rollout.windows
    return {
        "action": last.action if last else "",
        "reasons": list(last.reasons) if last else [],
        "requests": list(rollout.evidence.requests),
        "errors": list(rollout.evidence.errors),
        "now": [_rates(window) for window in windows] if windows else [],
    }


def _rates(window: Window) -> dict[str, Any]:
    seconds = max(window.end - window.start, 1e-9)
    known = window.alive and total(window.latency)
    return {
        "version": window.version,
        "requests_a_second": round(window.requests / seconds, 1),
        "errors_a_second": round(window.errors / seconds, 2),
        **{
            name: round(1000 * quantile(window.latency, share), 2) if known else None
            for name, share in _PERCENTILES.items()
        },
    }
