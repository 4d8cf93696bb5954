"""The raw features, as the schema describes them to TFT."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

from stepkit import schemas
from stepkit.errors import StepError

# As `stepkit.examples.read_batches` yields them.
_ARROW = {"INT": pa.list_(pa.int64()), "FLOAT": pa.list_(pa.float32()), "BYTES": pa.list_(pa.binary())}


@dataclass(frozen=True)
class RawSchema:
    """What a schema says of the columns.

    Attributes:
        proto: the schema as it was read.
        types: feature in use to `INT`, `FLOAT` or `BYTES`, in the schema's order.
    """

    proto: schema_pb2.Schema
    types: Mapping[str, str]

    @cached_property
    def representations(self) -> dict[str, schema_pb2.TensorRepresentation]:
        """Feature to how TFT represents it: dense where it has a shape, else sparse."""
        return tensor_representation_util.InferTensorRepresentationsFromMixedSchema(self.proto)

    @cached_property
    def dense(self) -> frozenset[str]:
        """Columns that must have a value in every row."""
        return frozenset(
            representation.dense_tensor.column_name
            for representation in self.representations.values()
            if representation.HasField("dense_tensor") and not representation.dense_tensor.HasField("default_value")
        )

    @cached_property
    def needed(self) -> frozenset[str]:
        """Columns that must have a value somewhere."""
        return self.dense | {
            feature.name
            for feature in schemas.in_use(self.proto)
            if feature.presence.min_count > 0 or feature.presence.min_fraction > 0
        }

    def adapter_config(self) -> Any:
        """Returns tfx_bsl's TensorAdapterConfig, by which record batches become tensors."""
        arrow = pa.schema([(name, _ARROW[kind]) for name, kind in self.types.items()])
        return tensor_adapter.TensorAdapterConfig(arrow, self.representations)


def read(uri: str) -> RawSchema:
    """Reads the schema at `uri`.

    Raises:
        StepError: it can't be read, or a feature isn't one flat value a row.
    """
    proto = schemas.read(uri)
    features = schemas.in_use(proto)
    types = schemas.types(features, schemas.place(uri))
    for feature in features:
        sizes = [dim.size for dim in feature.shape.dim]
        if sizes not in ([], [1]):
            raise StepError(
                f"Feature {feature.name!r} of {uri!r} has shape {sizes}, but a row has one value of it. "
                "Use shape { dim { size: 1 } }, or none if values may be missing."
            )
    schema = RawSchema(proto, types)
    try:
        tensor_adapter.TensorAdapter(schema.adapter_config())
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise StepError(f"TFT can't represent the features of {uri!r}: {reason} Correct the schema.") from error
    return schema


def write(schema: RawSchema, graph: Path) -> None:
    """Writes the schema into a transform graph, where TFTransformOutput looks for the raw metadata."""
    folder = graph / "metadata"
    folder.mkdir()
    (folder / "schema.pbtxt").write_text(text(schema), encoding="utf-8")


def text(schema: RawSchema) -> str:
    """Returns the schema as a text proto."""
    return text_format.MessageToString(schema.proto)
