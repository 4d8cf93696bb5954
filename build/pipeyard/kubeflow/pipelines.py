"""Pipelines in Kubeflow Pipelines: one pipeline of a name, and a version of it for each content."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pipeyard import packaging
from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import pages
from pipeyard.kubeflow.connection import Server

# Characters that the server's database takes of a pipeline's name.
LONGEST = 128
_CONTENT_DIGITS = 12


@dataclass(frozen=True)
class Version:
    """A version of a pipeline.

    Attributes:
        created: False if the content was there already.
        tags: `commit` and `pipeline_sha256`, where it was made here.
    """

    pipeline_id: str
    version_id: str
    name: str
    created: bool
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)


def ensure_version(server: Server, package: Path) -> Version:
    """Makes a package be a version of the pipeline of its name, which is made where there is none.

    A version is named `<commit>-<12 hex digits of the pipeline's sha256>`. If one of this content is there, of
    whichever commit, it is what is returned; nothing is uploaded. Several may do this at a time.

    Args:
        package: `workflow.tar.gz`.

    Raises:
        PipeyardError: the package is damaged, or the server refuses or can't be reached.
    """
    _, manifest = packaging.unpack(package.read_bytes(), str(package))
    content = manifest["pipeline_sha256"]
    pipeline_id = _ensure_pipeline(server, manifest["pipeline"])
    found = _of_content(server, pipeline_id, content)
    if found:
        return found
    name = f"{manifest['commit']}-{content[:_CONTENT_DIGITS]}"
    made = server.ask(
        f"uploading the version {name!r}",
        server.uploads.upload_pipeline_version,
        str(package),
        name=name,
        display_name=name,
        pipelineid=pipeline_id,
        tags=json.dumps({"commit": manifest["commit"], "pipeline_sha256": content}),
        none_for=HTTPStatus.CONFLICT,  # of another upload, or of ours, whose answer was lost
        seconds=server.limits.upload,
    )
    if made is not None:
        return _version(made, created=True)
    found = _of_content(server, pipeline_id, content)
    if found is None:
        raise PipeyardError(f"There is a version {name!r} already, but it can't be found. Look at {server.host}.")
    return found


def find_pipeline(server: Server, name: str) -> str | None:
    """Returns the id of the pipeline of a name in the server's namespace; None if there is none.

    Raises:
        ServerError: the server fails.
    """
    found = server.ask(
        f"looking for the pipeline {name!r}",
        server.pipelines.pipeline_service_get_pipeline_by_name,
        name,
        **server.where,
        none_for=HTTPStatus.NOT_FOUND,
    )
    return found.pipeline_id if found is not None else None


def find_version(server: Server, pipeline: str, content: str) -> Version | None:
    """Returns the version of a content; None if there is none. Only reads.

    Args:
        pipeline: its name.
        content: sha256 of the compiled pipeline in hex.

    Raises:
        ServerError: the server fails.
    """
    pipeline_id = find_pipeline(server, pipeline)
    return _of_content(server, pipeline_id, content) if pipeline_id else None


def specification(server: Server, version: Version) -> dict[str, Any]:
    """Returns a version's compiled pipeline as the server keeps it, with the platform's settings, where it has any,
    beside it: `{"pipeline_spec": ..., "platform_spec": ...}`.

    Raises:
        ServerError: the server fails.
    """
    found = server.ask(
        f"reading the version {version.name!r}",
        server.pipelines.pipeline_service_get_pipeline_version,
        version.pipeline_id,
        version.version_id,
    )
    spec = found.pipeline_spec or {}
    return spec if "pipeline_spec" in spec else {"pipeline_spec": spec}


def _ensure_pipeline(server: Server, name: str) -> str:
    """Returns the id of the pipeline, which gets no version here: the one it'd be made with must bear its name."""
    import kfp_server_api

    if len(name) > LONGEST:
        raise PipeyardError(f"The pipeline's name {name!r} has {len(name)} characters; the server takes {LONGEST}.")
    for _ in range(2):
        if found := find_pipeline(server, name):
            return found
        made = server.ask(
            f"making the pipeline {name!r}",
            server.pipelines.pipeline_service_create_pipeline,
            kfp_server_api.V2beta1Pipeline(name=name, display_name=name, **server.where),
            none_for=HTTPStatus.CONFLICT,
        )
        if made is not None:
            return made.pipeline_id
    raise PipeyardError(f"There is a pipeline {name!r} already, but it can't be found. Look at {server.host}.")


def _of_content(server: Server, pipeline_id: str, content: str) -> Version | None:
    for each in _versions(server, pipeline_id):
        whole = each.tags.get("pipeline_sha256", content)
        if each.name.endswith(f"-{content[:_CONTENT_DIGITS]}") and whole.startswith(content):
            return each
    return None


def _versions(server: Server, pipeline_id: str) -> Iterator[Version]:
    listed = pages.all_of(
        server,
        "listing versions",
        server.pipelines.pipeline_service_list_pipeline_versions,
        "pipeline_versions",
        pipeline_id,
    )
    return (_version(each) for each in listed)


def _version(each: Any, created: bool = False) -> Version:
    return Version(
        each.pipeline_id,
        each.pipeline_version_id,
        each.name or each.display_name,
        created,
        each.tags or {},
    )
