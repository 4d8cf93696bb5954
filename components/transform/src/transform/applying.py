"""Applies a transform graph to raw record batches."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import impl_helper
from tfx_bsl.tfxio import tensor_adapter

from stepkit.errors import StepError
from transform.raw_schema import RawSchema

# Lines of TensorFlow's messages that tell nothing of the data.
_FRAME = re.compile(
    r"^(Graph execution error:|Detected at node .*|<stack traces unavailable>"
    r"|\s*File \".*\", line \d+, in .*|\s*\[\[\{\{.*|)$",
    re.MULTILINE,
)


def graph_failed(message: str) -> str:
    """Returns the error text for a graph that failed with TensorFlow's `message`."""
    reason = " ".join(_FRAME.sub("", message).split())
    return f"preprocessing_fn's graph failed on the data: {reason}. Guard against such values, or leave the rows out."


def call(function: Callable[[Any], dict[str, Any]], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Calls a traced preprocessing_fn.

    Raises:
        StepError: it fails on the data.
    """
    try:
        return function(tensors)
    except tf.errors.OpError as error:
        raise StepError(graph_failed(error.message)) from error


class Transformation:
    """A transform graph, loaded; one a process is enough.

    Attributes:
        features: the transformed features as a schema proto.
        schema: Arrow schema of transformed batches: columns of lists.
        single: features with exactly one value a row.
    """

    def __init__(self, graph: Path, schema: RawSchema) -> None:
        """Args: graph: the folder with transform_fn and transformed_metadata; schema: of the raw columns."""
        self._adapter = tensor_adapter.TensorAdapter(schema.adapter_config())
        output = tft.TFTransformOutput(str(graph))
        self._model = tf.saved_model.load(output.transform_savedmodel_dir)  # owns the tables transform_fn uses
        self.features = output.transformed_metadata.schema
        self._convert = impl_helper.make_tensor_to_arrow_converter(self.features)
        self.schema = self._convert.arrow_schema()
        self.single = frozenset(
            name
            for name, spec in output.transformed_feature_spec().items()
            if isinstance(spec, tf.io.FixedLenFeature) and math.prod(spec.shape) == 1
        )

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Transforms a batch, row by row. Threads may call it at the same time.

        Raises:
            StepError: the graph fails on the batch, or changes the number of rows.
        """
        tensors = call(self._model.transform_fn, self._adapter.ToBatchTensors(batch, produce_eager_tensors=True))
        for name, tensor in tensors.items():
            rows = int(tensor.nrows()) if isinstance(tensor, tf.RaggedTensor) else int(tensor.shape[0])
            if rows != batch.num_rows:
                raise StepError(
                    f"preprocessing_fn's output {name!r} has {rows} rows for {batch.num_rows} rows of input; "
                    "every output needs as many rows as the inputs."
                )
        return self._convert.convert(tensors)
