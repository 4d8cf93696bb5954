"""Aliases of the model registry, moved when a rollout is decided: by deploy's program, in deploy's environment."""

import json
import logging
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from pipeyard.serving import served_processes
from pipeyard.serving.serving_folder import ServingFolder
from pipeyard.serving.start_options import StartOptions
from pipeyard.serving.wanted_models import DesiredModel
from pipeyard.system import files
from rollout.desired import Decided, Desired

_PAUSE_SECONDS = 0.5
# A registry that can't be reached is asked again after so long.
_AGAIN_SECONDS = 60.0
_LIMIT_SECONDS = 300.0
_MOST_TEXT = 500
_log = logging.getLogger(__name__)


class AliasMover:
    """Moves aliases, in a thread of its own; what is done is remembered in a file, so that it isn't done again."""

    def __init__(self, folder: ServingFolder, options: StartOptions) -> None:
        self._folder = folder
        self._options = options
        self._file = folder.logs / "aliases.json"
        self._models: Sequence[DesiredModel] = ()
        self._problems: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aliases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(_PAUSE_SECONDS)

    def see(self, models: Sequence[DesiredModel]) -> None:
        """Takes what is desired now."""
        self._models = models

    def problems(self) -> Mapping[str, str]:
        """Returns model to why its alias isn't moved yet."""
        return dict(self._problems)

    def _run(self) -> None:
        pause = _PAUSE_SECONDS
        while not self._stop.wait(pause):
            try:
                failed = [model.name for model in self._models if not self.settle(model)]
            except OSError:  # a full disk, say
                _log.exception("aliases can't be settled; it is tried again")
                failed = ["all"]
            pause = _AGAIN_SECONDS if failed else _PAUSE_SECONDS

    def settle(self, model: DesiredModel) -> bool:
        """Moves a model's aliases if a decision wants it and that isn't done; returns False if it couldn't be."""
        decided = undecided_alias(model.desired)
        if not self._options.promotion or decided is None or self._done().get(model.name) == _key(decided):
            return True
        problem = self._move(model)
        if problem:
            _log.error("the alias of %s isn't moved: %s", model.name, problem)
            self._problems[model.name] = problem
            return False
        self._problems.pop(model.name, None)
        self._folder.logs.mkdir(parents=True, exist_ok=True)
        files.write_whole(self._file, json.dumps({**self._done(), model.name: _key(decided)}))
        return True

    def _move(self, model: DesiredModel) -> str:
        command = [*self._options.promotion, *arguments(self._folder, model)]
        env = {
            **os.environ,
            **self._options.promotion_env,
            served_processes.FOLDER_VARIABLE: str(self._folder.path.resolve()),
        }
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return (done.stderr or f"exit code {done.returncode}").strip()[-_MOST_TEXT:] if done.returncode else ""

    def _done(self) -> dict[str, Any]:
        try:
            done = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return done if isinstance(done, dict) else {}


def undecided_alias(state: Desired) -> Decided | None:
    """Returns the decision by which an alias stands; None if no decision is, as a version was staged since."""
    decided = state.decided
    if not state.registry_uri or decided is None or decided.at < state.staged_at or state.candidate is not None:
        return None
    return decided


def arguments(folder: ServingFolder, model: DesiredModel) -> list[str]:
    """Returns the arguments of deploy's program, which reads the rest in `rollout.json`."""
    return ["--serving-uri", str(folder.path), "--model-name", model.name]


def _key(decided: Decided) -> list[Any]:
    return [decided.version, decided.action, decided.at]
