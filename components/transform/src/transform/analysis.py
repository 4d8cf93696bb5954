"""Runs the analyses of a traced preprocessing_fn over shards, phase by phase, in this process.

An analysis may need what another one gives; each phase runs all that are ready, in one pass over the data, a batch in
memory at a time. Accumulators are kept by shard and merged in the order of the shards, so that a shard's may also come
from an earlier run, and the number of threads changes nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_transform import analyzer_nodes
from tensorflow_transform.nodes import OperationNode

from stepkit.threads import Map
from transform import analyzers, shards, tracing
from transform.analysis_cache import AnalysisCache
from transform.raw_schema import RawSchema
from transform.shards import Shard
from transform.tracing import Trace, TracedFunction


class NeedsBeam(Exception):
    """The analysis can't be done in this process; the text says why."""


def objections(trace: Trace) -> list[str]:
    """Returns what of the analysis can't be done in this process."""
    found: list[str | None] = ["trainable variables"] if trace.trains else []
    found += [analyzers.objection(node) for node in _operations(trace.sinks)]
    return [objection for objection in dict.fromkeys(found) if objection]


def analyze(
    trace: Trace, analyzed: Sequence[Shard], schema: RawSchema, scratch: Path, mapped: Map, cache: AnalysisCache
) -> tracing.Bindings:
    """Returns what all analyses give. Nothing must be in `objections`.

    Args:
        scratch: local folder for vocabularies, which have to stay there until the graph is written.
        mapped: like `map`.
        cache: of the first phase, which alone depends on nothing but the raw data.

    Raises:
        StepError: the data can't be read, or the graph fails on it.
        NeedsBeam: analyses are left that TFT never calls ready.
    """
    bindings: dict[str, tf.Tensor] = {}
    while len(bindings) < len(trace.sinks):
        ready = trace.ready(bindings)
        if not ready:
            waiting = [sink.tensor.name for sink in trace.sinks if sink.tensor.name not in bindings]
            raise NeedsBeam(f"no analysis of preprocessing_fn that is left is ready to run: {', '.join(waiting)}")
        accumulating = [node for node in _operations(ready) if analyzers.is_accumulating(node)]
        tensors = [tensor.name for node in accumulating for tensor in tracing.sources(node)]
        function = trace.function(bindings, list(dict.fromkeys(tensors)))
        kept = cache if not bindings else AnalysisCache.off()
        by_shard = []
        for shard in analyzed:
            values = kept.get(shard, accumulating)
            if values is None:
                values = _accumulate(accumulating, function, shard, schema, mapped)
                values = kept.put(shard, accumulating, values)
            by_shard.append(values)
        done: dict[OperationNode, Sequence[Any]] = {
            node: (analyzers.merge(node.operation_def, values),)
            for node, values in zip(accumulating, zip(*by_shard, strict=True), strict=True)
        }
        for sink in ready:
            outputs = analyzers.finish(sink.future.parent_operation, done, scratch)
            bindings[sink.tensor.name] = tf.constant(outputs[sink.future.value_index], sink.tensor.dtype)
    return bindings


def _accumulate(
    nodes: Sequence[OperationNode], function: TracedFunction, shard: Shard, schema: RawSchema, mapped: Map
) -> list[Any]:
    """Returns what each of the operations accumulates over one shard."""
    accumulators = [analyzers.accumulator(node.operation_def) for node in nodes]
    names = [[tensor.name for tensor in tracing.sources(node)] for node in nodes]

    def prepare(batch: Any) -> list[Any]:
        tensors = function(batch)
        return [
            accumulator.prepare([tensors[name] for name in wanted])
            for accumulator, wanted in zip(accumulators, names, strict=True)
        ]

    for prepared in mapped(prepare, shards.read(shard, schema)):
        for accumulator, values in zip(accumulators, prepared, strict=True):
            accumulator.add(values)
    return [accumulator.value() for accumulator in accumulators]


def _operations(sinks: Sequence[analyzer_nodes.TensorSink]) -> list[OperationNode]:
    found = {id(node): node for sink in sinks for node in tracing.operations(sink.future.parent_operation)}
    return list(found.values())
