"""Schemas of tensorflow_metadata as text protos: reading them, and which features they have where.

Needs the extra `schema`.
"""

import math
from collections.abc import Iterable

from google.protobuf import text_format  # pylint: disable=import-error
from tensorflow_metadata.proto.v0 import schema_pb2  # pylint: disable=import-error

from stepkit import uris
from stepkit.errors import StepError

# Environments of rows with and without what is only known afterwards, such as the label.
TRAINING = "TRAINING"
SERVING = "SERVING"

# What stands for a missing value in a raw column of a request, by type: TF Serving has no way to leave one out.
MISSING = {"BYTES": b"", "INT": -(2**63), "FLOAT": math.nan}

_TYPES = {schema_pb2.BYTES: "BYTES", schema_pb2.INT: "INT", schema_pb2.FLOAT: "FLOAT"}
# tfx_bsl leaves out features in all other stages, and TFDV doesn't require them.
_STAGES_IN_USE = (schema_pb2.UNKNOWN_STAGE, schema_pb2.BETA, schema_pb2.PRODUCTION)


def read(uri: str) -> schema_pb2.Schema:
    """Reads a schema from a file.

    Raises:
        StepError: no file is there, or it isn't a schema (see `parse`).
    """
    return parse(uris.read_text(uri, "schema"), place(uri))


def parse(text: str, where: str) -> schema_pb2.Schema:
    """Returns the schema that `text` is.

    Args:
        where: where it is from, for errors ("at 'schema.pbtxt'").

    Raises:
        StepError: it doesn't parse (names the line), or has a feature twice.
    """
    schema = schema_pb2.Schema()
    try:
        text_format.Parse(text, schema)
    except text_format.ParseError as error:
        lines = text.splitlines() or [""]
        number = min(error.GetLine() or 1, len(lines))
        reason = (str(error).partition(" : ")[2] or str(error)).rstrip(".")
        raise StepError(
            f"The schema {where} has an error in line {number}: {lines[number - 1].strip()!r}: {reason}. "
            "Write it as the text form of tensorflow_metadata's Schema, or give data_validation's schema output."
        ) from error
    seen: set[str] = set()
    for feature in schema.feature:
        if feature.name in seen:
            raise StepError(f"The schema {where} has the feature {feature.name!r} twice. Remove one.")
        seen.add(feature.name)
    return schema


def place(uri: str) -> str:
    """Returns the `where` of a schema in a file."""
    return f"at {uri!r}"


def in_use(schema: schema_pb2.Schema, environment: str = "") -> list[schema_pb2.Feature]:
    """Returns the features that rows of an environment have, in the schema's order.

    Deprecated features and those in a stage before or beside production are in none. As TFDV has it, the others are in
    the default environments without their `not_in_environment`, and in their `in_environment`. Where neither the schema
    nor the feature names any, it is in all.

    Args:
        environment: empty: of any.
    """
    return [
        feature
        for feature in schema.feature
        if feature.lifecycle_stage in _STAGES_IN_USE
        and not feature.deprecated
        and (not environment or _is_in(feature, environment, schema.default_environment))
    ]


def _is_in(feature: schema_pb2.Feature, environment: str, default: Iterable[str]) -> bool:
    if environment in feature.in_environment:
        return True
    if environment in feature.not_in_environment:
        return False
    return environment in default if default else not feature.in_environment


def types(features: Iterable[schema_pb2.Feature], where: str) -> dict[str, str]:
    """Returns feature name to `INT`, `FLOAT` or `BYTES`, in order.

    Args:
        where: where the schema is from, for errors.

    Raises:
        StepError: there are no features, or one has another type, or none.
    """
    found = {}
    for feature in features:
        if feature.type not in _TYPES:
            kind = schema_pb2.FeatureType.Name(feature.type)
            raise StepError(
                f"The schema {where} gives the feature {feature.name!r} the type {kind}, which no column has. "
                "Set it to INT, FLOAT or BYTES."
            )
        found[feature.name] = _TYPES[feature.type]
    if not found:
        raise StepError(
            f"The schema {where} has no features in use. Add them, or give data_validation's schema output."
        )
    return found


def read_types(uri: str, environment: str) -> dict[str, str]:
    """Reads a schema into the types of the features that rows of an environment have.

    Raises:
        StepError: as `read` and `types` do, or the environment has no features.
    """
    schema = read(uri)
    features = in_use(schema, environment)
    if schema.feature and not features:
        raise StepError(
            f"The schema {place(uri)} has no feature in the environment {environment}. "
            f"Give it the default_environment {environment!r}, or features that are in it."
        )
    return types(features, place(uri))
