"""What is uploaded: a file in a form, and the compiled pipeline in it.

Source: kubeflow/pipelines, backend/src/apiserver/server/util.go (files) and backend/src/apiserver/template/{template,
v2_template}.go (documents). Recorded: each kind of file, and each document that is refused.
"""

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

import yaml
from google.protobuf import json_format

from pipeyard.local.protobuf import pb

from .refusals import PLAIN, Refused, Unanswered, UploadRefused, invalid

_LIMIT = 32 * 1024 * 1024
_SCHEMA = "2.1.0"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_PIPELINE = "pipeline.yaml"
_YAML = (".yaml", ".yml")


class _Loader(yaml.SafeLoader):
    """As Go's yaml.v3 reads: `yes` and dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in found if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def uploaded(content_type: str, body: bytes) -> tuple[str, bytes]:
    """Returns name and content of the file in a form."""
    parts = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
    for part in parts.iter_parts() if parts.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "uploadfile":
            return part.get_filename() or "", part.get_payload(decode=True)
    raise UploadRefused(400, "Failed to read pipeline from file", PLAIN)


def pipeline_text(name: str, data: bytes) -> bytes:
    """Returns the compiled pipeline of an uploaded file."""
    try:
        if len(data) > _LIMIT:
            raise ValueError(f"File size too large. Maximum supported file size: {_LIMIT}")
        if name.endswith((*_YAML, ".json")):
            return data
        if data.startswith(b"PK"):
            return _zipped(data)
        if data.startswith(b"\x1f\x8b"):
            return _packed(data)
        raise ValueError(f"Unexpected pipeline file format {name}. Support .zip, .tar.gz, .json or YAML.")
    except ValueError as error:
        raise UploadRefused(400, str(error), PLAIN) from error


def _packed(data: bytes) -> bytes:
    """Returns the first `pipeline.yaml`, or else the first file, if it is YAML."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            members = list(archive)
            chosen = next((each for each in members if each.name == _PIPELINE), members[0] if members else None)
            if chosen is None or not chosen.name.endswith(_YAML):
                raise ValueError(f"Expecting a pipeline.yaml file inside the tarball. Got: {chosen and chosen.name}")
            found = archive.extractfile(chosen)
            return found.read() if found else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"Error extracting pipeline from the tarball file: {error}") from error


def _zipped(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            chosen = _PIPELINE if _PIPELINE in names else (names or [""])[0]
            if not chosen.endswith(_YAML):
                raise ValueError(f"Expecting a pipeline.yaml file inside the zip. Got: {chosen}")
            return archive.read(chosen)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"Error extracting pipeline from the zip file: {error}") from error


def specification(text: bytes) -> dict[str, Any]:
    """Returns a compiled pipeline as the API shows it: with the platform's settings, if it has any, beside it.

    Documents that are neither a pipeline nor settings for Kubernetes are left out, whatever is in them.

    Raises:
        Refused: there is no pipeline in it, or several, or of another version.
        Unanswered: it isn't YAML.
    """
    documents = list(_documents(text))
    if documents and _is_argo(documents[0]):
        return documents[0]
    pipelines = [each for each in documents if _is_pipeline(each)]
    platforms = [each for each in documents if not _is_pipeline(each) and _is_platform(each)]
    if not pipelines:
        raise invalid("pipeline spec is invalid: unknown template format")
    if len(pipelines) > 1 or len(platforms) > 1:
        raise invalid("multiple pipeline specs, or platform specs, provided")
    if pipelines[0].get("schemaVersion") != _SCHEMA:
        raise invalid(f"KFP only supports schema version {_SCHEMA}, not {pipelines[0].get('schemaVersion')}")
    return {"pipeline_spec": pipelines[0], "platform_spec": platforms[0]} if platforms else pipelines[0]


def check_name(spec: Mapping[str, Any]) -> None:
    """Refuses a pipeline by its name in the specification; only uploads are checked so."""
    if "root" in plain(spec) and not _NAME.fullmatch(plain(spec)["pipelineInfo"]["name"]):
        raise invalid(f"pipeline name must match {_NAME.pattern}")


def given(struct: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a specification that is part of a request as the API shows it. What is wrong with it is 500."""
    parts = [struct["pipeline_spec"], struct.get("platform_spec")] if "pipeline_spec" in struct else [struct]
    try:
        return specification("---\n".join(json.dumps(each) + "\n" for each in parts if each is not None).encode())
    except Refused as refused:
        raise Refused(500, f"InternalServerError: Failed to fetch a template: {refused}") from refused


def plain(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the pipeline without its platform's settings."""
    return spec.get("pipeline_spec", spec)


def _documents(text: bytes) -> Iterator[dict[str, Any]]:
    try:
        for each in yaml.load_all(text, _Loader):
            if isinstance(each, dict):
                yield each
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Unanswered(str(error)) from error


def _is_argo(document: Mapping[str, Any]) -> bool:
    return str(document.get("apiVersion", "")).startswith("argoproj.io/") and document.get("kind") == "Workflow"


def _is_pipeline(document: Mapping[str, Any]) -> bool:
    try:
        parsed = json_format.ParseDict(document, pb.PipelineSpec(), ignore_unknown_fields=False)
    except (json_format.ParseError, TypeError, ValueError):
        return False
    return bool(parsed.pipeline_info.name) and parsed.HasField("root")


def _is_platform(document: Mapping[str, Any]) -> bool:
    try:
        parsed = json_format.ParseDict(document, pb.PlatformSpec(), ignore_unknown_fields=False)
    except (json_format.ParseError, TypeError, ValueError):
        return False
    return "kubernetes" in parsed.platforms
