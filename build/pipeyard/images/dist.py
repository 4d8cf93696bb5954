"""What a build leaves in `dist/`: rendered specs, and then the lock that says they are whole."""

import shutil
from pathlib import Path
from typing import Literal

from pipeyard import files, rendering
from pipeyard.images import lock
from pipeyard.project import Project

COMPONENTS = "components"


def render(
    project: Project, built: lock.Lock, dist: Path, reference: Literal["digest", "tag"] = "digest"
) -> list[Path]:
    """Writes `<dist>/components/<name>/component.yaml` and `<dist>/images.lock.json`.

    Specs differ from the committed ones by their image alone. The lock of another build is removed first and the new
    one is written last: while there is a lock, the specs are those of its images.

    Returns:
        The specs.

    Raises:
        PipeyardError: a committed spec is no specification.
    """
    texts = {
        name: rendering.with_image(
            (project.components[name].folder / "component.yaml").read_text(encoding="utf-8"),
            str(image.reference(reference)),
            f"components/{name}/component.yaml",
        )
        for name, image in built.images.items()
    }
    (dist / lock.FILE).unlink(missing_ok=True)
    shutil.rmtree(dist / COMPONENTS, ignore_errors=True)
    written = []
    for name, text in texts.items():
        target = dist / COMPONENTS / name / "component.yaml"
        target.parent.mkdir(parents=True)
        files.write_whole(target, text)
        written.append(target)
    files.write_whole(dist / lock.FILE, built.text())
    return written
