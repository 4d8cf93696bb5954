"""What changes for who uses a release's components and pipelines: with another release, or with what is checked out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeyard.compiling import compiler
from pipeyard.errors import PipeyardError
from pipeyard.packages import archives
from pipeyard.releases import shipments
from pipeyard.releases.publication import Ledger, Release
from pipeyard.repository import dockerfiles
from pipeyard.repository.project import Project
from pipeyard.system import jsons
from pipeyard_components import compatibility, interfaces
from pipeyard_components.compatibility import Comparison
from pipeyard_components.interfaces import Interface

COMPONENTS = "components"

# `components/<name>` and `pipelines/<name>` to what it offers.
Offer = Mapping[str, Interface]


@dataclass(frozen=True)
class Upgrades:
    """What is another, part by part.

    Attributes:
        compared: parts that both have.
        gone, added: parts that only the old, or only the new one has.
    """

    compared: Mapping[str, Comparison]
    gone: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def refused(self) -> list[str]:
        """Parts that break who uses them while their version doesn't say so."""
        return [part for part, each in self.compared.items() if each.refused]

    def as_json(self) -> dict[str, Any]:
        """Returns all of it for machines."""
        parts = {part: each.as_json() for part, each in self.compared.items()}
        return {"refused": self.refused, "gone": list(self.gone), "added": list(self.added), "parts": parts}


def between(old: Offer, new: Offer, images: bool = True) -> Upgrades:
    """Compares two offers; see `compatibility.compare`."""
    return Upgrades(
        {part: compatibility.compare(old[part], new[part], images) for part in sorted(old.keys() & new.keys())},
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(new.keys() - old.keys())),
    )


def released(ledger: Ledger, release: Release, names: Iterable[str] = ()) -> dict[str, Interface]:
    """Returns what a release offers; of releases that don't say it, the images' users aren't known.

    Args:
        names: components; none: all, and the pipelines.

    Raises:
        PipeyardError: the store can't be read, or isn't whole.
    """
    chosen = {name: release.components[name] for name in names or release.components if name in release.components}
    specs = {name: ledger.spec(name, digest) for name, digest in chosen.items()}
    wanted = [] if names else [path for path in release.files if _pipeline(path)]
    files = {path: released_file(ledger, release, path) for path in [*wanted, shipments.USERS] if path in release.files}
    return _offer(specs, files)


def shipped(shipment: shipments.Shipment) -> dict[str, Interface]:
    """Returns what is about to be released."""
    return _offer(shipment.specs, shipment.files)


def committed(project: Project, names: Iterable[str] = ()) -> dict[str, Interface]:
    """Returns what is checked out.

    Args:
        names: components; none: all, and the pipelines, which are compiled.

    Raises:
        PipeyardError: there is no such component, or a pipeline doesn't compile.
    """
    project.check_components(names)
    found = {}
    for name in names or project.components:
        path = project.components[name].folder / "component.yaml"
        text = path.read_text(encoding="utf-8")
        user = dockerfiles.of_component(project, name).user
        found[f"{COMPONENTS}/{name}"] = interfaces.read(text, str(path), user)
    for name, folder in project.pipelines.items() if not names else ():
        part = f"{shipments.PIPELINES}/{name}"
        found[part] = interfaces.read(compiler.compile_pipeline(folder).text, part)
    return found


def _offer(specs: Mapping[str, bytes], files: Mapping[str, bytes]) -> dict[str, Interface]:
    users = jsons.load(files[shipments.USERS]) if shipments.USERS in files else {}
    components = {
        f"{COMPONENTS}/{name}": interfaces.read(spec.decode(), name, users.get(name)) for name, spec in specs.items()
    }
    pipelines = {
        f"{shipments.PIPELINES}/{name}": interfaces.read(data.decode(), path)
        for path, data in files.items()
        if (name := _pipeline(path))
    }
    return components | pipelines


def _pipeline(path: str) -> str:
    """Returns whose compiled pipeline a file of a release is; '' if it is none."""
    folder, _, rest = path.partition("/")
    name, _, file = rest.partition("/")
    return name if (folder, file) == (shipments.PIPELINES, archives.PIPELINE) else ""


def released_file(ledger: Ledger, release: Release, path: str) -> bytes:
    """Returns a file of a release; one that is missing is an error for the user."""
    data = ledger.read(release.path(path))
    if data is None:
        where = ledger.place.location(release.path(path))
        raise PipeyardError(f"{where} is missing: the store isn't whole. Release the commit again.")
    return data
