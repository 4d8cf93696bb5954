"""Writes a split of extract's examples as TFRecord of raw tf.Examples, with the label that a model's transform makes.

Runs in evaluate's environment. Takes the examples, the schema, the split, the model, the label's name and a file to
write to. With the label among the features, a class as its number, TFMA needs no transform of its own and slices by raw
features, as evaluate does.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
from evaluate import models, problem, targets
from tfx_bsl.coders import example_coder

from stepkit import examples, schemas, tasks

folder, schema, split, model, label_key, target = sys.argv[1:]
types = schemas.read_types(schema, schemas.TRAINING)
encoder = example_coder.RecordBatchToExamplesEncoder()
asked = problem.of_model(Path(model), label_key)
read = targets.reader(models.load(Path(model), "The model", ""), asked)
dtype = np.int64 if asked.task == tasks.MULTICLASS else np.float32
with tf.io.TFRecordWriter(target) as writer:
    for batch in examples.read_batches(examples.split_files(Path(folder), split), types, 4096):
        values = read(tf.constant(encoder.encode(batch))).labels.astype(dtype)
        labels = pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32), pa.array(values))
        for serialized in encoder.encode(batch.append_column(label_key, labels)):
            writer.write(serialized)
