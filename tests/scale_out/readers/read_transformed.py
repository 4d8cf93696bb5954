"""Prints what transform steps wrote as a JSON array: vocabularies, schema and rows. Runs in transform's environment.

Arguments: of each step the transform graph and the transformed examples (gzipped TFRecord). Means, deviations and
bucket borders stand in the graph as constants without a stable name; rows show every one of them.
"""

import json
import sys
from pathlib import Path

import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import json_format


def read(graph: str, transformed: Path) -> dict:
    output = tft.TFTransformOutput(graph)
    names = sorted(path.name for path in Path(output.transform_savedmodel_dir, "assets").iterdir())
    rows = {}
    for file in sorted(transformed.glob("*/*.tfrecord.gz")):
        records = list(tf.data.TFRecordDataset(str(file), "GZIP").as_numpy_iterator())
        parsed = tf.io.parse_example(records, output.transformed_feature_spec())
        rows[str(file.relative_to(transformed))] = {name: tensor.numpy().tolist() for name, tensor in parsed.items()}
    return {
        "vocabularies": {name: [word.decode() for word in output.vocabulary_by_name(name)] for name in names},
        "schema": json_format.MessageToDict(output.transformed_metadata.schema),
        "rows": rows,
    }


arguments = iter(sys.argv[1:])
json.dump([read(graph, Path(transformed)) for graph, transformed in zip(arguments, arguments, strict=True)], sys.stdout)
