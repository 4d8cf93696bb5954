"""Pipelines in Kubeflow Pipelines: one pipeline of a name, and a version of it for each content."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.packages import archives
from pipeyard.servers.kubeflow import names, pages
from pipeyard.servers.kubeflow.connection import Server

_CONTENT_DIGITS = 12
# Hex digits of the sha256 in a version's tag: all 64 are one more than a tag's value may have.
_TAG_DIGITS = 40
# The tag of versions that were made before servers had that limit: all 64 digits.
_FORMER_TAG = "pipeline_sha256"


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a pipeline.

    Attributes:
        created: False if the content was there already.
        tags: `commit` and `content`, digits of the compiled pipeline's sha256, where it was made here.
    """

    pipeline_id: str
    version_id: str
    name: str
    created: bool
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)


def ensure_version(server: Server, package: Path) -> PipelineVersion:
    """Uploads the package as a version, creating the pipeline if needed.

    A version is named `<commit>-<12 hex digits of the pipeline's sha256>`. If one of this content is there, of
    whichever commit, it is what is returned; nothing is uploaded. Several may do this at a time.

    Args:
        package: `workflow.tar.gz`.

    Raises:
        PipeyardError: the package is damaged, a name or tag doesn't fit, or the server refuses or can't be reached.
    """
    _, manifest = archives.unpack(package.read_bytes(), str(package))
    content = manifest["pipeline_sha256"]
    name = f"{manifest['commit']}-{content[:_CONTENT_DIGITS]}"
    tags = {"commit": manifest["commit"], "content": content[:_TAG_DIGITS]}
    names.check("pipeline", manifest["pipeline"])
    names.check("version", name)
    names.check_tags(tags)
    pipeline_id = _ensure_pipeline(server, manifest["pipeline"])
    found = _of_content(server, pipeline_id, content)
    if found:
        return found
    made = server.ask(
        f"uploading the version {name!r}",
        server.uploads.upload_pipeline_version,
        str(package),
        name=name,
        display_name=name,
        pipelineid=pipeline_id,
        tags=json.dumps(tags),
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
    """Returns the id of the pipeline of a name in the server's namespace; None if absent.

    Raises:
        PipeyardError: one is there whose name differs by case only, or the server fails.
    """
    found = server.ask(
        f"looking for the pipeline {name!r}",
        server.pipelines.pipeline_service_get_pipeline_by_name,
        name,
        **server.where,
        none_for=HTTPStatus.NOT_FOUND,
    )
    if found is None:
        return None
    if (there := found.name or found.display_name) != name:
        raise PipeyardError(
            f"{server.host} has a pipeline {there!r}, which is the same name as {name!r} to it: case, accents and "
            "trailing spaces don't count there. Remove it there if nobody needs it, or rename the folder in pipelines/."
        )
    return found.pipeline_id


def find_version(server: Server, pipeline: str, content: str) -> PipelineVersion | None:
    """Returns the version of a content; None if absent. Only reads.

    Args:
        pipeline: its name.
        content: sha256 of the compiled pipeline in hex.

    Raises:
        ServerError: the server fails.
    """
    pipeline_id = find_pipeline(server, pipeline)
    return _of_content(server, pipeline_id, content) if pipeline_id else None


def specification(server: Server, version: PipelineVersion) -> dict[str, Any]:
    """Returns a version's compiled pipeline as the server keeps it, with the platform's settings, where it has any,
    beside it: `{"pipeline_spec": ..., "platform_spec": ...}`.

    Raises:
        PipeyardError: there is no such version any more, it can't be run, or the server fails.
    """
    found = server.ask(
        f"reading the version {version.name!r}",
        server.pipelines.pipeline_service_get_pipeline_version,
        version.pipeline_id,
        version.version_id,
        none_for=HTTPStatus.NOT_FOUND,
    )
    # The server looks for the version alone, and would answer a run of it by 500 if the pipeline's id isn't right.
    if found is None or found.pipeline_id != version.pipeline_id:
        raise PipeyardError(
            f"{server.host} doesn't have the version {version.name!r} ({version.version_id}) any more. Deploy again "
            f"(`pipeyard deploy --env {server.environment}`)."
        )
    spec = found.pipeline_spec or {}
    spec = spec if "pipeline_spec" in spec else {"pipeline_spec": spec}
    if lost := _lost(spec["pipeline_spec"]):
        raise PipeyardError(
            f"The server can't run the version {version.name!r}: it has no {', '.join(lost)}. Compile and deploy again "
            f"(`pipeyard deploy --env {server.environment}`)."
        )
    return spec


def _lost(spec: Mapping[str, Any]) -> list[str]:
    """Returns the components and executors that a compiled pipeline names and lacks: the server takes such a version,
    and answers 500 to whoever runs it."""
    components = spec.get("components") or {}
    executors = (spec.get("deploymentSpec") or {}).get("executors") or {}
    lost = set()
    for each in (spec.get("root") or {}, *components.values()):
        for task in ((each.get("dag") or {}).get("tasks") or {}).values():
            if (name := (task.get("componentRef") or {}).get("name", "")) not in components:
                lost.add(f"component {name!r}")
        if (label := each.get("executorLabel")) and label not in executors:
            lost.add(f"executor {label!r}")
    return sorted(lost)


def _ensure_pipeline(server: Server, name: str) -> str:
    """Returns the id of the pipeline, which gets no version here: the one it'd be made with must bear its name."""
    import kfp_server_api

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


def _of_content(server: Server, pipeline_id: str, content: str) -> PipelineVersion | None:
    for each in _versions(server, pipeline_id):
        told = each.tags.get("content") or each.tags.get(_FORMER_TAG) or content
        if each.name.endswith(f"-{content[:_CONTENT_DIGITS]}") and content.startswith(told):
            return each
    return None


def _versions(server: Server, pipeline_id: str) -> Iterator[PipelineVersion]:
    listed = pages.all_of(
        server,
        "listing versions",
        server.pipelines.pipeline_service_list_pipeline_versions,
        "pipeline_versions",
        pipeline_id,
    )
    return (_version(each) for each in listed)


def _version(each: Any, created: bool = False) -> PipelineVersion:
    return PipelineVersion(
        each.pipeline_id,
        each.pipeline_version_id,
        each.name or each.display_name,
        created,
        each.tags or {},
    )
