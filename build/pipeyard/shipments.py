"""What a build and a compilation left in `dist/`, checked to belong together, as it is released."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeyard import jsons, packaging, releases, rendering
from pipeyard.errors import PipeyardError
from pipeyard.images import dist, lock
from pipeyard.project import Project
from pipeyard.supply_chain import provenance

PIPELINES = "pipelines"


@dataclass(frozen=True)
class Shipment:
    """What is released of a commit.

    Attributes:
        specs: component to its rendered spec.
        files: path in the release to content: lock, provenance, SBOMs, and `pipelines/<name>/`.
    """

    built: lock.Lock
    specs: Mapping[str, bytes]
    files: Mapping[str, bytes]


def collect(project: Project, folder: Path) -> Shipment:
    """Returns what is to be released of the commit that is checked out.

    Args:
        folder: `dist/`.

    Raises:
        PipeyardError: something is missing, was changed, or is of another commit or of other images.
    """
    build = releases.built(project, folder)
    built = lock.read(folder / lock.FILE)
    specs = {name: _spec(project, build.specs / name / "component.yaml", image) for name, image in built.images.items()}
    names = [lock.FILE, dist.PROVENANCE, *(dist.sbom_path(name) for name in built.images)]
    files = {name: _read(folder / name, "pipeyard build") for name in names}
    _check_subjects(built, files, folder)
    for name in project.pipelines:
        for file, data in package(folder / name, build).items():
            files[f"{PIPELINES}/{name}/{file}"] = data
    return Shipment(built, specs, files)


def _read(path: Path, command: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PipeyardError(f"{path} is missing. Run `{command}` for this commit.") from error


def _spec(project: Project, path: Path, image: lock.Image) -> bytes:
    data = _read(path, "pipeyard build")
    committed = (project.components[path.parent.name].folder / path.name).read_text(encoding="utf-8")
    allowed = [rendering.with_image(committed, str(image.reference(by))) for by in ("digest", "tag")]
    if data.decode() not in allowed:
        raise PipeyardError(
            f"{path} isn't the committed spec with the image of the lock: it was changed. Run `pipeyard build` again."
        )
    return data


def _check_subjects(built: lock.Lock, files: Mapping[str, bytes], folder: Path) -> None:
    expected = {image.repository: image.digest for image in built.images.values()}
    try:
        stated = provenance.subjects(files[dist.PROVENANCE].decode())
        bills = {name: jsons.load(files[dist.sbom_path(name)]) for name in built.images}
        described = {name: bill["metadata"]["component"]["version"] for name, bill in bills.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise PipeyardError(f"Provenance or an SBOM in {folder} is damaged. Run `pipeyard build` again.") from error
    digests = {name: image.digest for name, image in built.images.items()}
    if described != digests or not expected.items() <= stated.items():
        raise PipeyardError(f"Provenance or SBOMs in {folder} are of other images. Run `pipeyard build` again.")


def package(folder: Path, build: releases.Build) -> dict[str, bytes]:
    """Returns a compiled pipeline's files, by name.

    Args:
        folder: `dist/<pipeline>/`.

    Raises:
        PipeyardError: one is missing, damaged, or of another commit or of other images than the build's.
    """
    command = f"pipeyard compile {folder.name}"
    contents = {name: _read(folder / name, command) for name in (packaging.PIPELINE, packaging.WORKFLOW)}
    if (folder / packaging.VERTEX).exists():
        contents[packaging.VERTEX] = (folder / packaging.VERTEX).read_bytes()
    text, of = packaging.unpack(contents[packaging.WORKFLOW], str(folder / packaging.WORKFLOW))
    other = sorted(name for name, image in of["images"].items() if build.images.get(name) != image)
    if of["commit"] != build.commit or other or text != contents[packaging.PIPELINE]:
        what = f"images of {', '.join(other)}" if other else f"commit {of['commit']}"
        raise PipeyardError(f"{folder / packaging.WORKFLOW} is of other content ({what}). Run `{command}` again.")
    return contents
