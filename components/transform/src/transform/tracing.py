"""TFT's own tracing of preprocessing_fn, and writing of the graph, without Beam.

This reaches into TFT: the calls are those that `AnalyzeDataset` of the supported version makes.
"""
# pylint: disable=protected-access  # TFT gives no other way to check the order of analyzers

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import (
    analyzer_nodes,
    annotators,
    graph_context,
    graph_tools,
    impl_helper,
    schema_inference,
    tf2_utils,
    tf_utils,
)
from tensorflow_transform.nodes import OperationNode
from tensorflow_transform.saved import saved_transform_io_v2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
from tfx_bsl.tfxio.tensor_adapter import TensorAdapter

from transform.applying import call
from transform.preprocessing import Preprocessing
from transform.raw_schema import RawSchema
from transform.retraced import TracedGraph

# Of tensorflow-transform; for another, compare its `beam/impl.py`, and run the tests of equality.
SUPPORTED = ("1.21.0",)

# Collections of what only another trace could tell of the outputs: ranges, annotations and shapes.
_DEFERRED = (
    schema_inference._TF_METADATA_TENSOR_COLLECTION,
    schema_inference._TF_METADATA_EXTRA_ANNOTATION,
    schema_inference._ANNOTATED_SPARSE_SHAPE_TENSORS,
    schema_inference._ANNOTATED_TRUELY_SPARSE_TENSORS,
)

Bindings = Mapping[str, tf.Tensor]  # the name of a placeholder that stands for an analysis to what that gave


class Trace:
    """A preprocessing_fn that was traced before anything is analysed.

    Attributes:
        outputs: transformed feature to its tensor.
        sinks: TFT's TensorSinks: which placeholder stands for which analysis.
    """

    def __init__(self, preprocessing: Preprocessing, schema: RawSchema, scratch: Path) -> None:
        """Traces.

        Args:
            scratch: local folder for the files that stand for vocabularies until there are some.

        Raises:
            StepError: preprocessing_fn raised, or returned what can't be written.
        """
        self._preprocessing, self._scratch = preprocessing, str(scratch)
        self.adapter = TensorAdapter(schema.adapter_config())
        self._specs = self.adapter.OriginalTypeSpecs()
        self._graph, self._inputs, self.outputs = impl_helper.trace_preprocessing_function(
            preprocessing, self._specs, use_tf_compat_v1=False, base_temp_dir=self._scratch
        )
        self._assets = annotators.get_asset_annotations(self._graph)
        annotators.clear_asset_annotations(self._graph)
        self._traced = TracedGraph(self._graph, self._inputs)
        self.sinks: Sequence[Any] = self._graph.get_collection(analyzer_nodes.TENSOR_REPLACEMENTS)

    @cached_property
    def _fingerprint(self) -> Any:
        """What TFT knows the analyses by, to see that another trace has the same in the same order."""
        return graph_tools.get_analyzers_fingerprint(self._graph, self._inputs)

    @cached_property
    def _is_reusable(self) -> bool:
        """True if functions can be made of the graph that was traced; TFT traces another where it has more to keep."""
        return (
            self._traced.is_whole
            and not self._assets
            and not any(sink.is_asset_filepath for sink in self.sinks)
            and not any(self._graph.get_collection(name) for name in _DEFERRED)
        )

    @cached_property
    def trains(self) -> bool:
        """True if there are trainable variables in it, which TFT refuses."""
        return bool(self._graph.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES))

    def ready(self, bindings: Bindings) -> list[Any]:
        """Returns the sinks without a binding whose analyses need only tensors that can be computed by now."""
        graph = self._analyzer({sink.tensor.name for sink in self.sinks} & set(bindings))
        return [
            sink
            for sink in self.sinks
            if sink.tensor.name not in bindings
            and all(graph.ready_to_run(tensor) for tensor in sources(sink.future.parent_operation))
        ]

    def inputs_of(self, outputs: Iterable[str]) -> set[str]:
        """Returns the raw features that transformed ones depend on, other than by an analysis."""
        graph = self._analyzer({sink.tensor.name for sink in self.sinks})._graph_analyzer
        needed = {
            source
            for name in outputs
            for component in tf.nest.flatten(self.outputs[name], expand_composites=True)
            for source in graph.analyze_tensor(component).dependent_sources
        }
        return {
            name
            for name, tensor in self._inputs.items()
            if any(
                tf_utils.hashable_tensor_or_op(component) in needed
                for component in tf.nest.flatten(tensor, expand_composites=True)
            )
        }

    def _analyzer(self, there: Collection[str]) -> Any:
        """Returns TFT's walker over the graph.

        Args:
            there: placeholders, by their tensors' names, of analyses that have been made.
        """
        known = [(tf_utils.hashable_tensor_or_op(sink.tensor), sink.tensor.name in there) for sink in self.sinks]
        return graph_tools.InitializableGraphAnalyzer(self._graph, self._inputs, known)

    def function(self, bindings: Bindings, tensors: Sequence[str]) -> "TracedFunction":
        """Returns the function from raw tensors to the named ones, with the bindings in their places."""
        if self._is_reusable:
            named = {name: self._graph.get_tensor_by_name(name) for name in tensors}
            return TracedFunction(self.adapter, tf.Module(), self._traced.function(named, bindings))
        module = tf.Module()
        context = graph_context.TFGraphContext(module, self._scratch, dict(bindings))
        traced = impl_helper.get_traced_transform_fn(
            self._preprocessing, self._specs, context, {name: name for name in tensors}
        )
        concrete = saved_transform_io_v2.trace_and_update_module(
            module, traced, "transform_fn", strip_control_dependencies=False
        )
        inputs = tf2_utils.get_structured_inputs_from_func_graph(concrete.graph)
        impl_helper._validate_analyzers_fingerprint(self._fingerprint, concrete.graph, inputs)
        return TracedFunction(self.adapter, module, concrete)

    def write(self, bindings: Bindings, graph: Path) -> None:
        """Writes transform_fn and transformed_metadata into the folder `graph`, with the bindings of all sinks."""
        saved = graph / tft.TFTransformOutput.TRANSFORM_FN_DIR
        metadata = graph / tft.TFTransformOutput.TRANSFORMED_METADATA_DIR
        if self._is_reusable:
            self._write_traced(bindings, saved, metadata)
            return
        given: tuple[Any, ...] = (self._preprocessing, self._specs, self._scratch, dict(bindings), {}, None)
        # As impl_helper.trace_and_write_v2_saved_model does.
        concrete = impl_helper._trace_and_write_transform_fn(str(saved), *given)
        inputs = tf2_utils.get_structured_inputs_from_func_graph(concrete.graph)
        impl_helper._validate_analyzers_fingerprint(self._fingerprint, concrete.graph, inputs)
        metadata_io.write_metadata(self._metadata(concrete, inputs, bindings), str(metadata))
        if self._assets:
            (metadata / tft.TFTransformOutput.ASSET_MAP).write_text(json.dumps(self._assets), encoding="utf-8")

    def _write_traced(self, bindings: Bindings, saved: Path, metadata: Path) -> None:
        """Writes as TFT does what needs neither tables nor files."""
        module = tf.Module()
        module.transform_fn = self._traced.function(self.outputs, bindings)
        tf.saved_model.save(module, str(saved))
        schema = schema_inference.infer_feature_schema_v2(module.transform_fn.structured_outputs, dict, True)
        metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema=schema), str(metadata))

    def _metadata(self, concrete: Any, inputs: Mapping[str, Any], bindings: Bindings) -> Any:
        """Returns what TFT says of the outputs, which takes a trace more only where the module annotates them."""
        if any(concrete.graph.get_collection(name) for name in _DEFERRED):
            return impl_helper._trace_and_get_metadata(
                concrete, inputs, self._preprocessing, self._scratch, dict(bindings)
            )
        schema = schema_inference.infer_feature_schema_v2(concrete.structured_outputs, dict, True)
        return dataset_metadata.DatasetMetadata(schema=schema)


