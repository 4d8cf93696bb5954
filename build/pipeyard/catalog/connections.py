"""What connects to what: outputs and inputs whose artifacts mean the same.

An artifact is what its component declares that it means ("Examples"), or what its type is called. Those that are no
more than an Artifact say nothing, so they connect to nothing here; a search finds them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeyard.catalog.stored_components import StoredComponent
from pipeyard_components.interfaces import GENERAL, VALUES, Port

ANYTHING = "Artifact"


@dataclass(frozen=True)
class PortsOf:
    """Inputs or outputs of a component that are the same artifact, by name."""

    component: StoredComponent
    names: list[str]


@dataclass(frozen=True)
class Beside:
    """What is at the other end of an artifact: some of the components, and how many there are."""

    label: str
    shown: list[StoredComponent]
    count: int


@dataclass(frozen=True)
class ArtifactFlows:
    """Artifacts by what they are, to who makes and who takes them, each component once."""

    makers: dict[str, list[PortsOf]]
    takers: dict[str, list[PortsOf]]

    @property
    def labels(self) -> list[str]:
        """All that is made or taken, in alphabetical order."""
        return sorted({*self.makers, *self.takers}, key=lambda each: (each.lower(), each))

    def upstream(self, component: StoredComponent, most: int) -> list[Beside]:
        """Returns who makes what a component takes: so many of an artifact at most."""
        return list(_beside(component, component.current.interface.inputs.values(), self.makers, most))

    def downstream(self, component: StoredComponent, most: int) -> list[Beside]:
        """Returns who takes what a component makes: so many of an artifact at most."""
        return list(_beside(component, component.current.interface.outputs.values(), self.takers, most))


def of(components: Sequence[StoredComponent]) -> ArtifactFlows:
    """Returns what connects the current versions of components."""
    makers: dict[str, list[PortsOf]] = {}
    takers: dict[str, list[PortsOf]] = {}
    for component in components:
        interface = component.current.interface
        for ports, found in ((interface.outputs, makers), (interface.inputs, takers)):
            for port in ports.values():
                if not is_artifact(port):
                    continue
                there = found.setdefault(label(port), [])
                if not there or there[-1].component is not component:
                    there.append(PortsOf(component, []))
                there[-1].names.append(port.name)
    return ArtifactFlows(makers, takers)


def _beside(
    component: StoredComponent, ports: Iterable[Port], others: Mapping[str, Sequence[PortsOf]], most: int
) -> Iterator[Beside]:
    for each in dict.fromkeys(label(port) for port in ports if is_artifact(port)):
        if each == ANYTHING:
            continue
        found = others.get(each, ())
        # One more, as the component itself may be among them.
        shown = [other.component for other in found[: most + 1] if other.component is not component][:most]
        yield Beside(each, shown, len(found) if len(found) > most + 1 else len(shown))


def is_artifact(port: Port) -> bool:
    """True if what is passed is a file, and no value."""
    return port.type not in VALUES


def label(port: Port) -> str:
    """Returns what an input or output is: what its artifact means, else its type."""
    return port.meaning or port.type


def kfp_type(port: Port) -> str:
    """Returns what kfp takes its type for: one that it doesn't know is an Artifact."""
    return port.type if port.type in VALUES or port.type in GENERAL else ANYTHING
