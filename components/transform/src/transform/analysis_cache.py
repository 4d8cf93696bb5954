"""What the first phase of an analysis accumulated over a shard, kept for runs to come.

    <folder>/<key>.zip        header.json, 0, 1, ... (one member an analyzer, in its order in preprocessing_fn)

The key is a digest of all that the content depends on: the shard's, the module's source, the schema, this program's own
source and all that is installed with it, and the version of this format. An entry that is damaged, or says of itself
that it is of something else, is computed again.
"""

import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_transform.nodes import OperationNode

from stepkit import code, digest, uris
from stepkit.outputs import Outputs
from transform import analyzers
from transform.job import Job
from transform.shards import Shard

_FORMAT = 1
_HEADER = "header.json"
_LOG = logging.getLogger("transform")


class AnalysisCache:
    """Entries of one preprocessing_fn and schema. New ones appear when the step succeeds."""

    def __init__(self, uri: str, common: Mapping[str, Any], outputs: Outputs | None) -> None:
        """Args: uri: folder, empty for none; common: what all shards' keys share; outputs: writes entries whole."""
        self._uri, self._common, self._outputs = uri, common, outputs
        self.hits = self.misses = 0

    @classmethod
    def off(cls) -> "AnalysisCache":
        """Returns one that keeps nothing."""
        return cls("", {}, None)

    @classmethod
    def of(cls, uri: str, job: Job, outputs: Outputs) -> "AnalysisCache":
        """Returns the job's cache below the folder `uri`; an empty `uri` keeps nothing."""
        common = {
            "format": _FORMAT,
            "code": code.fingerprint("transform", "stepkit"),
            "preprocessing": digest.of_text(job.preprocessing.source),
            "schema": digest.of_text(job.schema.proto.SerializeToString(deterministic=True).hex()),
        }
        return cls(uri, common, outputs)

    def get(self, shard: Shard, nodes: Sequence[OperationNode]) -> list[Any] | None:
        """Returns what the operations accumulated over the shard, if that is known."""
        if not self._applies(shard, nodes):
            return None
        header = self._header(shard, nodes)
        entry = self._entry(header)
        try:
            fs, path = uris.filesystem(entry)
            with zipfile.ZipFile(io.BytesIO(fs.cat_file(path))) as content:
                if json.loads(content.read(_HEADER)) != header:
                    raise ValueError("its header tells of another shard, module, schema or version")
                values = _decoded(nodes, [content.read(str(index)) for index in range(len(nodes))])
        except FileNotFoundError:
            self.misses += 1
            return None
        except Exception as error:  # pylint: disable=broad-exception-caught  # of any coder, or filesystem
            _LOG.warning("Ignoring %r of the analysis cache: %s. It is computed again.", entry, error)
            self.misses += 1
            return None
        self.hits += 1
        return values

    def put(self, shard: Shard, nodes: Sequence[OperationNode], values: list[Any]) -> list[Any]:
        """Keeps accumulated values. Returns them as `get` will, so that merging gives the same with and without it."""
        if not self._applies(shard, nodes):
            return values
        header = self._header(shard, nodes)
        encoded = [analyzers.encode(node.operation_def, value) for node, value in zip(nodes, values, strict=True)]
        assert self._outputs
        with zipfile.ZipFile(self._outputs.file(self._entry(header)), "w", zipfile.ZIP_DEFLATED) as content:
            for name, member in [(_HEADER, json.dumps(header).encode()), *enumerate(encoded)]:
                content.writestr(zipfile.ZipInfo(str(name)), member, zipfile.ZIP_DEFLATED)  # the same bytes at any time
        return _decoded(nodes, encoded)

    def _applies(self, shard: Shard, nodes: Sequence[OperationNode]) -> bool:
        return bool(self._uri and shard.sha256) and all(analyzers.encodes(node.operation_def) for node in nodes)

    def _header(self, shard: Shard, nodes: Sequence[OperationNode]) -> dict[str, Any]:
        return {**self._common, "shard": shard.sha256, "analyzers": [node.operation_def.label for node in nodes]}

    def _entry(self, header: Mapping[str, Any]) -> str:
        return uris.join(self._uri, digest.of_text(json.dumps(header, sort_keys=True)) + ".zip")


def _decoded(nodes: Sequence[OperationNode], encoded: Sequence[bytes]) -> list[Any]:
    return [analyzers.decode(node.operation_def, content) for node, content in zip(nodes, encoded, strict=True)]
