"""What can be known before a run: whether flags, the pipeline's module and the inputs that are there fit together."""

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from stepkit import modules, tasks, uris
from stepkit.errors import UsageError
from trainkit import labels, reading
from trainkit.hyperparameters import ModuleNames
from trainkit.transform_graph import TransformGraph

# Gets the module, what it learns of the transform graph, the hyperparameters, and the label.
Build = Callable[[ModuleType, Any, dict[str, Any], labels.Target], object]


def check(args: argparse.Namespace, names: ModuleNames, build: Build) -> None:
    """Checks the flags that are given; the others are at their defaults, or None.

    Args:
        names: what the module has.
        build: calls the module's function as the step will, for its errors.

    Raises:
        UsageError: the module is given twice.
        StepError: the step would fail.
    """
    if args.module and args.module_uri:
        raise UsageError("give the pipeline module by exactly one of --module and --module-uri")
    if not args.module and not args.module_uri:
        return  # it comes from another step
    module = modules.load(args.module, args.module_uri, names.functions(args))
    declared = tasks.declared(module)
    labels.class_weights(module, declared.task, declared.classes)
    hyperparameters = names.hyperparameters(module, args.hyperparameters)
    if not args.transform_graph or not args.label_key:
        return
    with uris.local_copy(args.transform_graph, "transform graph") as folder:
        graph = TransformGraph(folder)
        labels.check_spec(graph.transformed_spec, args.label_key, declared)
        if not args.transformed_examples:
            return
        with uris.local_copy(args.transformed_examples, "transformed examples") as examples_folder:
            splits = [reading.find_split(Path(examples_folder), name) for name in (args.train_split, args.eval_split)]
            target = labels.find_target(module, splits[0], graph.transformed_spec, args.label_key)
        build(module, graph.for_module(target), hyperparameters, target)
