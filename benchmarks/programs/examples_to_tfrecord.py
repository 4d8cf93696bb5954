"""Writes a split of extract's examples as TFRecord of raw tf.Examples. Runs in evaluate's environment.

Takes the examples, the schema, the split and a file to write to.
"""

import sys
from pathlib import Path

import tensorflow as tf
from tfx_bsl.coders import example_coder

from stepkit import examples, schemas

folder, schema, split, target = sys.argv[1:]
types = schemas.read_types(schema, schemas.TRAINING)
encoder = example_coder.RecordBatchToExamplesEncoder()
with tf.io.TFRecordWriter(target) as writer:
    for batch in examples.read_batches(examples.split_files(Path(folder), split), types, 4096):
        for serialized in encoder.encode(batch):
            writer.write(serialized)
