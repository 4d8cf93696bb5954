"""What a compiled pipeline is shipped as: `workflow.tar.gz` for KFP, one JSON document for Vertex AI.

KFP takes an archive whose first member is named exactly `pipeline.yaml`. The same content gives the same bytes.
"""

import gzip
import hashlib
import importlib.metadata
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.system import jsons, yamls

PIPELINE = "pipeline.yaml"
MANIFEST = "manifest.json"
WORKFLOW = "workflow.tar.gz"
VERTEX = "vertex.json"
# KFP's server refuses larger uploads.
LIMIT = 32 * 1024 * 1024


def manifest(pipeline: str, text: str, commit: str, images: Mapping[str, str], settings: bytes) -> dict[str, Any]:
    """Returns a package's manifest: what it was made of.

    Args:
        text: the compiled pipeline.
        images: component to image.
        settings: the content of `settings.yaml`.
    """
    return {
        "pipeline": pipeline,
        "commit": commit,
        "images": dict(sorted(images.items())),
        "pipeline_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "settings_sha256": hashlib.sha256(settings).hexdigest(),
        "versions": {name: importlib.metadata.version(name) for name in ("kfp", "kfp-pipeline-spec", "pipeyard")},
    }


def workflow(text: str, described: Mapping[str, Any]) -> bytes:
    """Returns the archive: `pipeline.yaml`, then `manifest.json`.

    Raises:
        PipeyardError: it is larger than KFP takes.
    """
    members = {PIPELINE: text, MANIFEST: json.dumps(described, indent=2, sort_keys=True) + "\n"}
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            data = content.encode()
            member = tarfile.TarInfo(name)  # its time is 0, its owner root, its mode 0644
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    packed = gzip.compress(plain.getvalue(), compresslevel=9, mtime=0)
    if len(packed) > LIMIT:
        raise PipeyardError(
            f"{WORKFLOW} has {len(packed) >> 20} MiB, and KFP takes {LIMIT >> 20}. Pass large values by URI."
        )
    return packed


def unpack(data: bytes, name: str = WORKFLOW) -> tuple[bytes, dict[str, Any]]:
    """Returns the compiled pipeline and the manifest of an archive.

    Args:
        name: of the file, for messages.

    Raises:
        PipeyardError: it isn't an archive of `workflow`.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            streams = [archive.extractfile(member) for member in (PIPELINE, MANIFEST)]
            text, described = (stream.read() if stream else b"" for stream in streams)
        return text, jsons.load(described)
    except (tarfile.TarError, EOFError, OSError, KeyError, ValueError) as error:
        raise PipeyardError(f"{name} is damaged: {error}. Run `pipeyard compile` again.") from error


def vertex(text: str) -> str:
    """Returns the compiled pipeline as the single JSON document that Vertex AI's PipelineJob takes.

    Raises:
        PipeyardError: it has a platform's settings in a second document, which Vertex AI would refuse.
    """
    documents = yamls.load_all(text)
    if len(documents) != 1:
        raise PipeyardError(
            "it has settings of the Kubernetes platform, which Vertex AI refuses. Remove them for Vertex."
        )
    return json.dumps(documents[0], indent=2, sort_keys=True) + "\n"
