"""What tells where images come from and what is in them: SBOMs, provenance, scans, signatures."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from pipeyard.images.image_lock import Lock
from pipeyard.packages import dist_folder
from pipeyard.packages.dist_folder import PROVENANCE, sbom_path
from pipeyard.releases import provenance, sbom
from pipeyard.repository.changes import Git
from pipeyard.repository.commits import Commit
from pipeyard.repository.project import Project


def documents(project: Project, built: Lock, commit: Commit, source: str, builder: str) -> dict[str, str]:
    """Returns what stands beside a lock, by path: an SBOM an image, and the provenance of all.

    The same images of the same commit give the same texts.

    Args:
        source: URL of the repository; '' if it has none.
        builder: URI of who builds.

    Raises:
        PipeyardError: a component's lock can't be read.
    """
    with ThreadPoolExecutor() as pool:
        texts = pool.map(lambda name: sbom.of_image(project, name, built, sbom.export(project, name)), built.images)
        found = {sbom_path(name): text for name, text in zip(built.images, texts, strict=True)}
    return {**found, PROVENANCE: provenance.statement(project, built, commit, source, builder)}


def render(
    project: Project,
    built: Lock,
    commit: Commit,
    folder: Path,
    reference: Literal["digest", "tag"],
    builder: str,
    git: Git,
) -> None:
    """Writes what `pipeyard build` leaves in `dist/`: the lock, the specs with their images, SBOMs and provenance.

    Args:
        folder: that becomes so.
        reference: how specs name images.
        builder: URI of who builds.

    Raises:
        PipeyardError: a component's lock can't be read.
    """
    texts = documents(project, built, commit, provenance.source_of(git), builder)
    dist_folder.render(project, built, folder, reference, texts)
