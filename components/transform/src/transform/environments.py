"""Which raw features are there when the model is asked: not those that only the label is made from."""

from collections.abc import Collection
from dataclasses import replace

from tensorflow_metadata.proto.v0 import schema_pb2

from stepkit import schemas
from transform.raw_schema import RawSchema
from transform.targets import Targets
from transform.tracing import Trace


def names_none(schema: schema_pb2.Schema) -> bool:
    """True if a schema leaves open which features are where, as an inferred one does."""
    return not schema.default_environment and not any(
        feature.in_environment or feature.not_in_environment for feature in schema.feature
    )


def marked(schema: RawSchema, trace: Trace, targets: Targets) -> RawSchema:
    """Returns the schema with what only the label and the weight depend on outside of `SERVING`.

    A schema that names environments is left alone; so is one of which nothing would be left.

    Args:
        trace: of preprocessing_fn, which says what each of its outputs depends on. What an analysis of it depends on
            doesn't count: when the model is asked, that is a constant.
    """
    if not targets.names or not names_none(schema.proto):
        return schema
    features = [name for name in trace.outputs if name not in targets.names]
    alone = trace.inputs_of(targets.names)
    alone -= trace.inputs_of(features) if alone else set()
    return with_environments(schema, alone) if alone and set(schema.types) - alone else schema


def with_environments(schema: RawSchema, alone: Collection[str]) -> RawSchema:
    """Returns the schema with TRAINING and SERVING, and without the features `alone` in the latter."""
    proto = schema_pb2.Schema.FromString(schema.proto.SerializeToString())
    proto.default_environment.extend([schemas.TRAINING, schemas.SERVING])
    for feature in proto.feature:
        if feature.name in alone:
            feature.not_in_environment.append(schemas.SERVING)
    return replace(schema, proto=proto)
