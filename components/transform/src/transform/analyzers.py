"""TFT's analyzers in this process: what `tensorflow_transform.beam.analyzer_impls` does on Beam.

An analysis is a graph of TFT's operations. One kind accumulates batches; the others make something of what was
accumulated. TFT's combiners do the arithmetic of both.
"""
# pylint: disable=protected-access  # TFT's names for the orders of vocabularies

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_transform import analyzer_nodes as nodes
from tensorflow_transform.analyzers import _VocabOrderingType as Ordering
from tensorflow_transform.nodes import OperationDef, OperationNode

from transform import vocabularies

_ACCUMULATING = (nodes.CacheableCombineAccumulate, nodes.VocabularyAccumulate)
_KNOWN = (
    *_ACCUMULATING,
    nodes.TensorSource,
    nodes.CacheableCombineMerge,
    nodes.ExtractCombineMergeOutputs,
    nodes.VocabularyMerge,
    nodes.VocabularyPrune,
    nodes.VocabularyCount,
    nodes.VocabularyOrderAndWrite,
)


def objection(node: OperationNode) -> str | None:
    """Returns why the operation can't be done in this process, or None if it can."""
    operation = node.operation_def
    label = f"{type(operation).__name__} {operation.label!r}"
    match operation:
        case _ if not isinstance(operation, _KNOWN):
            return label
        case _ if is_accumulating(node) and not _takes_tensors(node):
            return f"{label} of what isn't a tensor"
        case nodes.VocabularyAccumulate() | nodes.VocabularyMerge():
            by_count = operation.vocab_ordering_type in (Ordering.FREQUENCY, Ordering.WEIGHTED_FREQUENCY)
            return None if by_count else f"{label} ordered by labels"
        case nodes.VocabularyPrune():
            plain = operation.key_fn is None and min(operation.top_k or 0, operation.frequency_threshold or 0) >= 0
            return None if plain else f"{label} with key_fn, or with a limit below 0"
        case nodes.VocabularyOrderAndWrite():
            plain = operation.file_format == "text" and len(node.inputs) == 1
            return None if plain else f"{label} with reserved tokens, or in a format other than text"
    return None


def is_accumulating(node: OperationNode) -> bool:
    """True if the operation takes batches."""
    return isinstance(node.operation_def, _ACCUMULATING)


def _takes_tensors(node: OperationNode) -> bool:
    return isinstance(node.inputs[0].parent_operation.operation_def, nodes.TensorSource)


class Accumulator(Protocol):
    """Takes batches of one operation, of one shard."""

    def prepare(self, values: Sequence[tf.Tensor]) -> Any:
        """Makes of a batch's tensors what `add` takes; threads may call it at the same time."""

    def add(self, prepared: Any) -> None:
        """Adds a batch."""

    def value(self) -> Any:
        """Returns what was accumulated: what `merge`, `encode` and `decode` are about. Nothing is added afterwards."""


def accumulator(operation: OperationDef) -> Accumulator:
    """Returns an empty accumulator."""
    return _Combined(operation.combiner) if isinstance(operation, nodes.CacheableCombineAccumulate) else _Counted()


def merge(operation: OperationDef, values: Iterable[Any]) -> Any:
    """Merges accumulated values in their order."""
    if isinstance(operation, nodes.CacheableCombineAccumulate):
        combiner = operation.combiner
        return combiner.merge_accumulators([combiner.create_accumulator(), *values])
    some = [value for value in values if value is not None]
    if not some:
        dtype = cast(nodes.VocabularyAccumulate, operation).input_dtype  # nothing else accumulates
        token = pa.large_binary() if dtype == tf.string.name else pa.int64()
        return pa.table({"token": pa.array([], token), "count": pa.array([], pa.int64())})
    return vocabularies.merge(some)


def finish(node: OperationNode, done: dict[OperationNode, Sequence[Any]], folder: Path) -> Sequence[Any]:
    """Computes an operation's outputs.

    Args:
        done: outputs of other operations, of all accumulating ones at least; gets those that are computed on the way.
        folder: gets the vocabularies' files.
    """
    if node not in done:
        value = node.inputs[0]
        given = finish(value.parent_operation, done, folder)[value.value_index]
        done[node] = _outputs(node.operation_def, given, folder)
    return done[node]


def _outputs(operation: OperationDef, given: Any, folder: Path) -> Sequence[Any]:
    if isinstance(operation, nodes.CacheableCombineMerge):
        return (operation.combiner.extract_output(given),)
    if isinstance(operation, nodes.ExtractCombineMergeOutputs):
        return tuple(given)
    if isinstance(operation, nodes.VocabularyMerge):
        return (given,)
    if isinstance(operation, nodes.VocabularyPrune):
        return (vocabularies.prune(given, operation.frequency_threshold or 0, operation.top_k, operation.input_dtype),)
    if isinstance(operation, nodes.VocabularyCount):
        return (vocabularies.size(given),)
    assert isinstance(operation, nodes.VocabularyOrderAndWrite), operation
    path = folder / operation.vocab_filename
    vocabularies.write(given, path, operation.input_dtype, operation.fingerprint_shuffle, operation.store_frequency)
    return (np.array(str(path)),)


def encodes(operation: OperationDef) -> bool:
    """True if what is accumulated can be kept: TFT has no coder for some combiners."""
    return isinstance(operation, nodes.VocabularyAccumulate) or operation.cache_coder is not None


def encode(operation: OperationDef, value: Any) -> bytes:
    """Encodes an accumulated value: TFT's coder, and Arrow's IPC format for vocabularies."""
    if isinstance(operation, nodes.CacheableCombineAccumulate):
        return operation.cache_coder.encode_cache(operation.combiner.compact(value))
    if value is None:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, value.schema) as writer:
        writer.write_table(value)
    return sink.getvalue().to_pybytes()


def decode(operation: OperationDef, content: bytes) -> Any:
    """Decodes an accumulated value."""
    if isinstance(operation, nodes.CacheableCombineAccumulate):
        return operation.cache_coder.decode_cache(content)
    return pa.ipc.open_file(content).read_all() if content else None


class _Combined:
    def __init__(self, combiner: nodes.Combiner) -> None:
        self._combiner = combiner
        self._accumulator = combiner.create_accumulator()

    def prepare(self, values: Sequence[tf.Tensor]) -> tuple[np.ndarray, ...]:
        return tuple(np.asarray(value) for value in values)

    def add(self, prepared: tuple[np.ndarray, ...]) -> None:
        self._accumulator = self._combiner.add_input(self._accumulator, prepared)

    def value(self) -> Any:
        return self._accumulator


class _Counted:
    def __init__(self) -> None:
        self._counts = vocabularies.Counts()

    def prepare(self, values: Sequence[tf.Tensor]) -> pa.Table:
        return vocabularies.count(*values)

    def add(self, prepared: pa.Table) -> None:
        self._counts.add(prepared)

    def value(self) -> pa.Table | None:
        return self._counts.merged()
