"""What can be known before a run: whether flags, the pipeline's module and the inputs that are there fit together."""

import argparse
import os
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported

# pylint: disable=wrong-import-position
import keras

from stepkit import modules, tasks, uris
from stepkit.errors import UsageError
from train import pipeline_model
from trainkit import labels, reading
from trainkit.hyperparameters import default_hyperparameters, merge_hyperparameters
from trainkit.transform_graph import TransformGraph


def functions(args: argparse.Namespace) -> list[str]:
    """Returns the functions that the pipeline's module has to define."""
    return ["build_model"] + (["hyperparameter_space"] if args.tune_trials else [])


def check(args: argparse.Namespace) -> None:
    """Checks the flags that are given; the others are at their defaults, or None.

    Raises:
        UsageError: the module is given twice.
        StepError: the step would fail.
    """
    if args.module and args.module_uri:
        raise UsageError("give the pipeline module by exactly one of --module and --module-uri")
    if not args.module and not args.module_uri:
        return  # it comes from another step
    module = modules.load(args.module, args.module_uri, functions(args))
    declared = tasks.declared(module)
    labels.class_weights(module, declared.task, declared.classes)
    defaults = default_hyperparameters(module)
    hyperparameters = merge_hyperparameters(defaults, args.hyperparameters)
    if args.transform_graph and args.label_key:
        with uris.local_copy(args.transform_graph, "transform graph") as folder:
            _check_inputs(args, module, declared, TransformGraph(folder), hyperparameters)


def _check_inputs(
    args: argparse.Namespace,
    module: ModuleType,
    declared: tasks.Declaration,
    graph: TransformGraph,
    hyperparameters: dict[str, Any],
) -> None:
    labels.check_spec(graph.transformed_spec, args.label_key, declared)
    if not args.transformed_examples:
        return
    with uris.local_copy(args.transformed_examples, "transformed examples") as folder:
        splits = [reading.find_split(Path(folder), name) for name in (args.train_split, args.eval_split)]
        target = labels.find_target(module, splits[0], graph.transformed_spec, args.label_key)
    keras.utils.set_random_seed(args.seed)
    pipeline_model.build(module, graph.for_module(target), hyperparameters, target.withheld)
