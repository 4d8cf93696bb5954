"""How a component store lies in an OCI registry, and what its artifacts are called.

`oci://HOST/PATH` is a store, which may lie beside images. Below it a component has a repository of its name:

    PATH/<name>                   a version: artifact with the specification as its layer, tagged as in `layout`
    PATH/releases                 a release: artifact with `release.json` and all its files as layers, tagged by commit
                                  and channel; and the store's own documents, with tags that begin with '_'
    PATH/releases/<pipeline>      a compiled pipeline's files, with the same tags

A specification's digest is its blob's, and so is that of each file of a release. The newest version is tagged `latest`.

Artifacts: https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidelines-for-artifact-usage. Each
manifest has an `artifactType`, the empty configuration and, as annotation of each layer, the file's name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeyard_components import jsons, layout
from pipeyard_components.places import FileMissing, PlaceUnavailable

SCHEME = "oci"
DOCKER_HUB = "docker.io"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# Types of artifacts.
FAMILY = "application/vnd.dev.pipeyard."
COMPONENT = f"{FAMILY}component.v1"
PIPELINE = f"{FAMILY}pipeline.v1"
RELEASE = f"{FAMILY}release.v1"
DOCUMENT = f"{FAMILY}store.v1"
# Types of layers: what is none of these has the type of its suffix.
_LAYERS = {
    layout.SPEC: f"{COMPONENT}+yaml",
    "pipeline.yaml": f"{PIPELINE}+yaml",
    layout.RELEASE_FILE: f"{RELEASE}+json",
}
_SUFFIXES = {"json": "application/json", "yaml": "application/yaml", "gz": "application/gzip", "md": "text/markdown"}
EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"

# https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_REFERENCE = re.compile(
    r"(?P<repository>[^:@]+)(?::(?P<tag>\w[\w.-]{0,127})|@sha256:(?P<digest>[0-9a-f]{64}))", re.ASCII
)
_RELEASE_FILE = re.compile(rf"{layout.RELEASES}/sha256/(?P<release>[0-9a-f]{{64}})/(?P<file>.+)")
_NOTES = re.compile(r"notes/(?P<before>[0-9a-f]{64})\.md")
# Of two digests, so that both have room in a tag.
_DIGITS = 48


@dataclass(frozen=True)
class Address:
    """Where a file of a store is in a registry.

    Attributes:
        repository: below the store's path.
        tag: of the artifact whose first layer it is; '' if it has a digest.
        digest: of the blob, 64 hex digits; '' if it has a tag.
        file: path in the release with this digest, which says that file's own.
    """

    repository: str
    tag: str = ""
    digest: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"{self.repository}@sha256:{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def address(path: str) -> Address:
    """Returns where a file of `layout` is, or what a reference names (`NAME:TAG`, `NAME@sha256:DIGEST`).

    Raises:
        FileMissing: it can't be in a registry.
    """
    if reference := _REFERENCE.fullmatch(path):
        return _checked(Address(reference["repository"], reference["tag"] or "", reference["digest"] or ""))
    if path == layout.INDEX:
        return Address(layout.RELEASES, "_index")
    if path.startswith(f"{layout.RELEASES}/"):
        return _checked(_in_releases(path))
    name, _, version = path.partition(f"/{layout.VERSIONS}/")
    kind, _, which = version.partition("/")
    if not version and path.endswith(f"/{layout.SPEC}"):
        return _checked(Address(path[: -len(layout.SPEC) - 1], "latest"))
    if kind == "sha256":
        return _checked(Address(name, digest=which))
    if kind == "tags" and not which.startswith("_"):
        return _checked(Address(name, which))
    if version == "states.json":
        return _checked(Address(name, "_states"))
    if kind == "tags":
        raise FileMissing(f"tags that begin with '_' are the store's own in a registry: {which!r} can't be one")
    raise FileMissing("no file of a store, and no reference: write NAME:TAG or NAME@sha256:DIGEST")


def _in_releases(path: str) -> Address:
    found = _RELEASE_FILE.fullmatch(path)
    if found:
        if notes := _NOTES.fullmatch(found["file"]):
            return Address(layout.RELEASES, f"_notes-{found['release'][:_DIGITS]}-{notes['before'][:_DIGITS]}")
        return Address(layout.RELEASES, digest=found["release"], file=found["file"])
    kind, _, which = path[len(layout.RELEASES) + 1 :].partition("/")
    if kind in {"commits", "channels"} and which and not which.startswith("_"):
        return Address(layout.RELEASES, which)
    raise FileMissing("registries have no place for it")


def _checked(found: Address) -> Address:
    if not REPOSITORY.fullmatch(found.repository):
        raise FileMissing(
            f"no repository of a registry can be called {found.repository!r}: those have lower-case letters, digits, "
            "and '.', '_', '-' between them"
        )
    return found


@dataclass(frozen=True)
class Artifact:
    """A manifest, as it is pushed.

    Attributes:
        kind: its `artifactType`.
        layers: title to content, the one that is loaded first.
    """

    kind: str
    layers: Mapping[str, bytes]

    @property
    def manifest(self) -> bytes:
        """The manifest's bytes: equal artifacts have equal ones, as nothing in it is of a day or a machine."""
        told = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": self.kind,
            "config": _descriptor(EMPTY, _EMPTY_TYPE),
            "layers": [
                {**_descriptor(data, _layer_type(title)), "annotations": {TITLE: title}}
                for title, data in self.layers.items()
            ],
        }
        return json.dumps(told, indent=1).encode()


def loaded_layer(manifest: bytes) -> str:
    """Returns the digest (64 hex digits) of the layer that an artifact is there for.

    Raises:
        PlaceUnavailable: it is no artifact of a component store, but an image, for example.
    """
    try:
        told = jsons.load(manifest)
        kind = told.get("artifactType") or told["config"]["mediaType"]
        if not kind.startswith(FAMILY):
            raise PlaceUnavailable(
                f"{kind}, which is an image or something else that no store has: give the path of a store"
            )
        digest: str = told["layers"][0]["digest"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise PlaceUnavailable(f"its manifest isn't one of an artifact ({type(error).__name__}: {error})") from error
    if not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        raise PlaceUnavailable(f"its layer has the digest {digest!r}, and sha256 alone is verified here")
    return digest.partition(":")[2]


def file_of_release(release: bytes, file: str) -> str:
    """Returns the digest (64 hex digits) of a release's file.

    Args:
        release: `release.json`.

    Raises:
        FileMissing: the release has no such file.
        PlaceUnavailable: it isn't a release.
    """
    try:
        files: dict[str, Any] = jsons.load(release)["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlaceUnavailable(f"it isn't a release ({type(error).__name__}: {error})") from error
    if file not in files:
        raise FileMissing(f"the release has no {file}")
    return str(files[file])


def _descriptor(data: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


def _layer_type(title: str) -> str:
    name = title.rpartition("/")[2]
    return _LAYERS.get(name) or _SUFFIXES.get(name.rpartition(".")[2], "application/octet-stream")
