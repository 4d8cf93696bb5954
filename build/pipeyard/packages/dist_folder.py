"""What a build leaves in `dist/`: rendered specs, SBOMs, provenance, and then the lock that says they are whole."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pipeyard.images import image_lock
from pipeyard.packages import component_specs
from pipeyard.repository.project import Project
from pipeyard.system import files

COMPONENTS = "components"
SBOMS = "sboms"
PROVENANCE = "provenance.intoto.json"


def sbom_path(component: str) -> str:
    """Returns where the SBOM of a component's image is in `dist/`."""
    return f"{SBOMS}/{component}.cdx.json"


def render(
    project: Project,
    built: image_lock.Lock,
    dist: Path,
    reference: Literal["digest", "tag"] = "digest",
    documents: Mapping[str, str] | None = None,
) -> list[Path]:
    """Writes `<dist>/components/<name>/component.yaml`, documents of the images, and `<dist>/images.lock.json`.

    Specs differ from the committed ones by their image alone. The lock of another build is removed first and the new
    one is written last: while there is a lock, the specs are those of its images. Of two builds at once, the last one's
    are.

    Args:
        documents: SBOMs and provenance, by path in `dist`.

    Returns:
        The specs.

    Raises:
        PipeyardError: a committed spec is no specification.
    """
    texts = {
        name: component_specs.with_image(
            (project.components[name].folder / "component.yaml").read_text(encoding="utf-8"),
            str(image.reference(reference)),
            f"components/{name}/component.yaml",
        )
        for name, image in built.images.items()
    }
    dist.mkdir(parents=True, exist_ok=True)
    with files.holding(dist):
        files.sweep(dist)
        for name in (image_lock.FILE, PROVENANCE):
            (dist / name).unlink(missing_ok=True)
        for name in (COMPONENTS, SBOMS):
            shutil.rmtree(dist / name, ignore_errors=True)
        written = []
        for name, text in texts.items():
            target = dist / COMPONENTS / name / "component.yaml"
            target.parent.mkdir(parents=True)
            files.write_whole(target, text)
            written.append(target)
        for name, text in (documents or {}).items():
            (dist / name).parent.mkdir(parents=True, exist_ok=True)
            files.write_whole(dist / name, text)
        files.write_whole(dist / image_lock.FILE, built.text())
    return written
