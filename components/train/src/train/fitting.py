"""Fitting a model: early stopping on the validation loss, and a state that training goes on from."""

import gc
import io
import json
import math
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stepkit.errors import StepError
from train.dataset import Source
from train.pipeline_model import input_names
from trainkit.course import DivergedError, Log

# Optimizer steps between two returns to Python: on small models the way there and back takes as long as a step. Workers
# return after each, because their exchange of gradients can't be in TensorFlow's loop.
STEPS_PER_EXECUTION = 32


@dataclass
class State:
    """Everything that training needs to go on as if it had never stopped.

    Attributes:
        history: metrics of each epoch so far; validation metrics start with `val_`.
        best_epoch: index of the epoch with the lowest validation loss; -1 before the first.
        stopped: early stopping has ended the training.
        variables: the model's (with random seeds) and the optimizer's after the last epoch.
        best: the model's after the best epoch.
    """

    history: list[Log] = field(default_factory=list)
    best_epoch: int = -1
    stopped: bool = False
    variables: list[np.ndarray] = field(default_factory=list)
    best: list[np.ndarray] = field(default_factory=list)

    def pack(self) -> bytes:
        """Returns the state as the bytes of an npz file."""
        meta = json.dumps({"history": self.history, "best_epoch": self.best_epoch, "stopped": self.stopped})
        arrays: dict[str, Any] = {f"variable{index}": value for index, value in enumerate(self.variables)}
        arrays |= {f"best{index}": value for index, value in enumerate(self.best)}
        target = io.BytesIO()
        np.savez(target, meta=np.array(meta), **arrays)
        return target.getvalue()

    @classmethod
    def unpack(cls, content: bytes) -> "State | None":
        """Reads what `pack` returned; None if it is damaged."""
        try:
            with np.load(io.BytesIO(content)) as arrays:
                meta = json.loads(str(arrays["meta"]))
                count = {kind: sum(name.startswith(kind) for name in arrays) for kind in ("variable", "best")}
                lists = {kind: [arrays[f"{kind}{index}"] for index in range(n)] for kind, n in count.items()}
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return cls(**meta, variables=lists["variable"], best=lists["best"])


def make_variables(model: keras.Model, source: Source) -> None:
    """Creates the variables of models that do so at their first call, and of the optimizer.

    Raises:
        StepError: the model can't take the features.
    """
    features, *_ = next(iter(source.batches(input_names(model))))
    try:
        model(features, training=False)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise StepError(f"The pipeline module's model can't take the transformed features: {cause(error)}") from error
    model.optimizer.build(model.trainable_variables)


def fit(
    model: keras.Model,
    train: Source,
    validation: Source,
    *,
    state: State,
    epochs: int,
    batch_rows: int,
    patience: int,
    seed: int,
    share: tuple[int, int] = (0, 1),
    after_epoch: Callable[[State], None] = lambda state: None,
    say: Callable[[str], None] = lambda line: None,
) -> State:
    """Trains from `state` until `epochs` have been done in all or the validation loss has stopped improving.

    Args:
        model: with its variables made; afterwards it has the weights of the best epoch.
        state: a new one, or that of an earlier call, whose variables the model takes over.
        share: this worker's index and how many workers there are.
        patience: epochs without a better validation loss after which to stop; 0: never.
        after_epoch: called with the state so far, to keep it.
        say: called with a line for people after each epoch.

    Returns:
        The state after the last epoch.

    Raises:
        DivergedError: a loss is NaN or infinite.
        StepError: Keras can't train the model on the features and the label.
    """
    if state.variables:
        _assign([*model.variables, *model.optimizer.variables], state.variables)
    done = len(state.history)
    if done < epochs and not state.stopped:
        if share[1] == 1 and model.steps_per_execution == 1 and not model.run_eagerly:
            model.steps_per_execution = STEPS_PER_EXECUTION
        try:
            model.fit(
                train.epochs(batch_rows, seed, lambda: len(state.history), share, input_names(model)),
                initial_epoch=done,
                epochs=epochs,
                validation_data=validation.batches(input_names(model)),
                shuffle=False,  # the dataset is shuffled already
                verbose=0,
                callbacks=[_Progress(state, epochs, patience, after_epoch, say)],
            )
        except DivergedError as error:
            raise _with_suspects(error, train) from None
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise StepError(f"Keras can't train the pipeline module's model: {cause(error)}") from error
    _assign(model.variables, state.best)
    # What fitting traced would stay in memory while the model is exported, 50 MB of it. Keras traces anew if need be.
    model.train_function = model.test_function = None
    gc.collect()
    return state


class _Progress(keras.callbacks.Callback):
    def __init__(
        self, state: State, epochs: int, patience: int, after_epoch: Callable[[State], None], say: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._state = state
        self._epochs = epochs
        self._patience = patience
        self._after_epoch = after_epoch
        self._say = say
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Log | None = None) -> None:
        del epoch, logs
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Log | None = None) -> None:
        log = {name: float(value) for name, value in (logs or {}).items()}
        for name, what in (("loss", "training"), ("val_loss", "validation")):
            if not math.isfinite(log[name]):
                raise DivergedError(
                    f"The {what} loss became {log[name]} in epoch {epoch + 1}. Lower the learning rate; "
                    "if that doesn't help, scale features that have large values."
                )
        state = self._state
        state.history.append(log)
        if state.best_epoch < 0 or log["val_loss"] < state.history[state.best_epoch]["val_loss"]:
            state.best_epoch = epoch
            state.best = [variable.numpy() for variable in self.model.variables]
        elif self._patience and epoch - state.best_epoch >= self._patience:
            state.stopped = True
            self.model.stop_training = True
        state.variables = [variable.numpy() for variable in [*self.model.variables, *self.model.optimizer.variables]]
        self._after_epoch(state)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in log.items())
        self._say(f"epoch {epoch + 1}/{self._epochs}: {shown} ({time.monotonic() - self._started:.1f} s)")


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _with_suspects(error: DivergedError, source: Source) -> DivergedError:
    """Names the features that can't but make a loss NaN, if there are any."""
    suspects: set[str] = set()
    for features, *_ in source.batches():
        for name, value in features.items():
            values = value.values if isinstance(value, tf.SparseTensor) else value
            if values.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(values))):
                suspects.add(name)
    if not suspects:
        return error
    problem = str(error).split(". ", maxsplit=1)[0]
    names = ", ".join(map(repr, sorted(suspects)))
    return DivergedError(
        f"{problem}: these features have NaN or infinite values: {names}. Fill them in preprocessing_fn."
    )


def cause(error: Exception) -> str:
    """Returns what an error says, shortened, with its type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:500]}"
