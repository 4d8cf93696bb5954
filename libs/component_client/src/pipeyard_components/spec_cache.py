"""What was read from remote places, by content: works offline, and never gives bytes that aren't those once read."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path

from pipeyard_components import layout
from pipeyard_components.layout import IndexEntry
from pipeyard_components.places import FileMissing, Place, PlaceUnavailable

_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """Returns the folder that the XDG base directory specification has for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pipeyard" / "components"


class SpecCache:
    """A folder with `sha256/<digest>` for contents, and `urls/<digest of a URL>` for which content it had last.

    Files are written aside and renamed, and are named by what they hold, so processes can share it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, url: str) -> bytes | None:
        """Returns what `url` held when it was last read, or None."""
        try:
            digest = self._url(url).read_text(encoding="utf-8").strip()
            data = (self._folder / "sha256" / digest).read_bytes()
        except (OSError, UnicodeDecodeError):
            return None
        return data if hashlib.sha256(data).hexdigest() == digest else None

    def put(self, url: str, data: bytes) -> None:
        """Keeps what `url` holds. A cache that can't be written is said, and done without."""
        digest = hashlib.sha256(data).hexdigest()
        try:
            for path, content in [(self._folder / "sha256" / digest, data), (self._url(url), digest.encode())]:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_whole(path, content)
        except OSError as error:
            _log.warning("%s can't be kept in the cache %s: %s", url, self._folder, error)

    def _url(self, url: str) -> Path:
        return self._folder / "urls" / hashlib.sha256(url.encode()).hexdigest()


class Cached:
    """A remote place, with what was read from it in a cache.

    What is named by its digest is read once, ever. Other files may change: they are read again, unless offline.
    """

    def __init__(self, place: Place, cache: SpecCache, offline: bool) -> None:
        self._place = place
        self._cache = cache
        self._offline = offline

    def location(self, path: str) -> str:
        return self._place.location(path)

    def read(self, path: str) -> bytes:
        url = self.location(path)
        digest = layout.digest_in(path)
        if digest or self._offline:
            kept = self._cache.get(url)
            if kept is not None and (digest is None or layout.has_digest(kept, digest)):
                return kept
        if self._offline:
            raise FileMissing("not in the cache, and offline")
        data = self._place.read(path)
        # What isn't text is no specification, which whoever reads it will say: it isn't kept.
        if _is_text(data) and (digest is None or layout.has_digest(data, digest)):
            self._cache.put(url, data)
        return data

    def entries(self) -> dict[str, IndexEntry]:
        if not self._offline:
            return self._place.entries()
        try:
            return layout.read_index(self.read(layout.INDEX))
        except ValueError as error:
            raise PlaceUnavailable(str(error)) from error

    def versions(self, name: str) -> IndexEntry:
        return self.entries().get(name, IndexEntry()) if self._offline else self._place.versions(name)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file aside and renames it into place. After a power cut it may be damaged, which reading notices."""
    descriptor, aside = tempfile.mkstemp(".partial", f".{path.name}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.replace(aside, path)  # noqa: PTH105
    except BaseException:
        Path(aside).unlink()
        raise


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
