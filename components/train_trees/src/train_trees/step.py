"""The step: reads, tunes, grows trees, and writes all outputs at once."""

import argparse
import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import xgboost

from stepkit import modules, tasks, uris
from stepkit.errors import StepError
from train_trees import boosting, dataset, exported, parameters
from train_trees.parameters import Recipe
from trainkit import labels, missed, reading, served_inputs, writing
from trainkit.checkpoints import Checkpoints, name_of_run
from trainkit.outcome import Words
from trainkit.scorer import Scorer
from trainkit.transform_graph import TransformGraph

if TYPE_CHECKING:
    from trainkit import tuning

_TRAINING = "training.npz"
_TUNING = "tuning.zip"
_WORDS = Words("round", "rounds", "trees")


def run(args: argparse.Namespace) -> None:
    """Runs the step for the parsed flags.

    Raises:
        StepError: bad input; nothing is written then.
    """
    module = modules.load(args.module, args.module_uri, parameters.NAMES.functions(args))
    hyperparameters = parameters.NAMES.hyperparameters(module, args.hyperparameters)
    with (
        uris.local_copy(args.transformed_examples, "transformed examples") as examples_folder,
        uris.local_copy(args.transform_graph, "transform graph") as graph_folder,
        tempfile.TemporaryDirectory(prefix="train-trees-") as scratch,
    ):
        graph = TransformGraph(graph_folder)
        labels.check_spec(graph.transformed_spec, args.label_key, tasks.declared(module))
        splits = [reading.find_split(examples_folder, name) for name in (args.train_split, args.eval_split)]
        target = labels.find_target(module, splits[0], graph.transformed_spec, args.label_key)
        transform = graph.for_module(target)

        def recipe(chosen: dict[str, Any]) -> Recipe:
            return parameters.ask(module, transform, chosen, target)

        first = recipe(hyperparameters)  # for its errors, before the long work
        boosting.try_out(first, target)
        interface = served_inputs.find(graph, target, Scorer([each.name for each in first.columns], lambda _: None))
        sources = [_read(split, graph, first, target) for split in splits]
        labels.check_eval(target, (splits[0].name, set(sources[0].seen)), (splits[1].name, set(sources[1].seen)))
        forest = _Forest(args, recipe, first, target, sources, Path(scratch))
        checkpoints = Checkpoints.of_step(
            args, name_of_run(args, module, hyperparameters, examples_folder, graph_folder, "train_trees")
        )
        try:
            trials = []
            if args.tune_trials:
                trials = _tune(args, module, forest, checkpoints)
                hyperparameters = dict(trials[0].hyperparameters)
            state, booster = _train(args, hyperparameters, forest, checkpoints)
            _write(args, forest, interface, hyperparameters, state, booster, trials)
        except StepError:
            checkpoints.discard(_TRAINING, _TUNING)
            raise
        checkpoints.discard(_TRAINING, _TUNING)


@dataclass
class _Forest:
    """What trees are grown from, whatever the hyperparameters."""

    args: argparse.Namespace
    recipe: Callable[[dict[str, Any]], Recipe]
    first: Recipe
    target: labels.Target
    sources: list[dataset.Source]
    scratch: Path

    def __post_init__(self) -> None:
        self.matrices = functools.lru_cache(maxsize=1)(self._matrices)

    def grow(self, hyperparameters: dict[str, Any], rounds: int, **given: Any) -> tuple[boosting.State, Any]:
        """Trains from `given["state"]` on (see `boosting.fit`)."""
        recipe = self.recipe(hyperparameters)
        if recipe.columns != self.first.columns:
            raise StepError(
                f"{parameters.FUNCTION} chooses other features for the hyperparameters {hyperparameters!r}. Let it "
                "choose the same for all."
            )
        train, validation = self.matrices(recipe.max_bin)
        return boosting.fit(
            recipe.for_xgboost(self.target, self.args.seed),
            recipe.objective.metrics,
            train,
            validation,
            rounds=rounds,
            patience=self.args.early_stopping_patience,
            **given,
        )

    def _matrices(self, max_bin: int) -> tuple[xgboost.DMatrix, xgboost.DMatrix]:
        try:
            train = self.sources[0].matrix(max_bin, self.scratch)
            return train, self.sources[1].matrix(max_bin, self.scratch, like=train)
        except xgboost.core.XGBoostError as error:
            raise StepError(f"XGBoost can't take the transformed features: {boosting.cause(error)}") from error


def _read(split: reading.Split, graph: TransformGraph, recipe: Recipe, target: labels.Target) -> dataset.Source:
    _say(f"Reading the split {split.name}: {split.rows:,} rows, {len(recipe.columns):,} features")
    return dataset.open_split(split, graph.transformed_spec, recipe.columns, target)


def _tune(
    args: argparse.Namespace, module: ModuleType, forest: _Forest, checkpoints: Checkpoints
) -> list["tuning.Trial"]:
    from trainkit import tuning

    def fit(hyperparameters: dict[str, Any], rounds: int, saved: bytes | None) -> boosting.State:
        state = (saved and boosting.State.unpack(saved)) or boosting.State()
        return forest.grow(hyperparameters, rounds, state=state)[0]

    return tuning.search(
        tuning.Plan(
            named=parameters.NAMES.space,
            space=parameters.NAMES.search_space(module, args.hyperparameters),
            fit=fit,
            algorithm=args.tune_algorithm,
            trials=args.tune_trials,
            epochs=args.rounds,
            seed=args.seed,
            restore=lambda: checkpoints.load(_TUNING),
            keep=lambda content: checkpoints.save(_TUNING, content),
            say=_say,
        )
    )


def _train(
    args: argparse.Namespace, hyperparameters: dict[str, Any], forest: _Forest, checkpoints: Checkpoints
) -> tuple[boosting.State, Any]:
    saved = checkpoints.load(_TRAINING)
    state = (saved and boosting.State.unpack(saved)) or boosting.State()
    if state.history:
        _say(f"Resuming after round {len(state.history)}")

    def keep(so_far: boosting.State) -> None:
        checkpoints.save(_TRAINING, so_far.pack())

    return forest.grow(hyperparameters, args.rounds, state=state, keep=keep, say=_say)


def _write(
    args: argparse.Namespace,
    forest: _Forest,
    interface: served_inputs.Interface,
    hyperparameters: dict[str, Any],
    state: boosting.State,
    booster: xgboost.Booster,
    trials: list["tuning.Trial"],
) -> None:
    recipe, target = forest.recipe(hyperparameters), forest.target
    rounds = state.best_epoch + 1
    if target.task != tasks.REGRESSION:
        _, validation = forest.matrices(recipe.max_bin)
        scores = booster.predict(validation, iteration_range=(0, rounds))
        missed.warn(scores.reshape(len(scores), -1), forest.sources[1].seen, target, _say)
    _say("Exporting the model")
    model = exported.of_booster(booster, rounds, recipe, target.outputs)
    exported.check(model, booster, rounds, recipe, forest.sources[1].head())
    sizes = {"Trees": f"{len(model.ensemble.roots):,}", "Nodes": f"{len(model.ensemble.left):,}"}
    facts = writing.facts(target, (forest.sources[0].rows, forest.sources[1].rows), args.seed, sizes)
    result = writing.Result(model.scorer, state, hyperparameters, trials)
    writing.write(args, result, interface, target, facts, _WORDS)


def _say(line: str) -> None:
    print(line, flush=True)
