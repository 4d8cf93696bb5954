"""SavedModels in one form for what is the same, so that equal runs give equal bytes.

TensorFlow 2.21 writes the same model differently in each process, as was seen by comparing `saved_model.pb` as text:

- maps come in the order of a hash table that is seeded anew in each process;
- tables are shared by a name that holds the path of the vocabulary when the graph was traced, in a scratch folder
  (TFT's), a random number (`tf.lookup`'s for tables without a file), or a number of the process;
- names of functions and of what they capture end in how many things the process has made before: not the same for one
  that goes on from a checkpoint;
- a function that was loaded and is saved again gets its arguments' names in the order of such a map, though the
  arguments themselves come in order;
- `fingerprint.pb` has a random number, and checksums of the above.

Variables and assets are the same as they are. Needs TensorFlow, which a component brings.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_MODEL = "saved_model.pb"
_FINGERPRINT = "fingerprint.pb"
# Functions that TensorFlow wraps around loaded ones; they are called with their arguments in order, by no name.
_RESTORED = re.compile(r"^__inference_restored_function_body_\d+$")
_NUMBERED = re.compile(r"^(.*_)(\d+)$")
_CAPTURED = "_user_specified_name"
# Variables are shared by names that are the model's own.
_OWN_NAMES = frozenset(["VarHandleOp"])


def make_canonical(folder: Path) -> None:
    """Rewrites the SavedModel in `folder` so that equal models have equal files, wherever and whenever they were made.

    What it computes, its names of signatures, inputs and outputs, and its variables stay as they are.
    """
    from tensorflow.core.protobuf import (  # pylint: disable=import-outside-toplevel,import-error,no-name-in-module
        fingerprint_pb2,
        saved_model_pb2,
    )

    path = folder / _MODEL
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in model.meta_graphs:
        library = graph.graph_def.library
        _name_resources(graph.graph_def)
        for function in library.function:
            if _RESTORED.match(function.signature.name):
                _name_arguments(function)
        _number_captures(graph.graph_def)
        _number_functions(graph)
        library.function.sort(key=_name)
    content = model.SerializeToString(deterministic=True)
    path.write_bytes(content)

    fingerprint = folder / _FINGERPRINT
    if fingerprint.exists():
        described = fingerprint_pb2.FingerprintDef.FromString(fingerprint.read_bytes())
        # TensorFlow takes none of them for more than names of the content, but for the length.
        digest = hashlib.sha256(content).digest()
        described.saved_model_checksum = int.from_bytes(digest[:8], "big")
        described.graph_def_program_hash = int.from_bytes(digest[8:16], "big")
        described.uuid = str(int.from_bytes(digest[16:], "big"))
        fingerprint.write_bytes(described.SerializeToString(deterministic=True))


def _name(function: Any) -> str:
    return str(function.signature.name)


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _name_resources(graph: Any) -> None:
    """Numbers the names by which operations share tables and the like; who shared one still does.

    Whoever loads the model keeps them apart from those of other models: sessions have their own, and
    `tf.saved_model.load` appends a number to each.
    """
    names: dict[bytes, bytes] = {}
    for node in _nodes(graph):
        shared = node.attr["shared_name"].s if "shared_name" in node.attr else b""
        if shared and node.op not in _OWN_NAMES:
            node.attr["shared_name"].s = names.setdefault(shared, f"{node.op}_{len(names)}".encode())


def _number_captures(graph: Any) -> None:
    """Numbers what functions capture, in the order in which it was made; the names mean nothing to TensorFlow."""
    attributes = [node.attr for node in _nodes(graph)]
    attributes += [each.attr for function in graph.library.function for each in function.arg_attr.values()]
    named = [found[_CAPTURED] for found in attributes if _CAPTURED in found and found[_CAPTURED].s.isdigit()]
    numbers = {number: index for index, number in enumerate(sorted({int(value.s) for value in named}))}
    for value in named:
        value.s = str(numbers[int(value.s)]).encode()


def _number_functions(graph: Any) -> None:
    """Numbers the functions, in the order in which they were made, wherever they are named."""
    library = graph.graph_def.library
    found = [match for function in library.function if (match := _NUMBERED.match(_name(function)))]
    found.sort(key=lambda match: (int(match[2]), match[1]))
    new = {match[0]: f"{match[1]}{index}" for index, match in enumerate(found)}

    def renamed(name: str) -> str:
        return new.get(name, name)

    for function in library.function:
        function.signature.name = renamed(function.signature.name)
        _refer(function.attr, renamed)
    for node in _nodes(graph.graph_def):
        node.op = renamed(node.op)
        _refer(node.attr, renamed)
    for gradient in library.gradient:
        gradient.function_name = renamed(gradient.function_name)
        gradient.gradient_func = renamed(gradient.gradient_func)
    _rename_keys(graph.meta_info_def.function_aliases, renamed)
    _rename_keys(graph.object_graph_def.concrete_functions, renamed)
    for saved in graph.object_graph_def.nodes:
        kind = saved.WhichOneof("kind")
        if kind == "function":
            saved.function.concrete_functions[:] = map(renamed, saved.function.concrete_functions)
        elif kind == "bare_concrete_function":
            bare = saved.bare_concrete_function
            bare.concrete_function_name = renamed(bare.concrete_function_name)


def _refer(attributes: Any, renamed: Callable[[str], str]) -> None:
    """Renames the functions that attributes name."""
    for value in attributes.values():
        kind = value.WhichOneof("value")
        for named in [value.func] if kind == "func" else value.list.func if kind == "list" else ():
            named.name = renamed(named.name)
            _refer(named.attr, renamed)
        if kind == "s" and value.s.startswith(b"__"):  # the functions of gradients
            value.s = renamed(value.s.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _rename_keys(by_name: Any, renamed: Callable[[str], str]) -> None:
    """Renames the keys of a protobuf map, of messages or of text."""
    before = dict(by_name)
    copies = {name: value if isinstance(value, str) else _copy(value) for name, value in before.items()}
    by_name.clear()
    for name, value in copies.items():
        if isinstance(value, str):
            by_name[renamed(name)] = value
        else:
            by_name[renamed(name)].CopyFrom(value)


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _name_arguments(function: Any) -> None:
    """Names a function's arguments by their position."""
    taken = {node.name for node in function.node_def}
    new = {old.name: f"argument_{index}" for index, old in enumerate(function.signature.input_arg)}
    if taken & set(new.values()):
        return
    for argument in function.signature.input_arg:
        argument.name = new[argument.name]
    for node in function.node_def:
        node.input[:] = [_renamed(name, new) for name in node.input]
    for output in function.ret:
        function.ret[output] = _renamed(function.ret[output], new)


