"""What a SavedModel's graph says of its input beside its signatures: which features can't be left out."""

from collections.abc import Collection, Iterator
from typing import Any

_PARSERS = ("ParseExampleV2",)


def required_features(meta_graph: Any, signature: str) -> frozenset[str] | None:
    """Returns the features without which a signature of tf.Examples refuses one.

    They are the dense keys of its `ParseExampleV2` that have no default value:
    https://www.tensorflow.org/api_docs/python/tf/raw_ops/ParseExampleV2

    Args:
        meta_graph: `MetaGraphDef`.

    Returns:
        None if the signature isn't there, or parses no examples.
    """
    if signature not in meta_graph.signature_def:
        return None
    functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    outputs = meta_graph.signature_def[signature].outputs.values()
    found = [
        names
        for nodes in _reached(meta_graph.graph_def, functions, {info.name for info in outputs})
        for node in nodes.values()
        if node.op in _PARSERS and (names := _without_default(node, nodes)) is not None
    ]
    return frozenset().union(*found) if found else None


def _reached(graph: Any, functions: dict[str, Any], tensors: set[str]) -> Iterator[dict[str, Any]]:
    """Yields the nodes, by name, that some tensors are computed with: of the graph, then of each function called."""
    nodes = {node.name: node for node in graph.node}
    pending = [_node_of(tensor) for tensor in tensors]
    own: dict[str, Any] = {}
    while pending:
        name = pending.pop()
        if name in nodes and name not in own:
            own[name] = nodes[name]
            pending += [_node_of(tensor) for tensor in nodes[name].input]
    yield own
    called = _called(own, functions)
    seen: set[str] = set()
    while called:
        name = called.pop()
        if name in seen:
            continue
        seen.add(name)
        body = {node.name: node for node in functions[name].node_def}
        yield body
        called |= _called(body, functions) - seen


def _called(nodes: dict[str, Any], functions: dict[str, Any]) -> set[str]:
    found = set()
    for node in nodes.values():
        found.add(node.op)
        for value in node.attr.values():
            found.update(named.name for named in (value.func, *value.list.func) if named.name)
    return found & functions.keys()


def _without_default(node: Any, nodes: dict[str, Any]) -> frozenset[str] | None:
    # Inputs: serialized, names, sparse_keys, dense_keys, ragged_keys, then a default a dense key.
    from tensorflow import make_ndarray  # pylint: disable=import-outside-toplevel,import-error

    constants = [nodes.get(_node_of(tensor)) for tensor in node.input[3:]]
    if any(constant is None or constant.op != "Const" for constant in constants):
        return None
    keys, _, *defaults = (make_ndarray(constant.attr["value"].tensor) for constant in constants if constant)
    return frozenset(key.decode() for key, default in zip(keys.tolist(), defaults, strict=True) if default.size == 0)


def _node_of(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]


def keep(meta_graph: Any, signatures: Collection[str], variables: Collection[str] = ()) -> None:
    """Leaves in a `MetaGraphDef` only what some signatures are computed with, and what they need to be restored.

    The others (those of training data, and what the optimizer left) take as much memory and time again.

    Args:
        signatures: those that aren't there don't count.
        variables: nodes that are kept as well.
    """
    graph = meta_graph.graph_def
    for name in set(meta_graph.signature_def) - set(signatures):
        del meta_graph.signature_def[name]
    tensors = {
        info.name
        for signature in meta_graph.signature_def.values()
        for info in (*signature.inputs.values(), *signature.outputs.values())
    }
    tensors |= {meta_graph.saver_def.filename_tensor_name, meta_graph.saver_def.restore_op_name, *variables}
    tensors |= {asset.tensor_info.name for asset in meta_graph.asset_file_def}
    functions = {function.signature.name: function for function in graph.library.function}
    nodes, *bodies = _reached(graph, functions, tensors - {""})
    called = set().union(*(_called(each, functions) for each in (nodes, *bodies)))
    kept = [node for node in graph.node if node.name in nodes]
    library = [functions[name] for name in sorted(called)]
    del graph.node[:]
    graph.node.extend(kept)
    del graph.library.function[:]
    graph.library.function.extend(library)
