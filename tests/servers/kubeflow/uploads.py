"""The endpoints that take files. They aren't behind the gateway: their checks have an order, and forms, of their own.

Source: kubeflow/pipelines, backend/src/apiserver/server/pipeline_upload_server.go. Recorded: what is refused as
text and what as JSON.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from . import packages
from .catalog import LONGEST, Catalog
from .refusals import PLAIN, Refused, TooLong, UploadRefused

_NAMESPACE = 63
Query = Mapping[str, str]


class Uploads:
    """Pipelines and versions from files."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def pipeline(self, query: Query, content_type: str, body: bytes) -> dict:
        """Makes a pipeline with its first version, which is called as the pipeline is, whatever one would have."""
        file, data = packages.uploaded(content_type, body)
        text = packages.pipeline_text(file, data)
        namespace = query.get("namespace", "")
        if len(namespace.encode()) > _NAMESPACE:
            raise TooLong(400, f"Pipeline.Namespace length cannot exceed {_NAMESPACE}")
        made = {**_described(query, file), "namespace": namespace, "tags": _tags(query)}
        if len(made["name"].encode()) > LONGEST["pipeline"]:
            raise TooLong(400, f"Pipeline.Name length cannot exceed {LONGEST['pipeline']}")
        return _told(lambda: self._catalog.add_pipeline_with_version(made, text))

    def version(self, query: Query, content_type: str, body: bytes) -> dict:
        """Makes a version of a pipeline."""
        file, data = packages.uploaded(content_type, body)
        text = packages.pipeline_text(file, data)
        pipeline = query.get("pipelineid", "")
        if not pipeline:
            raise UploadRefused(400, "Failed to create a pipeline version", PLAIN)
        made = {**_described(query, file), "pipeline_id": pipeline}
        if len(made["name"].encode()) > LONGEST["pipeline version"]:
            raise TooLong(400, f"PipelineVersion.Name length cannot exceed {LONGEST['pipeline version']}")
        if pipeline not in self._catalog.pipelines:
            raise UploadRefused(400, "Failed to create a pipeline version", PLAIN)
        made["tags"] = _tags(query)
        return _told(lambda: self._catalog.add_version(made, text))


def _described(query: Query, file: str) -> dict[str, Any]:
    name = query.get("name") or query.get("display_name") or file
    return {
        "name": name,
        "display_name": query.get("display_name") or name,
        "description": query.get("description", ""),
        "code_source_url": query.get("code_source_url", ""),
    }


def _tags(query: Query) -> dict[str, str]:
    try:
        tags = json.loads(query.get("tags") or "null")
    except ValueError as error:
        raise UploadRefused(400, "Failed to parse tags query parameter", PLAIN) from error
    tags = {} if tags is None else tags
    if not isinstance(tags, dict) or not all(isinstance(value, str | None) for value in tags.values()):
        raise UploadRefused(400, "Expected JSON object with string keys and values", PLAIN)
    return {key: value or "" for key, value in tags.items()}


def _told(make: Callable[[], dict]) -> dict:
    """What the service refuses as the upload's endpoints tell it."""
    try:
        return make()
    except Refused as refused:
        raise UploadRefused(refused.status, str(refused)) from refused
