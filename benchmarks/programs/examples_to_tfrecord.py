"""Writes a split of extract's examples as TFRecord of raw tf.Examples. Runs in evaluate's environment.

Takes the examples, the schema, the split and a file to write to.
"""

import sys
from pathlib import Path

import tensorflow as tf
from evaluate import data

from stepkit import schemas

examples, schema, split, target = sys.argv[1:]
types = schemas.read_types(schema, schemas.TRAINING)
with tf.io.TFRecordWriter(target) as writer:
    for batch in data.read_split(Path(examples), split, types, []):
        for serialized in batch.serialized:
            writer.write(serialized)
