"""The served model: a SavedModel whose every signature starts from raw features, with the transform graph inside.

    serving_default     examples: string [rows], serialized tf.Examples   -> the answer
    serve_raw           one tensor a raw feature, [rows, 1]               -> the answer
    transform_features  examples: string [rows], with the label's columns -> every transformed feature, and the label

The answer to a task of two classes is `probabilities`, float [rows, 1]; to one of several `scores`, float
[rows, classes], and `classes`, string [rows, classes], whose every row has the classes' names; to a regression
`predictions`, float [rows, 1].

`serve_raw` takes rows of JSON: TF Serving has no way to leave a feature out, so a missing value of an optional feature
is sent as `""` (text), `NaN` (float) or -9223372036854775808 (integer). A feature with several values a row is as wide
as its longest row, the others padded with that same value. Its arguments have names that TensorFlow takes, which
`assets.extra/model.json` has for each raw feature (see `stepkit.model_description`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from stepkit import model_description, saved_models, schemas, tasks
from stepkit.errors import StepError
from trainkit.labels import Target
from trainkit.schema import FeatureSpec, single_valued
from trainkit.scorer import Scorer
from trainkit.served_inputs import Interface

_EXAMPLES = [tf.TensorSpec([None], tf.string, name="examples")]


def save(scorer: Scorer, interface: Interface, target: Target, folder: Path) -> None:
    """Writes the SavedModel, and beside its graph what it says of itself.

    Args:
        scorer: takes the transformed features; gives the answer to the task.
        folder: empty.

    Raises:
        StepError: the transform graph needs raw features that its schema doesn't have.
    """
    served = _Served(scorer, interface, target)
    # Without AutoGraph, as Keras trains: of thousands of columns it takes a third of the time.
    signatures = {
        "serving_default": tf.function(served.serve_examples, input_signature=_EXAMPLES, autograph=False),
        "serve_raw": tf.function(served.serve_raw, input_signature=[served.raw_signature()], autograph=False),
        "transform_features": tf.function(served.transform_examples, input_signature=_EXAMPLES, autograph=False),
    }
    try:
        concrete = {name: function.get_concrete_function() for name, function in signatures.items()}
    except tf.errors.OperatorNotAllowedInGraphError as error:
        raise StepError(
            f"The model can't be served: {_cause(error)} "
            "Use tf.cond, tf.where or keras.ops in its layers instead of Python's if and for."
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise StepError(
            f"The model can't be joined to the transform graph: {_cause(error)} "
            "Give the graph that the examples were transformed with."
        ) from error
    tf.saved_model.save(served, str(folder), signatures=concrete)
    saved_models.make_canonical(folder)
    described = folder / model_description.FILE
    described.parent.mkdir(exist_ok=True)
    described.write_text(interface.description(target).to_json(), encoding="utf-8")


class _Served(tf.Module):
    def __init__(self, scorer: Scorer, interface: Interface, target: Target) -> None:
        super().__init__()
        self.parameters = list(scorer.parts)
        self.transform = interface.transform
        self._answers = scorer.answer
        self._call_transform = interface.transform_function
        self._names = scorer.inputs
        self._target = target
        self._shapes = interface.transformed_spec
        self._spec = interface.spec
        self._features = interface.features
        self._arguments = interface.arguments
        self._serving_spec = {name: self._spec[name] for name in self._features}

    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = tf.io.parse_example(examples, self._serving_spec)
        return self._predict(raw, tf.shape(examples, tf.int64)[0])

    def serve_raw(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(next(iter(columns.values())), tf.int64)[0]
        named = {name: columns[self._arguments[name]] for name in self._features}
        return self._predict(_from_columns(named, self._serving_spec, self._features, rows), rows)

    def transform_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        transformed = self._transform(tf.io.parse_example(examples, self._spec))
        return {
            name: tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value
            for name, value in transformed.items()
        }

    def raw_signature(self) -> dict[str, tf.TensorSpec]:
        return {
            argument: tf.TensorSpec(
                [None, *_column_shape(self._spec[name], self._features[name])], self._spec[name].dtype, name=argument
            )
            for name, argument in self._arguments.items()
        }

    def _predict(self, raw: Mapping[str, Any], rows: tf.Tensor) -> dict[str, tf.Tensor]:
        # The graph takes the columns of the label and the weight as well; what it computes from them isn't used.
        absent = {name: _missing(spec, rows) for name, spec in self._spec.items() if name not in raw}
        features = self._transform({**raw, **absent})
        for name in filter(None, (self._target.label, self._target.weight)):
            del features[name]
        outputs = self._answers({name: features[name] for name in self._names} if self._names else features)
        (output,) = tf.nest.flatten(outputs)
        return self._answer(output if output.shape.rank == 2 else tf.reshape(output, tf.stack([rows, -1])), rows)

    def _answer(self, output: tf.Tensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = {tasks.ANSWERS[self._target.task]: output}
        if self._target.task in (tasks.MULTICLASS, tasks.MULTILABEL):
            names = tf.constant([[str(name) for name in self._target.classes]])
            answer[tasks.CLASSES_OUTPUT] = tf.tile(names, tf.stack([rows, 1]))
        return answer

    def _transform(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        transformed = dict(self._call_transform(dict(raw)))
        for name, spec in self._shapes.items():
            if isinstance(spec, tf.io.FixedLenFeature):
                transformed[name] = _shaped(transformed[name], spec)
        return transformed


def _cause(error: Exception) -> str:
    # Errors in traced code come with the trace in front.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if line.partition(":")[0].endswith("Error")), lines[0])


def _column_shape(spec: Any, feature: schema_pb2.Feature) -> list[int | None]:
    if isinstance(spec, tf.io.FixedLenFeature):
        return list(spec.shape) or [1]
    return [1] if single_valued(feature) else [None]


def _shaped(tensor: tf.Tensor, spec: tf.io.FixedLenFeature) -> tf.Tensor:
    if tensor.shape.rank is not None and tensor.shape.as_list() == [None, *spec.shape]:
        return tensor
    return tf.reshape(tensor, [-1, *spec.shape])


def _from_columns(
    columns: Mapping[str, tf.Tensor], spec: FeatureSpec, features: Mapping[str, schema_pb2.Feature], rows: tf.Tensor
) -> dict[str, Any]:
    """Gives columns the form that `tf.io.parse_example` gives the same values."""
    found: dict[str, Any] = {}
    together: dict[tf.DType, list[str]] = {}
    for name, column in columns.items():
        if isinstance(spec[name], tf.io.FixedLenFeature):
            found[name] = _shaped(column, spec[name])
        elif single_valued(features[name]):
            together.setdefault(spec[name].dtype, []).append(name)
        else:
            found[name] = tf.ragged.boolean_mask(column, _present(column)).to_sparse()
    for names in together.values():
        found.update(_sparse_columns(names, [columns[name] for name in names], rows))
    return found


def _sparse_columns(names: list[str], columns: list[tf.Tensor], rows: tf.Tensor) -> dict[str, tf.SparseTensor]:
    """Makes columns of one type and one value a row sparse, with as many operations for thousands as for one."""
    stacked = tf.transpose(tf.concat(columns, 1)) if len(columns) > 1 else tf.reshape(columns[0], [1, -1])
    present = _present(stacked)
    places = tf.where(present)
    counts = tf.math.count_nonzero(present, 1)
    indices = tf.stack([places[:, 1], tf.zeros_like(places[:, 1])], 1)
    widths = tf.minimum(counts, 1)  # of the longest row
    shapes = tf.unstack(tf.stack([tf.fill([len(names)], rows), widths], 1), len(names))
    parts = zip(
        names,
        tf.split(indices, counts, num=len(names)),
        tf.split(tf.gather_nd(stacked, places), counts, num=len(names)),
        shapes,
        strict=True,
    )
    return {name: tf.SparseTensor(index, values, shape) for name, index, values, shape in parts}


def _present(column: tf.Tensor) -> tf.Tensor:
    if column.dtype.is_floating:
        return tf.logical_not(tf.math.is_nan(column))
    return tf.not_equal(column, schemas.MISSING["BYTES" if column.dtype == tf.string else "INT"])


def _missing(spec: Any, rows: tf.Tensor) -> tf.Tensor | tf.SparseTensor:
    if isinstance(spec, tf.io.FixedLenFeature):
        return tf.zeros(tf.concat([[rows], tf.constant(spec.shape, tf.int64)], 0), spec.dtype)
    shape = tf.stack([rows, tf.constant(0, tf.int64)])
    return tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.zeros([0], spec.dtype), shape)
