"""Asks a pushed model by JSON with raw names, and by tf.Examples; run in train's environment.

Usage: python json_answer.py SAVED_MODEL < {"instances": [{raw column: value}]} -> {"by_row": ..., "by_example": ...}
"""

import json
import sys
from pathlib import Path

import tensorflow as tf

from stepkit import model_description

DTYPES = {"BYTES": tf.string, "INT": tf.int64, "FLOAT": tf.float32}


def main(model_uri: str) -> None:
    rows = json.load(sys.stdin)["instances"]
    described = model_description.read(Path(model_uri))
    model = tf.saved_model.load(model_uri)
    columns = {
        described.arguments[name]: tf.constant([[row[name]] for row in rows], DTYPES[kind])
        for name, kind in described.raw_types.items()
    }
    by_row = model.signatures["serve_raw"](**columns)[described.answer]
    serialized = tf.constant([_example(row, described.raw_types).SerializeToString() for row in rows])
    by_example = model.signatures["serving_default"](examples=serialized)[described.answer]
    print(json.dumps({"by_row": by_row.numpy().tolist(), "by_example": by_example.numpy().tolist()}))


def _example(row: dict, types: dict[str, str]) -> tf.train.Example:
    made = tf.train.Example()
    for name, kind in types.items():
        if kind == "BYTES":
            made.features.feature[name].bytes_list.value.append(row[name].encode())
        else:
            numbers = made.features.feature[name]
            (numbers.int64_list if kind == "INT" else numbers.float_list).value.append(row[name])
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
