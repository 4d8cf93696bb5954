"""What a build and a compilation left in `dist/`, checked to belong together, as it is released."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.images import image_lock
from pipeyard.packages import builds, component_specs, dist_folder
from pipeyard.packages.packages import made_file, package_files
from pipeyard.releases import provenance
from pipeyard.repository import dockerfiles
from pipeyard.repository.project import Project
from pipeyard.system import jsons

PIPELINES = "pipelines"
USERS = "image-users.json"


@dataclass(frozen=True)
class Shipment:
    """What is released of a commit.

    Attributes:
        specs: component to its rendered spec.
        files: path in the release to content: lock, provenance, SBOMs, images' users, and `pipelines/<name>/`.
    """

    built: image_lock.Lock
    specs: Mapping[str, bytes]
    files: Mapping[str, bytes]


def collect(project: Project, folder: Path) -> Shipment:
    """Returns what a release of the commit that is checked out publishes.

    Args:
        folder: `dist/`.

    Raises:
        PipeyardError: something is missing, was changed, or was made of another commit or other images.
    """
    build = builds.built(project, folder)
    built = image_lock.read(folder / image_lock.FILE)
    specs = {name: _spec(project, build.specs / name / "component.yaml", image) for name, image in built.images.items()}
    names = [image_lock.FILE, dist_folder.PROVENANCE, *(dist_folder.sbom_path(name) for name in built.images)]
    files = {name: made_file(folder / name, "pipeyard build") for name in names}
    _check_subjects(built, files, folder)
    users = {name: dockerfiles.of_component(project, name).user for name in built.images}
    files[USERS] = (json.dumps(users, indent=1, sort_keys=True) + "\n").encode()
    for name in project.pipelines:
        for file, data in package_files(folder / name, build).items():
            files[f"{PIPELINES}/{name}/{file}"] = data
    return Shipment(built, specs, files)


def _spec(project: Project, path: Path, image: image_lock.Image) -> bytes:
    data = made_file(path, "pipeyard build")
    committed = (project.components[path.parent.name].folder / path.name).read_text(encoding="utf-8")
    allowed = [component_specs.with_image(committed, str(image.reference(by))) for by in ("digest", "tag")]
    if data.decode() not in allowed:
        raise PipeyardError(
            f"{path} isn't the committed spec with the image of the lock: it was changed. Run `pipeyard build` again."
        )
    return data


def _check_subjects(built: image_lock.Lock, files: Mapping[str, bytes], folder: Path) -> None:
    expected = {image.repository: image.digest for image in built.images.values()}
    try:
        stated = provenance.subjects(files[dist_folder.PROVENANCE].decode())
        bills = {name: jsons.load(files[dist_folder.sbom_path(name)]) for name in built.images}
        described = {name: bill["metadata"]["component"]["version"] for name, bill in bills.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise PipeyardError(f"Provenance or an SBOM in {folder} is damaged. Run `pipeyard build` again.") from error
    digests = {name: image.digest for name, image in built.images.items()}
    if described != digests or not expected.items() <= stated.items():
        raise PipeyardError(f"Provenance or SBOMs in {folder} are of other images. Run `pipeyard build` again.")
