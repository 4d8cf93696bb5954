"""Parsing specs from TensorFlow Metadata schemas, by the rules that TFT has."""

from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from stepkit.errors import StepError

FeatureSpec = dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]

SERVING = "SERVING"
_TYPES = {schema_pb2.BYTES: tf.string, schema_pb2.INT: tf.int64, schema_pb2.FLOAT: tf.float32}
# Stages in which TFX libraries leave a feature out.
_UNUSED_STAGES = {
    schema_pb2.DEPRECATED,
    schema_pb2.PLANNED,
    schema_pb2.ALPHA,
    schema_pb2.DEBUG_ONLY,
    schema_pb2.DISABLED,
}


def read_schema(path: Path) -> schema_pb2.Schema:
    """Reads a schema in protobuf text format.

    Raises:
        StepError: it isn't there or doesn't parse.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except FileNotFoundError as error:
        raise StepError(f"{str(path)!r} is missing: this is no transform graph. Give transform's output.") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise StepError(
            f"{str(path)!r} isn't a schema in protobuf text format ({error}). Run transform again."
        ) from error


def feature_spec(features: Iterable[schema_pb2.Feature]) -> FeatureSpec:
    """Returns the spec for `tf.io.parse_example`.

    A feature that is always present and has a shape gives a dense tensor of [rows, *shape], all others a sparse one of
    [rows, most values of a row].

    Raises:
        StepError: a feature has a type that tf.Example can't hold.
    """
    spec: FeatureSpec = {}
    for feature in features:
        if feature.lifecycle_stage in _UNUSED_STAGES:
            continue
        if feature.type not in _TYPES:
            kind = schema_pb2.FeatureType.Name(feature.type)
            raise StepError(f"Feature {feature.name!r} has type {kind}; the schema can have BYTES, INT and FLOAT only.")
        dtype = _TYPES[feature.type]
        if feature.HasField("shape") and feature.presence.min_fraction == 1:
            spec[feature.name] = tf.io.FixedLenFeature([dim.size for dim in feature.shape.dim], dtype)
        else:
            spec[feature.name] = tf.io.VarLenFeature(dtype)
    return spec


def in_environment(schema: schema_pb2.Schema, feature: schema_pb2.Feature, environment: str) -> bool:
    """True if the feature is expected in `environment`; a schema without environments has all features in all."""
    if environment in feature.not_in_environment:
        return False
    everywhere = not schema.default_environment and not feature.in_environment
    return everywhere or environment in schema.default_environment or environment in feature.in_environment


def single_valued(feature: schema_pb2.Feature) -> bool:
    """True if no row has more than one value."""
    if feature.HasField("shape"):
        return all(dim.size == 1 for dim in feature.shape.dim)
    return feature.value_count.max == 1
