"""Growing trees: early stopping on the validation loss, and a state that training goes on from."""

import contextlib
import io
import json
import math
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xgboost

from stepkit import tasks
from stepkit.errors import StepError
from train_trees.columns import feature_types
from train_trees.objectives import Metric
from train_trees.parameters import Recipe
from trainkit.course import DivergedError, Log
from trainkit.labels import Target

# After so many rounds training begins anew from the trees so far, which are a checkpoint then. XGBoost has state that
# it doesn't save (what draws columns): only so does a run that was stopped go on as one that wasn't.
SEGMENT_ROUNDS = 100
# Lines for people: of the first round, and then of each so many.
_SAID_ROUNDS = 25
_TRAIN, _VALIDATION = "train", "val"
# What XGBoost's Python raises for values that it can't write down for its core.
_PYTHONS = (AttributeError, TypeError, ValueError)


@dataclass
class State:
    """Everything that training needs to go on as if it had never stopped.

    Attributes:
        history: metrics of each round so far; validation metrics start with `val_`.
        best_epoch: index of the round with the lowest validation loss; -1 before the first.
        stopped: early stopping has ended the training.
        model: all trees so far, in XGBoost's binary JSON.
    """

    history: list[Log] = field(default_factory=list)
    best_epoch: int = -1
    stopped: bool = False
    model: bytes = b""

    def pack(self) -> bytes:
        """Returns the state as the bytes of an npz file."""
        meta = json.dumps({"history": self.history, "best_epoch": self.best_epoch, "stopped": self.stopped})
        target = io.BytesIO()
        np.savez(target, meta=np.array(meta), model=np.frombuffer(self.model, np.uint8))
        return target.getvalue()

    @classmethod
    def unpack(cls, content: bytes) -> "State | None":
        """Reads what `pack` returned; None if it is damaged."""
        try:
            with np.load(io.BytesIO(content)) as arrays:
                return cls(**json.loads(str(arrays["meta"])), model=arrays["model"].tobytes())
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def try_out(recipe: Recipe, target: Target) -> None:
    """Grows one tree on made-up rows: what XGBoost refuses of its parameters is known before the data are read.

    Raises:
        StepError: it can't train with them.
    """
    types = feature_types(recipe.columns)
    classes = np.arange(2 * target.outputs) % max(2, target.outputs)
    several = target.task == tasks.MULTILABEL
    label = np.eye(target.outputs)[classes % target.outputs] if several else classes
    if target.task == tasks.REGRESSION:
        label = np.ones(len(classes))
    rows = xgboost.DMatrix(
        np.zeros((len(classes), len(types)), np.float32), label, feature_types=types, enable_categorical=True
    )
    with _refusing(*_PYTHONS):
        xgboost.Booster(recipe.for_xgboost(target, 0), [rows]).update(rows, 0)


def fit(
    parameters: Mapping[str, Any],
    metrics: Sequence[Metric],
    train: xgboost.DMatrix,
    validation: xgboost.DMatrix,
    *,
    state: State,
    rounds: int,
    patience: int,
    keep: Callable[[State], None] = lambda state: None,
    say: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[State, xgboost.Booster]:
    """Trains from `state` until `rounds` have been done in all or the validation loss has stopped improving.

    Args:
        patience: rounds without a better validation loss after which to stop; 0: never.
        keep: called with the state so far, every SEGMENT_ROUNDS.
        say: called with a line for people after some rounds.

    Returns:
        The state after the last round, and all its trees.

    Raises:
        DivergedError: a loss is NaN or infinite.
        StepError: XGBoost can't train with the parameters.
    """
    with _refusing():
        booster = _begin(parameters, train, validation, state)
        began = clock()
        while len(state.history) < rounds and not state.stopped:
            number = len(state.history)
            if number % SEGMENT_ROUNDS == 0 and number:
                state.model = bytes(booster.save_raw("ubj"))
                keep(state)
                booster = _begin(parameters, train, validation, state)
            booster.update(train, number)
            told = booster.eval_set([(train, _TRAIN), (validation, _VALIDATION)], number)
            state.history.append(_log(str(told), metrics))
            _judge(state, patience)
            if number % _SAID_ROUNDS == 0 or state.stopped or number + 1 == rounds:
                shown = ", ".join(f"{name} {value:.4f}" for name, value in state.history[-1].items())
                say(f"round {number + 1}/{rounds}: {shown} ({clock() - began:.1f} s)")
    state.model = bytes(booster.save_raw("ubj"))
    return state, booster


@contextlib.contextmanager
def _refusing(*more: type[Exception]) -> Iterator[None]:
    refusals: tuple[type[Exception], ...] = (xgboost.core.XGBoostError, *more)
    try:
        yield
    except refusals as error:
        raise StepError(f"XGBoost can't train with what tree_parameters gives: {cause(error)}") from error


def _begin(
    parameters: Mapping[str, Any], train: xgboost.DMatrix, validation: xgboost.DMatrix, state: State
) -> xgboost.Booster:
    model = bytearray(state.model) if state.model else None
    return xgboost.Booster(dict(parameters), [train, validation], model_file=model)


def _log(told: str, metrics: Sequence[Metric]) -> Log:
    """Reads XGBoost's `[0]  train-logloss:0.6  val-logloss:0.7`."""
    values = {}
    for part in told.split("\t")[1:]:
        name, _, value = part.rpartition(":")
        values[name] = float(value)
    log: Log = {}
    for run, prefix in ((_TRAIN, ""), (_VALIDATION, "val_")):
        log |= {prefix + each.name: each.converted(values[f"{run}-{each.evaluated}"]) for each in metrics}
    return log


def _judge(state: State, patience: int) -> None:
    log, number = state.history[-1], len(state.history) - 1
    for name, what in (("loss", "training"), ("val_loss", "validation")):
        if not math.isfinite(log[name]):
            raise DivergedError(
                f"The {what} loss became {log[name]} in round {number + 1}. Lower eta, or check the label's values."
            )
    if state.best_epoch < 0 or log["val_loss"] < state.history[state.best_epoch]["val_loss"]:
        state.best_epoch = number
    elif patience and number - state.best_epoch >= patience:
        state.stopped = True


def cause(error: Exception) -> str:
    """Returns what XGBoost says, without its time, its place in C++ and the stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = next((line for line in lines if not line.startswith("Stack trace")), "unknown")
    return first.partition("] ")[2].partition(": ")[2] or first
