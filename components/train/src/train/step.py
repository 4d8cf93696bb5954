"""The step: reads, tunes, trains, and writes all outputs at once."""

import argparse
import errno
import gc
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported

# pylint: disable=wrong-import-position
import keras
import tensorflow as tf

from stepkit import modules, tasks, uris
from stepkit.errors import StepError
from train import cluster, dataset, fitting, pipeline_model, scoring, trial_batch
from trainkit import labels, reading, served_inputs, writing
from trainkit.checkpoints import Checkpoints, name_of_run
from trainkit.transform_graph import TransformGraph

if TYPE_CHECKING:
    from trainkit import tuning

# Keras collects garbage for every model that is built; with the libraries' own objects that takes 0.3 s each time.
gc.freeze()

_TRAINING = "training.npz"
_TUNING = "tuning.zip"


def run(args: argparse.Namespace) -> None:
    """Runs the step for the parsed flags.

    Raises:
        StepError: bad input; nothing is written then.
    """
    workers = cluster.join()
    if workers.workers > 1 and args.tune_trials:
        raise StepError(
            "Tuning runs on one worker. Tune without TF_CONFIG first, then give what it found as --hyperparameters."
        )
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(args.seed)
    module = modules.load(args.module, args.module_uri, pipeline_model.NAMES.functions(args))
    hyperparameters = pipeline_model.NAMES.hyperparameters(module, args.hyperparameters)
    with (
        uris.local_copy(args.transformed_examples, "transformed examples") as examples_folder,
        uris.local_copy(args.transform_graph, "transform graph") as graph_folder,
    ):
        graph = TransformGraph(graph_folder)
        labels.check_spec(graph.transformed_spec, args.label_key, tasks.declared(module))
        splits = [reading.find_split(examples_folder, name) for name in (args.train_split, args.eval_split)]
        target = labels.find_target(module, splits[0], graph.transformed_spec, args.label_key)
        transform = graph.for_module(target)

        def build(chosen: dict[str, Any]) -> keras.Model:
            keras.backend.clear_session()
            keras.utils.set_random_seed(args.seed)
            return pipeline_model.build(module, transform, chosen, target.withheld)

        tried = build(hyperparameters)  # for its errors, before the long work
        checkpoints = Checkpoints.of_step(
            args,
            name_of_run(args, module, hyperparameters, examples_folder, graph_folder, "train", workers.workers),
        )
        sources = [_read(split, graph, target) for split in splits]
        labels.check_eval(target, (splits[0].name, sources[0].seen), (splits[1].name, sources[1].seen))
        _say("Trying the model on one batch")
        trial_batch.check(tried, sources[0], target, args.batch_size)
        interface = served_inputs.find(graph, target, scoring.of_model(tried))
        del tried
        try:
            trials = []
            if args.tune_trials:
                trials = _tune(args, module, build, sources, checkpoints)
                hyperparameters = dict(trials[0].hyperparameters)
            model = build(hyperparameters)
            state = _train(args, model, sources, checkpoints, workers)
            if workers.chief:
                try:
                    trial_batch.never_predicted(model, sources[1], target, _say)
                    _say("Exporting the model")
                    result = writing.Result(scoring.of_model(model), state, hyperparameters, trials)
                    rows = (sources[0].rows, sources[1].rows)
                    facts = writing.facts(target, rows, args.seed, {"Weights": f"{model.count_params():,}"})
                    writing.write(args, result, interface, target, facts)
                except tf.errors.ResourceExhaustedError as error:  # what TensorFlow makes of a full disk
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), args.model) from error
        except StepError:
            checkpoints.discard(_TRAINING, _TUNING)
            raise
        if workers.chief:
            checkpoints.discard(_TRAINING, _TUNING)


def _read(split: reading.Split, graph: TransformGraph, target: labels.Target) -> dataset.Source:
    _say(f"Reading the split {split.name}: {split.rows:,} rows, {len(graph.transformed_spec):,} features")
    return dataset.open_split(split, graph.transformed_spec, target)


def _tune(
    args: argparse.Namespace,
    module: Any,
    build: Callable[[dict[str, Any]], keras.Model],
    sources: list[dataset.Source],
    checkpoints: Checkpoints,
) -> list["tuning.Trial"]:
    from trainkit import tuning

    def fit(hyperparameters: dict[str, Any], epochs: int, saved: bytes | None) -> fitting.State:
        model = build(hyperparameters)
        fitting.make_variables(model, sources[0])
        return fitting.fit(
            model,
            *sources,
            state=(saved and fitting.State.unpack(saved)) or fitting.State(),
            epochs=epochs,
            batch_rows=args.batch_size,
            patience=args.early_stopping_patience,
            seed=args.seed,
        )

    return tuning.search(
        tuning.Plan(
            named=pipeline_model.NAMES.space,
            space=pipeline_model.NAMES.search_space(module, args.hyperparameters),
            fit=fit,
            algorithm=args.tune_algorithm,
            trials=args.tune_trials,
            epochs=args.epochs,
            seed=args.seed,
            restore=lambda: checkpoints.load(_TUNING),
            keep=lambda content: checkpoints.save(_TUNING, content),
            say=_say,
        )
    )


def _train(
    args: argparse.Namespace,
    model: keras.Model,
    sources: list[dataset.Source],
    checkpoints: Checkpoints,
    workers: cluster.Cluster,
) -> fitting.State:
    train, validation = sources
    fitting.make_variables(model, train)
    saved = checkpoints.load(_TRAINING)
    state = (saved and fitting.State.unpack(saved)) or fitting.State()
    if state.history:
        _say(f"Resuming after epoch {len(state.history)}")
    workers.agree(len(state.history))
    workers.synchronise(model)

    def keep(so_far: fitting.State) -> None:
        if workers.chief:
            checkpoints.save(_TRAINING, so_far.pack())

    return fitting.fit(
        model,
        train,
        validation,
        state=state,
        epochs=args.epochs,
        batch_rows=args.batch_size,
        patience=args.early_stopping_patience,
        seed=args.seed,
        share=(workers.index, workers.workers),
        after_epoch=keep,
        say=_say,
    )


def _say(line: str) -> None:
    print(line, flush=True)
