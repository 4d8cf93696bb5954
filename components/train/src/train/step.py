"""The step: reads, tunes, trains, and writes all outputs at once."""

import argparse
import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before TensorFlow is imported: Keras's backend, and no log lines about CPU features.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# pylint: disable=wrong-import-position
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from stepkit import digest, examples, modules, uris  # noqa: E402
from stepkit.errors import StepError  # noqa: E402
from stepkit.outputs import Outputs  # noqa: E402

from train import dataset, export, fitting, outcome, pipeline_model  # noqa: E402
from train.checkpoints import Checkpoints, fingerprint  # noqa: E402
from train.transform_graph import TransformGraph  # noqa: E402

_TRAINING = "training.npz"
_TUNING = "tuning.tar"


def run(args: argparse.Namespace) -> None:
    """Runs the step for the parsed flags.

    Raises:
        StepError: bad input; nothing is written then.
    """
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(args.seed)
    required = ["build_model"] + (["hyperparameter_space"] if args.tune_trials else [])
    module = modules.load(args.module, args.module_uri, required)
    defaults = pipeline_model.default_hyperparameters(module)
    hyperparameters = pipeline_model.merge_hyperparameters(defaults, args.hyperparameters)
    with _inputs(args) as (examples_folder, graph_folder):
        graph = TransformGraph(graph_folder)
        transform = graph.for_module(args.label_key)
        train = dataset.read_split(examples_folder, args.train_split)
        validation = dataset.read_split(examples_folder, args.eval_split)
        model = _seeded_model(args.seed, module, transform, hyperparameters)  # its errors come before the long work
        checkpoints = _checkpoints(args, module, hyperparameters, examples_folder, graph_folder)
        sources = [dataset.open_split(split, graph.transformed_spec, args.label_key) for split in (train, validation)]
        try:
            state = _train(args, model, sources, checkpoints)
            _write(args, model, graph, state, hyperparameters, sources)
        except StepError:
            checkpoints.discard(_TRAINING, _TUNING)
            raise
        checkpoints.discard(_TRAINING, _TUNING)


@contextlib.contextmanager
def _inputs(args: argparse.Namespace) -> Iterator[tuple[Path, Path]]:
    with (
        uris.local_copy(args.transformed_examples, "transformed examples") as examples_folder,
        uris.local_copy(args.transform_graph, "transform graph") as graph_folder,
    ):
        yield examples_folder, graph_folder


def _seeded_model(seed: int, module: Any, transform: Any, hyperparameters: dict[str, Any]) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return pipeline_model.build(module, transform, hyperparameters)


def _checkpoints(
    args: argparse.Namespace, module: Any, hyperparameters: dict[str, Any], examples_folder: Path, graph_folder: Path
) -> Checkpoints:
    run_name = fingerprint(
        examples=digest.of_file(examples_folder / examples.MANIFEST),  # which has the digest of every file
        transform_graph=digest.of_tree(graph_folder),
        module=hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest(),
        hyperparameters=hyperparameters,
        versions=[tf.__version__, keras.__version__],
        **{
            flag: getattr(args, flag)
            for flag in (
                "label_key epochs batch_size early_stopping_patience tune_trials tune_algorithm train_split eval_split seed"
            ).split()
        },
    )
    folder = args.checkpoint_uri or f"{args.model.rstrip('/')}.checkpoints"
    return Checkpoints(folder, run_name, private=not args.checkpoint_uri)


def _train(
    args: argparse.Namespace, model: keras.Model, sources: list[dataset.Source], checkpoints: Checkpoints
) -> fitting.State:
    train, validation = sources
    fitting.make_variables(model, train)
    saved = checkpoints.load(_TRAINING)
    state = (saved and fitting.State.unpack(saved)) or fitting.State()
    if state.history:
        print(f"Resuming after epoch {len(state.history)}", flush=True)
    return fitting.fit(
        model,
        train,
        validation,
        state=state,
        epochs=args.epochs,
        batch_rows=args.batch_size,
        patience=args.early_stopping_patience,
        seed=args.seed,
        after_epoch=lambda so_far: checkpoints.save(_TRAINING, so_far.pack()),
        say=lambda line: print(line, flush=True),
    )


def _write(
    args: argparse.Namespace,
    model: keras.Model,
    graph: TransformGraph,
    state: fitting.State,
    hyperparameters: dict[str, Any],
    sources: list[dataset.Source],
) -> None:
    facts = {
        "Examples": f"{sources[0].rows:,} to train, {sources[1].rows:,} to validate",
        "Weights": f"{model.count_params():,}",
        "Label": args.label_key,
        "Seed": str(args.seed),
    }
    with Outputs(args.executor_input) as outputs:
        export.save(model, graph, args.label_key, outputs.directory(args.model))
        outcome.write_tensorboard(outputs.directory(args.tensorboard_logs), state)
        outputs.file(args.report).write_text(outcome.render(state, hyperparameters, facts, []), encoding="utf-8")
        outputs.file(args.best_hyperparameters).write_text(json.dumps(hyperparameters, indent=2), encoding="utf-8")
        outputs.file(args.metrics).write_text(json.dumps(outcome.metrics(state), indent=2), encoding="utf-8")
        outputs.metadata("metrics", outcome.shown_metrics(state))
