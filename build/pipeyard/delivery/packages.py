"""A compiled pipeline as `pipeyard compile` left it, checked to be of what is checked out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeyard import deriving, packaging, releases, shipments
from pipeyard.errors import PipeyardError

CONTENT_DIGITS = 12


@dataclass(frozen=True)
class Package:
    """What is delivered of one pipeline.

    Attributes:
        pipeline: name of its folder.
        commit: 40 hex digits, or the mark of a dirty tree.
        text: the compiled pipeline.
        images: component to image.
        files: name to content: `workflow.tar.gz`, and `vertex.json` where Vertex AI takes the pipeline.
    """

    pipeline: str
    commit: str
    text: str
    sha256: str
    images: Mapping[str, str]
    files: Mapping[str, bytes]

    @property
    def content(self) -> str:
        """Names the compiled pipeline: two packages of one content run alike."""
        return self.sha256[:CONTENT_DIGITS]

    @property
    def version(self) -> str:
        """What the package is called where it is uploaded to."""
        return f"{self.commit}-{self.content}"


def read(folder: Path, build: releases.Build) -> Package:
    """Returns the package in `dist/<pipeline>/`.

    Args:
        build: of what is checked out.

    Raises:
        PipeyardError: a file is missing or damaged, or of another commit or of other images than the build's.
    """
    contents = shipments.package(folder, build)
    return of_archive(contents[packaging.WORKFLOW], str(folder / packaging.WORKFLOW), contents.get(packaging.VERTEX))


def of_archive(workflow: bytes, name: str = packaging.WORKFLOW, vertex: bytes | None = None) -> Package:
    """Returns the package that an archive of `packaging.workflow` holds.

    Args:
        name: of the archive, for messages.
        vertex: the same pipeline as one JSON document.

    Raises:
        PipeyardError: it isn't such an archive.
    """
    text, described = packaging.unpack(workflow, name)
    files = {packaging.WORKFLOW: workflow} | ({packaging.VERTEX: vertex} if vertex is not None else {})
    try:
        return Package(
            described["pipeline"],
            described["commit"],
            text.decode(),
            described["pipeline_sha256"],
            described["images"],
            files,
        )
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise PipeyardError(f"{name} is damaged: {error!r}. Run `pipeyard compile` again.") from error


def limited(package: Package, deadline: float | None, retries: Mapping[str, int]) -> Package:
    """Returns a package whose runs have an environment's limits: of another content, and named after that.

    Without limits it is the package itself, byte for byte.

    Args:
        deadline, retries: see `deriving.derive`.
    """
    text = deriving.derive(package.text, deadline, retries)
    if text == package.text:
        return package
    _, described = packaging.unpack(package.files[packaging.WORKFLOW])
    content = hashlib.sha256(text.encode()).hexdigest()
    described = {**described, "pipeline_sha256": content, "derived_from": package.sha256}
    files = {packaging.WORKFLOW: packaging.workflow(text, described)}
    # Vertex AI takes no document with a deadline in it.
    if packaging.VERTEX in package.files and deadline is None:
        files[packaging.VERTEX] = packaging.vertex(text).encode()
    return Package(package.pipeline, package.commit, text, content, package.images, files)


def document(package: Package) -> bytes:
    """Returns `vertex.json`.

    Raises:
        PipeyardError: the package has none.
    """
    if packaging.VERTEX not in package.files:
        raise PipeyardError(
            f"The package of {package.pipeline} has no {packaging.VERTEX}: the pipeline has settings of Kubernetes, "
            f"which Vertex AI doesn't take. Remove them from pipelines/{package.pipeline}/pipeline.py."
        )
    return package.files[packaging.VERTEX]
