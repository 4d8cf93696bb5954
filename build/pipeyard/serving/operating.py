"""What operators do: promote a candidate, roll it back. It is written where it is desired; the supervisor follows."""

import time
from collections.abc import Callable

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.serving.serving_folder import ServingFolder
from rollout import desired
from rollout.errors import RolloutError

# What the supervisor does where it serves a model itself.
NEXT = "Tell it: components/deploy/.venv/bin/python -m deploy.promotion --serving-uri {uri} --model-name {model}"


def promote(folder: ServingFolder, model: str, version: int | None, reason: str) -> desired.Desired:
    """Gives a model's candidate all traffic.

    Args:
        version: the candidate that is meant; None: the one that there is.

    Raises:
        PipeyardError: there is no such model, no candidate, or another one.
    """
    return _decide(folder, model, version, reason, desired.promote)


def roll_back(folder: ServingFolder, model: str, version: int | None, reason: str) -> desired.Desired:
    """Gives a model's stable version all traffic; see `promote`."""
    return _decide(folder, model, version, reason, desired.roll_back)


def _decide(
    folder: ServingFolder, model: str, version: int | None, reason: str, decide: Callable[..., desired.Desired]
) -> desired.Desired:
    models = folder.models()
    if model not in models:
        raise PipeyardError(f"No model {model!r} is in {folder.path}. {near_misses(model, models)}")

    def change(current: desired.Desired | None) -> desired.Desired:
        if current is None or (version is None and current.candidate is None):
            told = desired.describe(current) if current else "nothing is tried"
            raise RolloutError(f"{model} has no candidate: {told}. Deploy a version with strategy canary or shadow.")
        return decide(current, current.candidate if version is None else version, [reason], time.time())

    try:
        return desired.update(folder.model(model), change)
    except RolloutError as error:
        raise PipeyardError(str(error)) from error
