"""The search for hyperparameters: Keras Tuner's oracles choose, our own fitting runs the trials."""

import io
import json
import math
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from stepkit.errors import StepError
from trainkit.course import Course, DivergedError

_OBJECTIVE = keras_tuner.Objective("val_loss", "min")
_PROJECT = "search"
_COMPLETED = "COMPLETED"
_RESULT = "result.json"
_STATE = "state.npz"


@dataclass(frozen=True)
class Trial:
    """A trial as the report shows it.

    Attributes:
        values: what the oracle chose.
        hyperparameters: what the model was built with.
        val_loss: lowest validation loss; None if the trial diverged.
        epochs: epochs trained in all.
        outcome: `completed`, or why not.
    """

    name: str
    values: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    val_loss: float | None
    epochs: int
    outcome: str


@dataclass(frozen=True)
class Plan:
    """What a search needs.

    Attributes:
        named: the module's function that chooses a trial's hyperparameters.
        space: that function merged with what is fixed.
        fit: trains with hyperparameters until so many epochs have been done in all; goes on from what the course of an
            earlier training packed, if that is given.
        algorithm: `random`, `bayesian` or `hyperband`.
        trials: most trials.
        restore: returns what `keep` was last called with, or None.
        keep: called with the search so far after each trial.
    """

    named: str
    space: Callable[[Any], dict[str, Any]]
    fit: Callable[[dict[str, Any], int, bytes | None], Course]
    algorithm: str
    trials: int
    epochs: int
    seed: int
    restore: Callable[[], bytes | None]
    keep: Callable[[bytes], None]
    say: Callable[[str], None]


def search(plan: Plan) -> list[Trial]:
    """Runs the trials that haven't been run yet.

    Returns:
        All trials, best first.

    Raises:
        StepError: no trial ended with a finite loss, or a trial's model can't be trained.
    """
    with tempfile.TemporaryDirectory(prefix="train-tuning-") as name:
        folder = Path(name)
        saved = plan.restore()
        if saved:
            with zipfile.ZipFile(io.BytesIO(saved)) as archive:
                archive.extractall(folder)
        tuner = _Tuner(plan, folder)
        try:
            tuner.search()
        except keras_tuner.errors.FatalError as error:
            if error.__cause__ is None:
                raise
            raise error.__cause__ from error
        trials = tuner.trials()
    if not trials or trials[0].val_loss is None:
        raise StepError(
            f"None of {len(trials)} tuning trials ended with a finite loss. "
            f"Narrow {plan.named} to lower learning rates."
        )
    return trials


def _oracle(plan: Plan) -> keras_tuner.Oracle:
    shared = {
        "objective": _OBJECTIVE,
        "seed": plan.seed + 1,  # 0 would mean: any
        "max_consecutive_failed_trials": plan.trials + 1,
    }
    if plan.algorithm == "hyperband":
        oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=plan.epochs, hyperband_iterations=None, **shared)
        oracle.max_trials = plan.trials
        return oracle
    if plan.algorithm == "random":
        return keras_tuner.oracles.RandomSearchOracle(max_trials=plan.trials, **shared)
    # Keras Tuner would start with three random trials a dimension, which is more than most searches have.
    first = max(2, plan.trials // 3)
    return keras_tuner.oracles.BayesianOptimizationOracle(max_trials=plan.trials, num_initial_points=first, **shared)


class _Space(keras_tuner.HyperModel):
    """What BaseTuner calls to find out which hyperparameters there are."""

    def __init__(self, space: Callable[[Any], dict[str, Any]]) -> None:
        super().__init__()
        self._space = space

    def build(self, hp: Any) -> None:
        self._space(hp)


class _Tuner(BaseTuner):
    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        super().__init__(_oracle(plan), _Space(plan.space), directory=str(folder), project_name=_PROJECT)
        self.oracle.verbose = 0

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        del args, kwargs
        try:
            state = self._fit(trial)
        except DivergedError:
            return {_OBJECTIVE.name: math.nan}  # Keras Tuner's mark of a trial that counts, but can't be the best
        except Exception as error:
            # Keras Tuner would go on with the next trial after any other exception.
            raise keras_tuner.errors.FatalError(str(error)) from error
        return {_OBJECTIVE.name: state.history[state.best_epoch]["val_loss"]}

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path in sorted((self._folder / _PROJECT).rglob("*")):
                archive.write(path, path.relative_to(self._folder))
        self._plan.keep(content.getvalue())
        score = "diverged" if trial.status != _COMPLETED else f"val_loss {trial.score:.4f}"
        chosen = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in _chosen(trial).items()
        )
        self._plan.say(f"trial {len(self.oracle.end_order)}/{self._plan.trials}: {score} ({chosen})")

    def trials(self) -> list[Trial]:
        listed = [self._describe(trial) for trial in self.oracle.trials.values()]
        return sorted(listed, key=lambda trial: (trial.val_loss is None, trial.val_loss or 0.0, trial.name))

    def _fit(self, trial: Any) -> Course:
        plan, chosen = self._plan, trial.hyperparameters
        hyperparameters = plan.space(chosen)
        # Hyperband lets promising trials go on: those name the trial to continue and the epochs to reach.
        parent = chosen.values.get("tuner/trial_id")
        saved = (self._dir(parent) / _STATE).read_bytes() if parent else None
        state = plan.fit(hyperparameters, chosen.values.get("tuner/epochs", plan.epochs), saved)
        if plan.algorithm == "hyperband":
            (self._dir(trial.trial_id) / _STATE).write_bytes(state.pack())
        result = {"hyperparameters": hyperparameters, "epochs": len(state.history)}
        (self._dir(trial.trial_id) / _RESULT).write_text(json.dumps(result), encoding="utf-8")
        return state

    def _describe(self, trial: Any) -> Trial:
        path = self._dir(trial.trial_id) / _RESULT
        result: dict[str, Any] = (
            json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"hyperparameters": {}, "epochs": 0}
        )
        completed = trial.status == _COMPLETED
        return Trial(
            name=trial.trial_id,
            values=_chosen(trial),
            hyperparameters=result["hyperparameters"],
            val_loss=trial.score if completed else None,
            epochs=result["epochs"],
            outcome="completed" if completed else "diverged",
        )

    def _dir(self, trial_id: str) -> Path:
        return Path(self.get_trial_dir(trial_id))


def _chosen(trial: Any) -> dict[str, Any]:
    return {name: value for name, value in trial.hyperparameters.values.items() if not name.startswith("tuner/")}
