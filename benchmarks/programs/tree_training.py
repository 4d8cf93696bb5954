"""Seconds of growing so many trees on flights' transformed examples, by who does it. Runs in train_trees' environment.

Prints {"train_s": ...}: imports apart.

    step     train_trees, from its flags to all outputs
    disk     the same, with splits taken for larger than memory's share
    xgboost  XGBoost itself, from arrays in a file: the same matrices, parameters, seed and learning curves
"""

import argparse
import functools
import json
import time
from pathlib import Path

import numpy as np
import xgboost
from train_trees import dataset, parameters
from train_trees import step as train_trees_step
from train_trees.cli import build_parser
from train_trees.columns import feature_types, to_matrix

from stepkit import modules
from trainkit import reading
from trainkit.labels import find_target
from trainkit.transform_graph import TransformGraph

SPLITS = ("train", "eval")


def plan(args: argparse.Namespace) -> tuple[dict, list[str], list[tuple[np.ndarray, np.ndarray]]]:
    """Returns XGBoost's parameters, the columns' types, and each split's values and labels, as the step has them."""
    module = modules.load(args.module, "", [parameters.FUNCTION])
    graph = TransformGraph(Path(args.transform_graph))
    splits = [reading.find_split(Path(args.transformed_examples), name) for name in SPLITS]
    target = find_target(module, splits[0], graph.transformed_spec, args.label_key)
    chosen = parameters.NAMES.hyperparameters(module, {})
    recipe = parameters.ask(module, graph.for_module(target), chosen, target)
    arrays = []
    for split in splits:
        source = dataset.open_split(split, graph.transformed_spec, recipe.columns, target)
        rows = source.cache.read([0])
        arrays.append((to_matrix(rows, recipe.columns), rows.column(args.label_key).to_numpy().astype(np.float32)))
    return recipe.for_xgboost(target, args.seed), feature_types(recipe.columns), arrays


def alone(args: argparse.Namespace, folder: Path) -> float:
    """Returns XGBoost's seconds; the arrays are written beforehand."""
    given, types, arrays = plan(args)
    for name, (values, label) in zip(SPLITS, arrays, strict=True):
        np.savez(folder / f"{name}.npz", values=values, label=label)
    del arrays
    began = time.perf_counter()
    matrices: list[xgboost.DMatrix] = []
    for name in SPLITS:
        with np.load(folder / f"{name}.npz") as stored:
            matrices.append(
                xgboost.QuantileDMatrix(
                    stored["values"],
                    stored["label"],
                    feature_types=types,
                    enable_categorical=True,
                    ref=matrices[0] if matrices else None,
                )
            )
    watched = list(zip(matrices, SPLITS, strict=True))
    booster = xgboost.train(given, matrices[0], args.rounds, evals=watched, verbose_eval=False)
    booster.save_model(folder / "model.ubj")
    return time.perf_counter() - began


def main() -> None:
    """Trains and prints. Flags are the step's, after who does it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("feed", choices=("step", "disk", "xgboost"))
    feed, given = parser.parse_known_args()
    args = build_parser().parse_args(given)
    if feed.feed == "xgboost":
        seconds = alone(args, Path.cwd())
    else:
        if feed.feed == "disk":
            dataset.open_split = functools.partial(dataset.open_split, budget=0)
        began = time.perf_counter()
        train_trees_step.run(args)
        seconds = time.perf_counter() - began
    print(json.dumps({"train_s": seconds}))


if __name__ == "__main__":
    main()
