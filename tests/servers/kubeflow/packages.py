"""What is uploaded: a compiled pipeline, plain or in an archive."""

import io
import re
import tarfile
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

import yaml
from google.protobuf import json_format

from pipeyard.local.protobuf import pb

from .refusals import Refused, invalid

_LIMIT = 32 * 1024 * 1024
_SCHEMA = "2.1.0"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


def uploaded(content_type: str, body: bytes) -> tuple[str, bytes]:
    """Returns name and content of the file in a form."""
    parts = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
    for part in parts.iter_parts() if parts.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "uploadfile":
            return part.get_filename() or "", part.get_payload(decode=True)
    raise Refused(400, "Failed to read pipeline from file")


def pipeline_text(name: str, data: bytes) -> str:
    """Returns the compiled pipeline of an upload."""
    if len(data) > _LIMIT:
        raise invalid(f"File size too large. Maximum supported file size: {_LIMIT}")
    if data.startswith(b"\x1f\x8b"):
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                first = archive.next()
                if first is None or not first.isfile() or first.name != "pipeline.yaml":
                    raise invalid(f"Not a valid tarball: its first member isn't pipeline.yaml ({first and first.name})")
                data = archive.extractfile(first).read()
        except (tarfile.TarError, EOFError, OSError) as error:
            raise invalid(f"Error extracting pipeline from the tarball file: {error}") from error
    elif not name.endswith((".yaml", ".yml", ".json")):
        raise invalid(f"Unexpected pipeline file format {name}. Support .zip, .tar.gz, .json or YAML.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise invalid("the pipeline isn't text") from error


def specification(text: str) -> dict[str, Any]:
    """Returns a compiled pipeline as the API shows it: with the platform's settings, if it has any, beside it."""
    try:
        documents = [each for each in yaml.safe_load_all(text) if each]
    except yaml.YAMLError as error:
        raise invalid(f"unknown template format: {error}") from error
    if not documents:
        raise invalid("unknown template format: the pipeline is empty")
    check(documents[0])
    return {"pipeline_spec": documents[0], "platform_spec": documents[1]} if len(documents) > 1 else documents[0]


def check(spec: Any) -> None:
    """Refuses what the backend can't read."""
    if not isinstance(spec, dict) or spec.get("schemaVersion") != _SCHEMA:
        raise invalid(f"unknown template format: its schemaVersion isn't {_SCHEMA}")
    try:
        json_format.ParseDict(spec, pb.PipelineSpec(), ignore_unknown_fields=False)
    except json_format.ParseError as error:
        raise invalid(f"unknown template format: {error}") from error
    name = spec.get("pipelineInfo", {}).get("name", "")
    if not _NAME.fullmatch(name):
        raise invalid(f"the pipeline's name {name!r} isn't lower case letters, digits and '-'")
