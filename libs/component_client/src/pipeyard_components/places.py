"""Where components are looked for: what every place can do, and folders, the simplest of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pipeyard_components import layout
from pipeyard_components.layout import IndexEntry

# Groups of groups are rare; a folder that isn't a store can be deep.
_DEEPEST = 6


class PlaceError(Exception):
    """A place has no answer; its text is the reason, short enough for a list."""


class FileMissing(PlaceError):
    """The place was reached, and the file isn't there."""


class WrongDigest(PlaceError):
    """A file is there, and its content isn't what its name or the user says."""


class PlaceUnavailable(PlaceError):
    """The place could not be read, so whether the file is there is unknown."""


class Place(Protocol):
    """A place with the layout of `layout`, to read from."""

    def location(self, path: str) -> str:
        """Returns the full path or URL of a file, for people."""

    def read(self, path: str) -> bytes:
        """Returns a file's bytes.

        Raises:
            FileMissing, PlaceUnavailable: see there.
        """

    def entries(self) -> dict[str, IndexEntry]:
        """Returns the components by name, as far as this place can tell without opening each.

        Raises:
            FileMissing: this place can't be listed.
            PlaceUnavailable: see there.
        """

    def versions(self, name: str) -> IndexEntry:
        """Returns a component's versions; raises as `entries`."""


def read_entries(place: Place) -> dict[str, IndexEntry]:
    """Returns the components of a place that only its index can list; raises as `Place.entries`."""
    try:
        return layout.read_index(place.read(layout.INDEX))
    except FileMissing as error:
        raise FileMissing(f"can't be listed: no {layout.INDEX} ({error})") from error
    except ValueError as error:
        raise PlaceUnavailable(str(error)) from error


class FolderPlace:
    """A local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def location(self, path: str) -> str:
        return str(self._root / path)

    def read(self, path: str) -> bytes:
        file = self._root / path
        try:
            return file.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileMissing(
                "not there" if self._root.is_dir() else f"the folder {self._root} doesn't exist"
            ) from error
        except OSError as error:
            raise PlaceUnavailable(error.strerror or str(error)) from error

    def entries(self) -> dict[str, IndexEntry]:
        if not self._root.is_dir():
            raise FileMissing("the folder doesn't exist")
        try:
            described = layout.read_index(self.read(layout.INDEX))
        except (PlaceError, ValueError):  # the folders are what counts; the index only adds descriptions
            described = {}
        return {name: described.get(name, IndexEntry()) for name in sorted(_component_folders(str(self._root)))}

    def versions(self, name: str) -> IndexEntry:
        return IndexEntry(
            digests=tuple(_file_names(self._root / name / layout.DIGESTS)),
            tags=dict.fromkeys(_file_names(self._root / name / layout.TAGS), ""),
        )


def _file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []


def _component_folders(root: str) -> Iterator[str]:
    """Yields the names of components below `root`; folders above them are scanned once, and no file is opened."""
    pending = [("", root, 1)]
    while pending:
        group, folder, depth = pending.pop()
        try:
            entries = os.scandir(folder)
        except OSError:
            continue
        with entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.is_dir():
                    continue
                if not group and entry.name == layout.RELEASES:
                    continue
                name = f"{group}{entry.name}"
                # Strings, not Paths: a store has thousands of them.
                if os.path.isfile(f"{entry.path}/{layout.SPEC}") or os.path.isdir(f"{entry.path}/{layout.VERSIONS}"):  # noqa: PTH112, PTH113
                    yield name
                elif depth < _DEEPEST and not entry.is_symlink():
                    pending.append((f"{name}/", entry.path, depth + 1))
