"""A compiled pipeline as `pipeyard compile` left it, checked to be of what is checked out."""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.ir import derivation
from pipeyard.packages import archives, builds
from pipeyard.system.files import holding

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


def read(folder: Path, build: builds.Build) -> Package:
    """Returns the package in `dist/<pipeline>/`.

    Args:
        build: of what is checked out.

    Raises:
        PipeyardError: a file is missing or damaged, or of another commit or of other images than the build's.
    """
    contents = package_files(folder, build)
    return of_archive(contents[archives.WORKFLOW], str(folder / archives.WORKFLOW), contents.get(archives.VERTEX))


def of_archive(workflow: bytes, name: str = archives.WORKFLOW, vertex: bytes | None = None) -> Package:
    """Returns the package that an archive of `archives.workflow` holds.

    Args:
        name: of the archive, for messages.
        vertex: the same pipeline as one JSON document.

    Raises:
        PipeyardError: it isn't such an archive.
    """
    text, described = archives.unpack(workflow, name)
    files = {archives.WORKFLOW: workflow} | ({archives.VERTEX: vertex} if vertex is not None else {})
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
        deadline, retries: see `derivation.derive`.
    """
    text = derivation.derive(package.text, deadline, retries)
    if text == package.text:
        return package
    _, described = archives.unpack(package.files[archives.WORKFLOW])
    content = hashlib.sha256(text.encode()).hexdigest()
    described = {**described, "pipeline_sha256": content, "derived_from": package.sha256}
    files = {archives.WORKFLOW: archives.workflow(text, described)}
    # Vertex AI takes no document with a deadline in it.
    if archives.VERTEX in package.files and deadline is None:
        files[archives.VERTEX] = archives.vertex(text).encode()
    return Package(package.pipeline, package.commit, text, content, package.images, files)


def document(package: Package) -> bytes:
    """Returns `vertex.json`.

    Raises:
        PipeyardError: the package has none.
    """
    if archives.VERTEX not in package.files:
        raise PipeyardError(
            f"The package of {package.pipeline} has no {archives.VERTEX}: the pipeline has settings of Kubernetes, "
            f"which Vertex AI doesn't take. Remove them from pipelines/{package.pipeline}/pipeline.py."
        )
    return package.files[archives.VERTEX]


def made_file(path: Path, command: str) -> bytes:
    """Returns what is in a file that a command makes.

    Raises:
        PipeyardError: there is none; names the command.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PipeyardError(f"{path} is missing. Run `{command}` for this commit.") from error


def package_files(folder: Path, build: builds.Build) -> dict[str, bytes]:
    """Returns a compiled pipeline's files, by name.

    Args:
        folder: `dist/<pipeline>/`.

    Raises:
        PipeyardError: one is missing, damaged, or of another commit or of other images than the build's.
    """
    command = f"pipeyard compile {folder.name}"
    with holding(folder) if folder.is_dir() else contextlib.nullcontext():  # nobody writes it meanwhile
        contents = {name: made_file(folder / name, command) for name in (archives.PIPELINE, archives.WORKFLOW)}
        if (folder / archives.VERTEX).exists():
            contents[archives.VERTEX] = (folder / archives.VERTEX).read_bytes()
    text, of = archives.unpack(contents[archives.WORKFLOW], str(folder / archives.WORKFLOW))
    other = sorted(name for name, image in of["images"].items() if build.images.get(name) != image)
    if of["commit"] != build.commit or other or text != contents[archives.PIPELINE]:
        what = f"images of {', '.join(other)}" if other else f"commit {of['commit']}"
        raise PipeyardError(f"{folder / archives.WORKFLOW} has other content ({what}). Run `{command}` again.")
    return contents
