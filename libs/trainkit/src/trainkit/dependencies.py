"""Which inputs of a TensorFlow function each of its outputs depends on, by its graph.

Functions that it calls are followed; the branches and bodies of control flow count as depending on all that they get.
What an operation takes of its input's shape alone is no dependency.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])
_SHAPE_ALONE = frozenset(["Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"])
_ONE_TO_ONE = frozenset(["IdentityN"])

# A set of inputs, as bits: there may be thousands, and an operation each.
Inputs = int


def of(function: Any, sources: Sequence[str]) -> list[frozenset[str]]:
    """Returns what each output of a concrete function depends on.

    Args:
        function: its inputs and outputs are flat tensors.
        sources: what stands for each of its first inputs; an empty one isn't looked for.
    """
    graph = function.graph.as_graph_def()
    library = {each.signature.name: each for each in graph.library.function}
    known: dict[str, list[Inputs]] = {}

    def called(name: str) -> list[Inputs]:
        if name not in known:
            inner = library[name]
            known[name] = []  # should it call itself
            start = {argument.name: [1 << index] for index, argument in enumerate(inner.signature.input_arg)}
            spread = _spread(inner.node_def, start, called)
            known[name] = [_at(spread, inner.ret[output.name]) for output in inner.signature.output_arg]
        return known[name]

    start = {
        tensor.op.name: [1 << index if index < len(sources) and sources[index] else 0]
        for index, tensor in enumerate(function.inputs)
    }
    spread = _spread(graph.node, start, called)
    found = []
    for tensor in function.outputs:
        bits = _at(spread, tensor.name)
        found.append(frozenset(name for index, name in enumerate(sources) if bits >> index & 1))
    return found


def _spread(
    nodes: Sequence[Any], start: Mapping[str, list[Inputs]], called: Callable[[str], list[Inputs]]
) -> dict[str, list[Inputs]]:
    """Returns what each node's outputs depend on: one set for all of them, or one each."""
    spread = dict(start)
    changed = True
    while changed:  # once more than the order of the nodes asks for: they mostly are in theirs
        changed = False
        for node in nodes:
            if node.name in start:
                continue
            after = _outputs(node, [_at(spread, name) for name in node.input if not name.startswith("^")], called)
            if spread.get(node.name) != after:
                spread[node.name] = after
                changed = True
    return spread


def _outputs(node: Any, inputs: list[Inputs], called: Callable[[str], list[Inputs]]) -> list[Inputs]:
    if node.op in _SHAPE_ALONE:
        return [0]
    if node.op in _ONE_TO_ONE:
        return inputs
    if node.op in _CALLS:
        outputs = []
        for inner in called(node.attr["f"].func.name):
            outer = 0
            for index, bits in enumerate(inputs):
                if inner >> index & 1:
                    outer |= bits
            outputs.append(outer)
        return outputs or [0]
    together = 0
    for bits in inputs:
        together |= bits
    return [together]


def _at(spread: Mapping[str, list[Inputs]], reference: str) -> Inputs:
    """Returns what `node`, `node:1` (of graphs) or `node:output:1` (of functions) depends on."""
    name, _, rest = reference.partition(":")
    outputs = spread.get(name)
    if not outputs:
        return 0
    position = int(rest.rpartition(":")[2]) if rest else 0
    return outputs[position] if len(outputs) > 1 else outputs[0]
