"""Versions of components that nobody should use any more: deprecated or yanked in a store. Nothing is removed."""

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.releases.publication import Ledger
from pipeyard.releases.writable_places import NO_FILE, PlaceChanged
from pipeyard_components import layout, version_states
from pipeyard_components.layout import VersionSelector
from pipeyard_components.places import FileMissing
from pipeyard_components.version_states import VersionState

_ATTEMPTS = 20


def withdraw(ledger: Ledger, name: str, version: str | None, state: VersionState | None) -> str:
    """Says of a version that it is deprecated or yanked; returns its digest.

    Args:
        version: a tag, or a digest; None: the newest.
        state: None: nothing is wrong with it any more.

    Raises:
        PipeyardError: there is no such version, or the store can't be written.
    """
    if state and not state.reason.strip():
        raise PipeyardError(f"A version is {state.state} for a reason, which its users see. Write it.")
    digest = _digest(ledger, name, VersionSelector.parse(version))
    path = version_states.path(name)
    for _ in range(_ATTEMPTS):
        try:
            data, mark = ledger.look(path)
            states = version_states.parse(data)
        except FileMissing:
            states, mark = {}, NO_FILE
        except ValueError as error:
            raise PipeyardError(f"{ledger.place.location(path)}: {error}. Correct it, or remove it.") from error
        new = {**{key: each for key, each in states.items() if key != digest}, **({digest: state} if state else {})}
        if new == states:
            return digest
        try:
            ledger.write(path, version_states.dump(new), mark)
            return digest
        except PlaceChanged:
            continue
    raise PipeyardError(f"{ledger.place.location(path)} is changed by others all the time. Run again.")


def _digest(ledger: Ledger, name: str, version: VersionSelector) -> str:
    data = ledger.read(version.path(layout.check_name(name)))
    if data is None:
        index = ledger.read(layout.INDEX)
        entries = layout.read_index(index) if index else {}
        known = [*entries[name].tags] if name in entries else [*entries]
        asked = version.tag or version.digest or name if name in entries else name
        raise PipeyardError(f"{ledger.place.location('')} has no {name!r} ({version}). {near_misses(asked, known)}")
    return layout.pointer(data) or layout.digest_of(data)