def _source_keys(sourced_tensors: Iterable[tf.Tensor], structured_inputs: Mapping[str, Any]) -> set[str]:
    """Returns the raw features that tensors depend on, in time that doesn't grow with the number of all of them.

    TFT asks for each analysis, and its own function goes through all inputs then.
    """
    keys = _keys(structured_inputs)
    found = graph_tools.retrieve_sources([tensor.op for tensor in sourced_tensors], ignore_control_dependencies=True)
    return {keys[id(source)] for source in found if id(source) in keys}


def _keys(inputs: Mapping[str, Any]) -> Mapping[int, str]:
    """Returns component of a raw feature, by its identity, to the feature: those of the graph asked about last."""
    if not _LAST or _LAST[0] is not inputs:
        components = {
            id(component): name
            for name, tensor in inputs.items()
            for component in tf.nest.flatten(tensor, expand_composites=True)
        }
        _LAST[:] = [inputs, components]
    keys: Mapping[int, str] = _LAST[1]
    return keys


def _set_value(infos: dict[Any, Any], tensor: Any, info: Any) -> None:
    """Notes what a raw feature's component is; TFT also compares it with all before, which the names tell apart."""
    infos[tf_utils.hashable_tensor_or_op(tensor)] = info


_LAST: list[Any] = []  # the inputs, kept so that no other object gets their identity; and their components
if tft.__version__ in SUPPORTED:
    graph_tools._retrieve_source_keys = _source_keys
    graph_tools._set_unique_value_in_dict = _set_value


@dataclass(frozen=True)
class TracedFunction:
    """A function of raw record batches that threads may call at the same time."""

    _adapter: TensorAdapter
    _owner: tf.Module  # of the tables that the function uses
    _function: Any

    def __call__(self, batch: Any) -> dict[str, tf.Tensor]:
        """Returns the tensors by name.

        Raises:
            StepError: the graph fails on the batch.
        """
        return call(self._function, self._adapter.ToBatchTensors(batch, produce_eager_tensors=True))


def operations(node: OperationNode) -> list[OperationNode]:
    """Returns the operation and all that it depends on, each once."""
    found = {id(node): node}
    for value in node.inputs:
        found.update((id(below), below) for below in operations(value.parent_operation))
    return list(found.values())


def sources(node: OperationNode) -> list[tf.Tensor]:
    """Returns the tensors that an operation depends on."""
    return [
        tensor
        for below in operations(node)
        if isinstance(below.operation_def, analyzer_nodes.TensorSource)
        for tensor in below.operation_def.tensors
    ]
