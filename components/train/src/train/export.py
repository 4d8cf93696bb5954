"""The served model: a SavedModel whose every signature starts from raw features, with the transform graph inside.

    serving_default     examples: string [rows], serialized tf.Examples   -> probabilities: float [rows, 1]
    serve_raw           one tensor a raw feature, [rows, 1]               -> probabilities: float [rows, 1]
    transform_features  examples: string [rows], with the label's columns -> every transformed feature, and the label

`serve_raw` takes rows of JSON: TF Serving has no way to leave a feature out, so a missing value of an optional feature
is sent as `""` (text), `NaN` (float) or -9223372036854775808 (integer). A feature with several values a row is as wide
as its longest row, the others padded with that same value.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from stepkit import saved_models, schemas
from stepkit.errors import StepError
from train.pipeline_model import input_names
from train.schema import single_valued
from train.transform_graph import TransformGraph

OUTPUT = "probabilities"
_EXAMPLES = [tf.TensorSpec([None], tf.string, name="examples")]


def save(model: keras.Model, graph: TransformGraph, label_key: str, folder: Path) -> None:
    """Writes the SavedModel.

    Args:
        model: takes the transformed features; gives one row of probabilities an example.
        folder: empty.

    Raises:
        StepError: the transform graph needs raw features that its schema doesn't have.
    """
    served = _Served(model, graph, label_key)
    signatures = {
        "serving_default": tf.function(served.serve_examples, input_signature=_EXAMPLES),
        "serve_raw": tf.function(served.serve_raw, input_signature=[served.raw_signature()]),
        "transform_features": tf.function(served.transform_examples, input_signature=_EXAMPLES),
    }
    try:
        concrete = {name: function.get_concrete_function() for name, function in signatures.items()}
    except (ValueError, TypeError, KeyError) as error:
        raise StepError(
            f"The model can't be joined to the transform graph: {_cause(error)} "
            "Give the graph that the examples were transformed with."
        ) from error
    tf.saved_model.save(served, str(folder), signatures=concrete)
    saved_models.make_canonical(folder)


class _Served(tf.Module):
    def __init__(self, model: keras.Model, graph: TransformGraph, label_key: str) -> None:
        super().__init__()
        self.model = model
        self.transform = graph.load()
        self._label_key = label_key
        self._shapes = graph.transformed_spec
        self._spec = graph.raw_spec
        self._features = {feature.name: feature for feature in schemas.in_use(graph.raw_schema, schemas.SERVING)}
        self._serving_spec = {name: self._spec[name] for name in self._features}

    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = tf.io.parse_example(examples, self._serving_spec)
        return self._predict(raw, tf.shape(examples, tf.int64)[0])

    def serve_raw(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        raw = {name: _from_column(columns[name], spec) for name, spec in self._serving_spec.items()}
        rows = tf.shape(next(iter(columns.values())), tf.int64)[0]
        return self._predict(raw, rows)

    def transform_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        transformed = self._transform(tf.io.parse_example(examples, self._spec))
        return {
            name: tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value
            for name, value in transformed.items()
        }

    def raw_signature(self) -> dict[str, tf.TensorSpec]:
        return {
            name: tf.TensorSpec([None, *_column_shape(spec, self._features[name])], spec.dtype, name=name)
            for name, spec in self._serving_spec.items()
        }

    def _predict(self, raw: Mapping[str, Any], rows: tf.Tensor) -> dict[str, tf.Tensor]:
        # The graph takes the label's raw columns as well; what it computes from them isn't used.
        absent = {name: _missing(spec, rows) for name, spec in self._spec.items() if name not in raw}
        features = self._transform({**raw, **absent})
        del features[self._label_key]
        names = input_names(self.model)
        outputs = self.model({name: features[name] for name in names} if names else features, training=False)
        (output,) = tf.nest.flatten(outputs)
        return {OUTPUT: output if output.shape.rank == 2 else tf.reshape(output, tf.stack([rows, -1]))}

    def _transform(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        transformed = dict(self.transform.transform_fn(dict(raw)))
        for name, spec in self._shapes.items():
            if isinstance(spec, tf.io.FixedLenFeature):
                transformed[name] = tf.reshape(transformed[name], [-1, *spec.shape])
        return transformed


def _cause(error: Exception) -> str:
    # Errors in traced code come with the trace in front.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if line.partition(":")[0].endswith("Error")), lines[0])


def _column_shape(spec: Any, feature: schema_pb2.Feature) -> list[int | None]:
    if isinstance(spec, tf.io.FixedLenFeature):
        return list(spec.shape) or [1]
    return [1] if single_valued(feature) else [None]


def _from_column(column: tf.Tensor, spec: Any) -> tf.Tensor | tf.SparseTensor:
    if isinstance(spec, tf.io.FixedLenFeature):
        return tf.reshape(column, [-1, *spec.shape])
    if spec.dtype == tf.string:
        present = tf.not_equal(column, schemas.MISSING["BYTES"])
    elif spec.dtype.is_floating:
        present = tf.logical_not(tf.math.is_nan(column))
    else:
        present = tf.not_equal(column, schemas.MISSING["INT"])
    return tf.ragged.boolean_mask(column, present).to_sparse()


def _missing(spec: Any, rows: tf.Tensor) -> tf.Tensor | tf.SparseTensor:
    if isinstance(spec, tf.io.FixedLenFeature):
        return tf.zeros(tf.concat([[rows], tf.constant(spec.shape, tf.int64)], 0), spec.dtype)
    shape = tf.stack([rows, tf.constant(0, tf.int64)])
    return tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.zeros([0], spec.dtype), shape)
