"""Functions made of a graph that was traced before: of thousands of columns, Python takes minutes to trace it anew.

What TFT traces again for each phase of an analysis, and to write the graph, differs from the first trace by what stands
in the place of analyses that have been made. Here TensorFlow imports the nodes of the first trace instead, in C++.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

# Nodes of a Python process: what they call is only kept by whoever traced them.
_PYTHON = frozenset(["PyFunc", "PyFuncStateless", "EagerPyFunc"])
_RESOURCES = (tf.resource, tf.variant)


class TracedGraph:
    """A function's graph."""

    def __init__(self, graph: Any, inputs: Mapping[str, Any]) -> None:
        """Args: graph: of a tf.function; inputs: name to its placeholder or composite of placeholders."""
        self._graph = graph
        self._inputs = [tensor.name for tensor in tf.nest.flatten(inputs, expand_composites=True)]
        self._signature = tf.nest.map_structure(tf.type_spec_from_value, dict(inputs))
        self._captured = list(graph.captures)
        self._nodes: dict[str, Any] = {}

    @property
    def is_whole(self) -> bool:
        """True if all that it needs is in it: no tables, no variables, no functions of Python."""
        return (
            not self._graph.get_collection(tf.compat.v1.GraphKeys.TABLE_INITIALIZERS)
            and not any(outer.dtype in _RESOURCES for outer, _ in self._captured)
            and not self._graph.deferred_internal_captures
            and not _PYTHON.intersection(operation.type for operation in self._graph.get_operations())
        )

    def function(self, outputs: Mapping[str, Any], replaced: Mapping[str, tf.Tensor]) -> Any:
        """Returns a concrete function from the inputs, a dict, to `outputs`.

        Args:
            outputs: name to a tensor of the graph, or a composite of some.
            replaced: name of a tensor of the graph to what takes its place. Needs `is_whole`.
        """
        flat = tf.nest.flatten(dict(outputs), expand_composites=True)
        captured = {inner.name: outer for outer, inner in self._captured}
        definition = self._definition([tensor.name for tensor in flat], {*self._inputs, *captured, *replaced})

        @tf.function(input_signature=[self._signature], autograph=False)
        def imported(inputs: Mapping[str, Any]) -> Any:
            given = dict(zip(self._inputs, tf.nest.flatten(inputs, expand_composites=True), strict=True))
            # Captured, as TFT does: of constants in the graph TensorFlow would make faster and rounder arithmetic.
            given |= {name: tf.convert_to_tensor(tensor) for name, tensor in (captured | dict(replaced)).items()}
            # A name that stands for itself among the outputs isn't imported.
            wanted = [tensor.name for tensor in flat if tensor.name not in given]
            found = dict(zip(wanted, _import(definition, given, wanted), strict=True)) | given
            for tensor in flat:
                found[tensor.name].set_shape(tensor.shape)
            return tf.nest.pack_sequence_as(
                dict(outputs), [found[tensor.name] for tensor in flat], expand_composites=True
            )

        return imported.get_concrete_function()

    def _definition(self, outputs: Iterable[str], given: Iterable[str]) -> tf.compat.v1.GraphDef:
        """Returns the nodes that outputs need, down to what is given."""
        definition = self._graph.as_graph_def()
        nodes = {node.name: node for node in definition.node}
        stop = {_node_of(name) for name in given}
        waiting = [_node_of(name) for name in outputs]
        needed: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in needed and name not in stop:
                needed.add(name)
                waiting += [_node_of(source) for source in nodes[name].input]
        kept = tf.compat.v1.GraphDef(versions=definition.versions, library=definition.library)
        kept.node.extend(node for node in definition.node if node.name in needed)
        for node in kept.node:
            if any(source.startswith("^") for source in node.input):
                sources = [source for source in node.input if source.removeprefix("^") not in stop or source[0] != "^"]
                node.input[:] = sources
        return kept


def _import(definition: Any, given: Mapping[str, tf.Tensor], wanted: Sequence[str]) -> list[Any]:
    used = {source for node in definition.node for source in node.input}
    inputs = {name: tensor for name, tensor in given.items() if name in used or name.removesuffix(":0") in used}
    return list(tf.graph_util.import_graph_def(definition, input_map=inputs, return_elements=wanted, name=""))


def _node_of(name: str) -> str:
    """Returns the node of `node`, `node:1` or `^node`."""
    return name.removeprefix("^").partition(":")[0]
