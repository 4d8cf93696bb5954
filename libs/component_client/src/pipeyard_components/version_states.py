"""What a store says of versions that nobody should use any more: deprecated or yanked, with the reason.

`<name>/versions/states.json` has it by digest: `{"<64 hex digits>": {"state": "yanked", "reason": "..."}}`. A
deprecated version works, and who loads it is warned. A yanked one stays, so that what pins it goes on, and no lock with
it verifies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pipeyard_components import jsons, layout
from pipeyard_components.places import FileMissing, Place, PlaceUnavailable

DEPRECATED = "deprecated"
YANKED = "yanked"
STATES = (DEPRECATED, YANKED)


@dataclass(frozen=True)
class VersionState:
    """Deprecated or yanked, and why."""

    state: str
    reason: str

    @property
    def told(self) -> str:
        """The reason without its full stop, for sentences that go on."""
        return self.reason.strip().rstrip(".")


def path(name: str) -> str:
    """Returns where a component's states are in a store."""
    return f"{layout.check_name(name)}/{layout.VERSIONS}/states.json"


def parse(data: bytes) -> dict[str, VersionState]:
    """Reads states by digest.

    Raises:
        ValueError: it is no such file.
    """
    try:
        told = jsons.load(data)
        found = {digest: VersionState(str(each["state"]), str(each["reason"])) for digest, each in told.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no states of versions ({type(error).__name__}: {error})") from error
    unknown = sorted({each.state for each in found.values()} - set(STATES))
    if unknown:
        raise ValueError(f"a version's state is {unknown[0]!r}; this client knows {' and '.join(STATES)}")
    return found


def dump(states: Mapping[str, VersionState]) -> bytes:
    """Returns the file's bytes."""
    return (json.dumps({digest: asdict(states[digest]) for digest in sorted(states)}, indent=1) + "\n").encode()


def of(place: Place, name: str) -> dict[str, VersionState]:
    """Returns what a place says of a component's versions; nothing where it has no such file.

    Raises:
        PlaceUnavailable: it can't be read.
    """
    try:
        return parse(place.read(path(name)))
    except FileMissing:
        return {}
    except ValueError as error:
        raise PlaceUnavailable(str(error)) from error
