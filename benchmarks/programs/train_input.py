"""Steps a second of fitting the flights model, by where its batches come from. Runs in train's environment.

Prints {"steps_per_s": ...} over all epochs but the first, in which TensorFlow traces the model.
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported

# pylint: disable=wrong-import-position
import keras
import tensorflow as tf
from train import dataset, fitting, pipeline_model

from stepkit import modules
from trainkit import reading
from trainkit.hyperparameters import default_hyperparameters
from trainkit.labels import find_target
from trainkit.transform_graph import TransformGraph


class _Clock(keras.callbacks.Callback):
    # pylint: disable=unused-argument
    def __init__(self) -> None:
        super().__init__()
        self.steps, self.seconds, self._began = 0, 0.0, 0.0

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None) -> None:
        if epoch:
            self.seconds += time.perf_counter() - self._began
            self.steps += self.params["steps"]


def _tensors(source: dataset.Source, batch_rows: int, names: list[str]) -> tf.data.Dataset:
    """The batches of one epoch, made beforehand and kept as tensors; the last, smaller one is left out."""
    batches = list(source.epochs(batch_rows, 1, lambda: 0, features=names).take(source.rows // batch_rows))
    features = {name: tf.stack([each[name] for each, _ in batches]) for name in names}
    labels = tf.stack([label for _, label in batches])
    return tf.data.Dataset.from_tensor_slices((features, labels)).prefetch(tf.data.AUTOTUNE)


def main() -> None:
    """Fits and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transformed-examples", type=Path, required=True)
    parser.add_argument("--transform-graph", type=Path, required=True)
    parser.add_argument("--module", required=True)
    parser.add_argument("--label-key", required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--feed", choices=("memory", "disk", "tensors", "arrays"), required=True)
    args = parser.parse_args()
    tf.config.experimental.enable_op_determinism()  # as the step does
    keras.utils.set_random_seed(1)
    module = modules.load(args.module, "", ["build_model"])
    graph = TransformGraph(args.transform_graph)
    split = reading.find_split(args.transformed_examples, "train")
    target = find_target(module, split, graph.transformed_spec, args.label_key)
    model = pipeline_model.build(module, graph.for_module(target), default_hyperparameters(module))
    # Train's fit runs several steps a call; so does every side here, or more than the feeding would differ.
    model.steps_per_execution = fitting.STEPS_PER_EXECUTION
    names = pipeline_model.input_names(model)
    budget = 0 if args.feed == "disk" else dataset.MEMORY_BUDGET_BYTES
    source = dataset.open_split(split, graph.transformed_spec, target, budget)
    clock = _Clock()
    fit = {"epochs": args.epochs, "verbose": 0, "callbacks": [clock]}
    if args.feed == "arrays":
        batches = list(source.batches(names))
        features = {name: tf.concat([each[name] for each, _ in batches], 0).numpy() for name in names}
        labels = tf.concat([label for _, label in batches], 0).numpy()
        model.fit(features, labels, batch_size=args.batch_size, **fit)
    else:
        if args.feed == "tensors":
            batches = _tensors(source, args.batch_size, names)
        else:
            batches = source.epochs(args.batch_size, 1, itertools.count().__next__, features=names)
        model.fit(batches, shuffle=False, **fit)
    print(json.dumps({"steps_per_s": clock.steps / clock.seconds}))


if __name__ == "__main__":
    main()
