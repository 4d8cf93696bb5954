"""What the served model is asked with: raw features that are there when it is served, and their arguments' names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from stepkit import model_description, schemas
from stepkit.errors import StepError, tensorflow_cause
from trainkit import dependencies
from trainkit.labels import Target
from trainkit.schema import FeatureSpec
from trainkit.scorer import Scorer
from trainkit.transform_graph import TransformGraph


@dataclass(frozen=True)
class Interface:
    """A transform graph, and which of its raw features are asked for.

    Attributes:
        transform: TFT's SavedModel.
        transform_function: what it has to call: from raw features, a dict, to transformed ones.
        spec: parsing spec of all raw features.
        transformed_spec: of all transformed features.
        features: those that a request has, by name.
        arguments: their names in the signature of raw columns.
    """

    transform: Any
    transform_function: Any
    spec: FeatureSpec
    transformed_spec: FeatureSpec
    features: Mapping[str, schema_pb2.Feature]
    arguments: Mapping[str, str]

    def description(self, target: Target) -> model_description.ModelDescription:
        """Returns what the model says of itself."""
        return model_description.ModelDescription(
            label=target.label,
            task=target.task,
            classes=target.classes,
            weight=target.weight,
            raw_types=schemas.types(self.features.values(), "of the transform graph"),
            arguments=self.arguments,
        )


def find(graph: TransformGraph, target: Target, scorer: Scorer) -> Interface:
    """Returns what the served model is asked with.

    A column of which only the weight is made isn't asked for.

    Raises:
        StepError: the transform graph isn't that of its schemas, or what the model takes can't be computed of the
            columns that are there when it is served.
    """
    transform = graph.load()
    made_of = _made_of(transform, graph)
    features = {feature.name: feature for feature in schemas.in_use(graph.raw_schema, schemas.SERVING)}
    names = scorer.inputs
    taken = set(made_of) - {target.label, target.weight} if names is None else set(names)
    if names is None and any(made_of[name] - set(features) for name in taken):
        taken = _used(scorer, {name: graph.transformed_spec[name] for name in sorted(taken)})
    for name in sorted(taken):
        for column in sorted(made_of[name] - set(features)):
            raise StepError(
                f"The model's input {name!r} is computed from the raw column {column!r}, which isn't there when the "
                f"model is served (the schema has it not in the environment {schemas.SERVING}). Leave {name!r} out of "
                "the model's inputs, or compute it from other columns in preprocessing_fn."
            )
    if target.weight:
        others = set().union(*(columns for name, columns in made_of.items() if name != target.weight))
        features = {name: each for name, each in features.items() if name not in made_of[target.weight] - others}
    if not features:
        raise StepError("The model needs no raw column when it is served. Check what preprocessing_fn returns.")
    function = _restored(transform, graph) or transform.transform_fn
    return Interface(
        transform, function, graph.raw_spec, graph.transformed_spec, features, model_description.arguments(features)
    )


def tensor_spec(feature: Any) -> tf.TensorSpec | tf.SparseTensorSpec:
    """Returns the spec of what `tf.io.parse_example` gives for a feature."""
    if isinstance(feature, tf.io.FixedLenFeature):
        return tf.TensorSpec([None, *feature.shape], feature.dtype)
    return tf.SparseTensorSpec([None, None], feature.dtype)


def _made_of(transform: Any, graph: TransformGraph) -> dict[str, frozenset[str]]:
    """Returns transformed feature to the raw features that it is computed from."""
    sources = _sources(graph.raw_spec)
    if restored := _restored(transform, graph):
        outputs = _flat_outputs(graph)
        made: dict[str, frozenset[str]] = dict.fromkeys(outputs, frozenset())
        for name, columns in zip(outputs, dependencies.of(restored, sources), strict=True):
            made[name] |= columns
        return made

    def flat(raw: Mapping[str, Any]) -> list[tf.Tensor]:
        made = transform.transform_fn(dict(raw))
        return [_values(made[name]) for name in graph.transformed_spec]

    try:
        function = _traced(flat, graph.raw_spec)
    except (ValueError, TypeError, KeyError) as error:
        raise StepError(
            f"The model can't be joined to the transform graph: {tensorflow_cause(error)}. "
            "Give the graph that the examples were transformed with."
        ) from error
    found = dependencies.of(function, sources)
    return dict(zip(graph.transformed_spec, found, strict=True))


def _restored(transform: Any, graph: TransformGraph) -> Any:
    """Returns the one function that TFT's SavedModel has, if it is of the graph's features; else None.

    To call it takes no trace, which takes 10 ms a column.
    """
    function = transform.transform_fn
    own = [function] if hasattr(function, "structured_input_signature") else []
    restored: Sequence[Any] = getattr(function, "concrete_functions", own)
    if len(restored) == 1 and _fits(restored[0], graph.raw_spec, _flat_outputs(graph)):
        return restored[0]
    return None


def _flat_outputs(graph: TransformGraph) -> list[str]:
    return [name for name in sorted(graph.transformed_spec) for _ in range(_parts(graph.transformed_spec[name]))]


def _fits(function: Any, raw: FeatureSpec, outputs: list[str]) -> bool:
    """True if a function has the raw features as inputs, in TensorFlow's order of dicts, and as many outputs."""
    arguments, _ = function.structured_input_signature
    named = len(arguments) == 1 and isinstance(arguments[0], dict) and set(arguments[0]) == set(raw)
    return named and len(function.outputs) == len(outputs) and set(function.structured_outputs) == set(outputs)


def _parts(feature: Any) -> int:
    return 1 if isinstance(feature, tf.io.FixedLenFeature) else 3


def _used(scorer: Scorer, spec: FeatureSpec) -> set[str]:
    """Returns the features that the answer of a model depends on that gets all of them."""
    function = _traced(lambda features: tf.nest.flatten(scorer.answer(features)), spec)
    return set().union(*dependencies.of(function, _sources(spec)))


def _traced(function: Any, spec: FeatureSpec) -> Any:
    signature = {name: tensor_spec(feature) for name, feature in spec.items()}
    return tf.function(function, input_signature=[signature], autograph=False).get_concrete_function()


def _sources(spec: FeatureSpec) -> list[str]:
    """Returns what each flat input stands for; the shape of a sparse one says nothing of its values."""
    found = []
    for name in sorted(spec):  # as TensorFlow orders dicts
        found += [name] if isinstance(spec[name], tf.io.FixedLenFeature) else [name, name, ""]
    return found


def _values(tensor: Any) -> tf.Tensor:
    return tensor.values if isinstance(tensor, tf.SparseTensor) else tensor
