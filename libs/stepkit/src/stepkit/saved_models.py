"""SavedModels in one form for what is the same, so that equal runs give equal bytes.

TensorFlow 2.21 writes the same model differently in each process, as was seen by comparing `saved_model.pb` as text:

- maps come in the order of a hash table that is seeded anew in each process;
- tables are shared by a name that holds the path of the vocabulary when the graph was traced, in a scratch folder
  (TFT's), a random number (`tf.lookup`'s for tables without a file), or how many functions this process has made;
- a function that was loaded and is saved again gets its arguments' names in the order of such a map, though the
  arguments themselves come in order;
- `fingerprint.pb` has a random number, and checksums of the above.

Variables and assets are the same as they are. Needs TensorFlow, which a component brings.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MODEL = "saved_model.pb"
_FINGERPRINT = "fingerprint.pb"
# Functions that TensorFlow wraps around loaded ones; they are called with their arguments in order, by no name.
_RESTORED = re.compile(r"^__inference_restored_function_body_\d+$")
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
        ordered = sorted(library.function, key=lambda function: function.signature.name)
        copies = [type(function).FromString(function.SerializeToString()) for function in ordered]
        del library.function[:]
        library.function.extend(copies)
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
