"""The stores that a catalog is made of: their names in it, and what links to their files begin with."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeyard.errors import PipeyardError
from stepkit.uris import is_remote, local_part

_NAMED = re.compile(r"([A-Za-z][\w-]*)=(.+)", re.ASCII)


@dataclass(frozen=True)
class CatalogStore:
    """A store in a catalog.

    Attributes:
        place: folder (absolute) or URL, as ComponentStore takes it.
        name: unique in the catalog; a folder of it is called so.
        links: what an address in the catalog begins with, that leads to a file of the store; '' where a browser can't
            follow any, as to gs://. Within the catalog's folder it is relative to the catalog's root.
    """

    place: str
    name: str
    links: str = ""

    @property
    def remote(self) -> bool:
        """True if the place is a URL."""
        return is_remote(self.place)

    def location(self, path: str) -> str:
        """Returns where a file of the store is, for people."""
        return f"{self.place.rstrip('/')}/{path}"


def of(given: Iterable[str]) -> list[CatalogStore]:
    """Returns the stores of folders and URLs, each alone or as `NAME=PLACE`.

    Raises:
        PipeyardError: one stands twice, two have the same name, or one holds a password.
    """
    found: list[CatalogStore] = []
    for text in given:
        named = _NAMED.fullmatch(text)
        place = place_of(named[2] if named else text)
        twice = next((each for each in found if each.place == place), None)
        if twice:
            raise PipeyardError(f"The store {place} is given twice. Give it once.")
        taken = [each.name for each in found]
        if named and named[1] in taken:
            raise PipeyardError(f"Two stores are called {named[1]!r}. Give one of them another name: NAME=URL.")
        name = named[1] if named else _free(_name_of(place), taken)
        found.append(CatalogStore(place, name, place.rstrip("/") if place.startswith(("http://", "https://")) else ""))
    return found


def place_of(place: str) -> str:
    """Returns a store's folder as an absolute path, or its URL.

    Raises:
        PipeyardError: it is a URL with a password or the like.
    """
    if not is_remote(place):
        return str(local_part(place).resolve())
    url = urlsplit(place)
    if "@" in url.netloc or url.query or url.fragment:
        raise PipeyardError(
            f"The store at {url.scheme}://{url.hostname or ''} is given with a login, a query or a fragment, which the "
            "catalog would show. Give the URL without; logins are those of your netrc file or of the cloud."
        )
    return place


def _name_of(place: str) -> str:
    """Returns a name from the place's last folder, or from its host where there is none."""
    url = urlsplit(place)
    last = (url.path if is_remote(place) else Path(place).as_posix()).rstrip("/").rpartition("/")[2]
    words = re.sub(r"[^A-Za-z0-9]+", "-", last or url.netloc).strip("-")
    return words if words[:1].isalpha() else f"store-{words}".rstrip("-")


def _free(name: str, taken: list[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
