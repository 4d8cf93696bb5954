"""Pipelines in Kubeflow Pipelines: one pipeline of a name, and a version of it for each content.

Protocol: Kubeflow Pipelines API v2beta1, through the generated clients that kfp.Client carries.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pipeyard import packaging
from pipeyard.errors import PipeyardError

# Seconds to connect, and between two pieces of an answer. The client has no limits of its own.
TIMEOUT = (5, 60)
_PAGE = 100
_CONTENT_DIGITS = 12


@dataclass(frozen=True)
class Version:
    """A version of a pipeline.

    Attributes:
        created: False if the content was there already.
    """

    pipeline_id: str
    version_id: str
    name: str
    created: bool


def ensure_version(client: Any, package: Path, namespace: str | None = None) -> Version:
    """Makes a package be a version of the pipeline of its name, which is made where there is none.

    A version is named `<commit>-<12 hex digits of the pipeline's sha256>`. If one of this content is there, of
    whichever commit, it is what is returned; nothing is uploaded.

    Args:
        client: kfp.Client.
        package: `workflow.tar.gz`.
        namespace: of the pipeline, where the server has several users.

    Raises:
        PipeyardError: the package is damaged, or the server refuses or can't be reached.
    """
    _, manifest = packaging.unpack(package.read_bytes(), str(package))
    content = manifest["pipeline_sha256"][:_CONTENT_DIGITS]
    pipeline_id = _pipeline(client, manifest["pipeline"], namespace)
    found = _of_content(client, pipeline_id, content)
    if found:
        return found
    name = f"{manifest['commit']}-{content}"
    made = _ask(
        f"uploading the version {name!r}",
        client.pipeline_uploads.upload_pipeline_version,
        str(package),
        name=name,
        display_name=name,
        pipelineid=pipeline_id,
        tags=json.dumps({"commit": manifest["commit"], "pipeline_sha256": manifest["pipeline_sha256"]}),
        none_for=HTTPStatus.CONFLICT,
    )
    if made is not None:
        return Version(pipeline_id, made.pipeline_version_id, name, created=True)
    found = _of_content(client, pipeline_id, content)  # another upload of it was quicker
    if found is None:
        raise PipeyardError(f"There is a version {name!r} already, but it can't be found. Look at the server.")
    return found


def _pipeline(client: Any, name: str, namespace: str | None) -> str:
    """Returns the id of the pipeline, which gets no version here: the one it'd be made with must bear its name."""
    import kfp_server_api

    where = {"namespace": namespace} if namespace else {}
    for _ in range(2):
        found = _ask(
            f"looking for the pipeline {name!r}",
            client.pipelines.pipeline_service_get_pipeline_by_name,
            name,
            **where,
            none_for=HTTPStatus.NOT_FOUND,
        )
        if found is not None:
            return found.pipeline_id
        made = _ask(
            f"making the pipeline {name!r}",
            client.pipelines.pipeline_service_create_pipeline,
            kfp_server_api.V2beta1Pipeline(name=name, display_name=name, **where),
            none_for=HTTPStatus.CONFLICT,
        )
        if made is not None:
            return made.pipeline_id
    raise PipeyardError(f"There is a pipeline {name!r} already, but it can't be found. Look at the server.")


def _of_content(client: Any, pipeline_id: str, content: str) -> Version | None:
    for each in _versions(client, pipeline_id):
        name = each.name or each.display_name
        if name.endswith(f"-{content}"):
            return Version(pipeline_id, each.pipeline_version_id, name, created=False)
    return None


def _versions(client: Any, pipeline_id: str) -> Iterator[Any]:
    token = ""
    while True:
        page = _ask(
            "listing versions",
            client.pipelines.pipeline_service_list_pipeline_versions,
            pipeline_id,
            page_size=_PAGE,
            page_token=token,
        )
        yield from page.pipeline_versions or []
        token = page.next_page_token
        if not token:
            return


def _ask(what: str, call: Any, *arguments: Any, none_for: HTTPStatus | None = None, **options: Any) -> Any:
    """Calls the server; None for an answer with the status `none_for`."""
    import kfp_server_api
    import urllib3

    try:
        return call(*arguments, _request_timeout=TIMEOUT, **options)
    except kfp_server_api.ApiException as error:
        if error.status == none_for:
            return None
        raise PipeyardError(f"Kubeflow Pipelines: {what} failed: {error.status} {error.reason} {error.body}") from error
    except urllib3.exceptions.HTTPError as error:
        raise PipeyardError(f"Kubeflow Pipelines can't be reached ({what}): {error}. Check its address.") from error
