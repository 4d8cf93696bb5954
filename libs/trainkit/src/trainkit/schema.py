"""Parsing specs from TensorFlow Metadata schemas, by the rules that TFT has."""

from collections.abc import Sequence

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from stepkit import schemas

FeatureSpec = dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]

_TYPES = {"BYTES": tf.string, "INT": tf.int64, "FLOAT": tf.float32}


def feature_spec(features: Sequence[schema_pb2.Feature], where: str) -> FeatureSpec:
    """Returns the spec for `tf.io.parse_example`.

    A feature that is always present and has a shape gives a dense tensor of [rows, *shape], all others a sparse one of
    [rows, most values of a row].

    Args:
        where: where the schema is from, for errors (see `stepkit.schemas`).

    Raises:
        StepError: there are no features, or one has a type that tf.Example can't hold.
    """
    types = schemas.types(features, where)
    spec: FeatureSpec = {}
    for feature in features:
        dtype = _TYPES[types[feature.name]]
        if feature.HasField("shape") and feature.presence.min_fraction == 1:
            spec[feature.name] = tf.io.FixedLenFeature([dim.size for dim in feature.shape.dim], dtype)
        else:
            spec[feature.name] = tf.io.VarLenFeature(dtype)
    return spec


def single_valued(feature: schema_pb2.Feature) -> bool:
    """True if no row has more than one value."""
    if feature.HasField("shape"):
        return all(dim.size == 1 for dim in feature.shape.dim)
    return feature.value_count.max == 1
