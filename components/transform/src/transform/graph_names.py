"""Makes a transform graph's bytes depend on its content alone."""

import hashlib
from pathlib import Path

from stepkit import digest


def settle(graph: Path, scratch: str) -> None:
    """Replaces the path of the scratch folder in the graph's SavedModel, in place.

    TFT names lookup tables by the path of their vocabulary in the scratch folder. TensorFlow shares tables of equal
    name between all models of a process, so different models need different names: the path gives way to a digest of
    model and vocabularies, of the same length, so that the serialized proto around it stays valid.

    Args:
        graph: the folder that holds transform_fn.
        scratch: the folder's URI, as TFT was given it.
    """
    model = graph / "transform_fn" / "saved_model.pb"
    path, serialized = scratch.encode(), model.read_bytes()
    content = hashlib.sha256(serialized.replace(path, b""))
    for folder in ("assets", "variables"):
        if (graph / "transform_fn" / folder).is_dir():
            content.update(digest.of_tree(graph / "transform_fn" / folder).encode())
    name = content.hexdigest() * (len(path) // 64 + 1)
    model.write_bytes(serialized.replace(path, name[: len(path)].encode()))
    # It holds checksums of the former bytes; TensorFlow uses it for its logs only.
    (graph / "transform_fn" / "fingerprint.pb").unlink(missing_ok=True)
