"""Software bills of materials in CycloneDX: uv tells a component's packages from its lock, here they become an image's.

An image has exactly the packages of its component's lock, those in shared images below included, the repository's own
packages, and what the outermost base image brings. That is named by digest, and said to be unknown beyond it.
https://cyclonedx.org/docs/1.5/json/
"""

import json
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeyard.errors import PipeyardError
from pipeyard.images import shared
from pipeyard.images.image_lock import Lock
from pipeyard.images.references import Reference, parse
from pipeyard.repository import dockerfiles, venvs
from pipeyard.repository.project import Project

_EXPORT = ("export", "--quiet", "--frozen", "--no-dev", "--format", "cyclonedx1.5")
_EMPTY = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}
# Property of a package that says which image, below the component's own, has it.
IN_IMAGE = "pipeyard:image"
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


def export(project: Project, component: str) -> dict[str, Any]:
    """Returns uv's SBOM of what a component's lock installs in its image; one without packages if it has no lock.

    Raises:
        PipeyardError: uv isn't there, or can't read the lock.
    """
    folder = project.components[component].folder
    if not (folder / "uv.lock").exists():
        about = {"component": {"bom-ref": component, "name": component}, "tools": []}
        return {**_EMPTY, "metadata": about, "components": [], "dependencies": []}
    result = subprocess.run([venvs.uv(project), *_EXPORT], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise PipeyardError(f"The lock of {component} can't be read: {result.stderr.strip()}. Run `pipeyard lock`.")
    return json.loads(result.stdout)


def of_image(project: Project, component: str, built: Lock, exported: dict[str, Any]) -> str:
    """Returns the SBOM of a component's image as JSON; the same image gives the same text.

    Args:
        exported: from `export`.
    """
    image = built.images[component]
    bases = {
        name: parse(built.bases[name])
        for name in dockerfiles.below(project, dockerfiles.of_component(project, component))
    }
    program = {**exported["metadata"]["component"], "type": "application"}
    packages = [_located(each, project, list(bases)) for each in exported["components"]]
    below = [_container(name, reference) for name, reference in bases.items()]
    whole = _container(component, image.reference())
    depends = [{"ref": whole["bom-ref"], "dependsOn": [program["bom-ref"], *(each["bom-ref"] for each in below)]}]
    unknown = [each["bom-ref"] for name, each in zip(bases, below, strict=True) if name not in project.bases]
    if not packages:
        unknown.append(program["bom-ref"])
    bill = {
        **exported,
        # uv's is random; time and serial number would make each export another.
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, whole["purl"]).urn,
        "metadata": {"tools": exported["metadata"]["tools"], "component": whole},
        "components": [program, *below, *packages],
        "dependencies": [*depends, *exported["dependencies"]],
        "compositions": [{"aggregate": "unknown", "assemblies": unknown}],
    }
    return json.dumps(bill, indent=2) + "\n"


def _container(name: str, image: Reference) -> dict[str, Any]:
    # https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md
    last = image.repository.rpartition("/")[2]
    purl = f"pkg:oci/{last}@{quote(image.digest, safe='')}?repository_url={quote(image.name, safe='/')}"
    return {"type": "container", "bom-ref": purl, "name": name, "version": image.digest, "purl": purl}


def _located(package: dict[str, Any], project: Project, bases: list[str]) -> dict[str, Any]:
    holders = [base for base in bases if base in project.bases and package["name"] in _held(project.bases[base])]
    if not holders:
        return package
    return {**package, "properties": [*package.get("properties", []), {"name": IN_IMAGE, "value": holders[0]}]}


def _held(base: Path) -> set[str]:
    """Names of the packages in a shared image; their versions are those of every lock."""
    path = base / shared.FILE
    return set(_REQUIREMENT.findall(path.read_text(encoding="utf-8"))) if path.exists() else set()