def _renamed(name: str, new: dict[str, str]) -> str:
    """Renames a reference: `argument` or `argument:0`."""
    base, colon, index = name.partition(":")
    return new.get(base, base) + colon + index


def unrestored(folder: Path) -> list[str]:
    """Returns the variables of the SavedModel in `folder` that a session, as TF Serving's, would find uninitialized."""
    from tensorflow.core.protobuf import (  # pylint: disable=import-outside-toplevel,import-error,no-name-in-module
        saved_model_pb2,
    )

    model = saved_model_pb2.SavedModel.FromString((folder / _MODEL).read_bytes())
    return [name for graph in model.meta_graphs for name in unrestored_variables(graph)]


def unrestored_variables(meta_graph: Any) -> dict[str, str]:
    """Returns variables that nothing restores, to copies of them that are restored.

    Keras 3 exports a copy of each variable that it tracks, and names the copy to the restore operation alone: what the
    signatures read stays uninitialized, unless it is loaded by `tf.saved_model.load`, which goes by objects.
    """
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    restore = nodes.get(meta_graph.saver_def.restore_op_name)
    restored = {_node_of(tensor) for tensor in restore.input} if restore else set()
    found = {}
    for node in meta_graph.graph_def.node:
        if node.op != "AssignVariableOp":
            continue
        copy, value = (_node_of(tensor) for tensor in node.input[:2])
        if copy in restored and value in nodes and nodes[value].op == "ReadVariableOp":
            original = _node_of(nodes[value].input[0])
            if original not in restored:
                found[original] = copy
    return found


def _node_of(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]
