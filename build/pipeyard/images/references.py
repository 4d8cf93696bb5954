"""Names of images, as the OCI distribution specification and Docker have them."""

import re
from dataclasses import dataclass, replace

from pipeyard.errors import PipeyardError
from pipeyard_components import oci_layout
from pipeyard_components.oci_layout import DOCKER_HUB

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """`registry/repository[:tag][@digest]`.

    Attributes:
        registry: host, with a port if it has one.
        repository: path in the registry.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    def tagged(self, tag: str) -> "Reference":
        """Returns the repository's reference with a tag alone.

        Raises:
            PipeyardError: it can't be a tag.
        """
        if not _TAG.fullmatch(tag):
            raise PipeyardError(f"{tag!r} can't be an image's tag: letters, digits, '_', '.', '-', at most 128.")
        return replace(self, tag=tag, digest="")

    def at(self, digest: str) -> "Reference":
        """Returns the repository's reference with a digest alone."""
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Reads a reference as `docker pull` would: without a registry it is Docker Hub's.

    Raises:
        PipeyardError: it isn't one; the message says what is wrong.
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise PipeyardError(f"Image {text!r}: {digest!r} is no digest (sha256: and 64 hex digits).")
    head, slash, tail = rest.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        registry, path = head, tail
    else:
        registry, path = DOCKER_HUB, rest if slash else f"library/{rest}"
    path, colon, tag = path.partition(":")
    if not oci_layout.REPOSITORY.fullmatch(path):
        raise PipeyardError(
            f"Image {text!r}: {path!r} is no repository (lower-case letters, digits, '.', '_', '-', '/')."
        )
    if colon and not _TAG.fullmatch(tag):
        raise PipeyardError(f"Image {text!r}: {tag!r} is no tag (letters, digits, '_', '.', '-', at most 128).")
    return Reference(registry, path, tag, digest)
