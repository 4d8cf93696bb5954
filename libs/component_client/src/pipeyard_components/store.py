"""Finds components by name and version in folders, on servers, in registries and in buckets."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from pipeyard_components import layout, session, version_states, yamls
from pipeyard_components.errors import PipeyardError, near_misses
from pipeyard_components.layout import IndexEntry, VersionSelector
from pipeyard_components.places import FileMissing, FolderPlace, Place, PlaceError, PlaceUnavailable, WrongDigest
from pipeyard_components.version_states import VersionState

if TYPE_CHECKING:
    from pipeyard_components.components import LoadedComponent

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lookup:
    """One file or URL that was looked for, and why it isn't taken."""

    location: str
    error: PlaceError


class ComponentNotFoundError(PipeyardError):
    """No place has the component in the version asked for.

    Attributes:
        tried: where it was looked for, in this order.
    """

    def __init__(self, message: str, tried: Sequence[Lookup]) -> None:
        super().__init__(message)
        self.tried = tuple(tried)

    def __reduce__(self) -> tuple[type[ComponentNotFoundError], tuple[str, tuple[Lookup, ...]]]:
        # Pipelines are compiled in a process of their own; else pickle would call `__init__` with the message alone.
        return type(self), (str(self), self.tried)


class Components:
    """Loaded components, by attribute and by item; iterating gives their names.

    Hyphens and underscores are alike, and so are capital and small letters: `components.my_step` is `My-step`. A
    component of a group has its last name as attribute (`components.csv` of `io/csv`) as long as no other has the same.
    """

    def __init__(self, loaded: Mapping[str, LoadedComponent]) -> None:
        self._loaded = dict(loaded)

    def __getattr__(self, name: str) -> LoadedComponent:
        if name.startswith("__"):  # what copy and pickle ask for before there is anything
            raise AttributeError(name)
        try:
            return self[name]
        except PipeyardError as error:
            raise AttributeError(str(error)) from error

    def __getitem__(self, name: str) -> LoadedComponent:
        if name in self._loaded:
            return self._loaded[name]
        for key in [_canonical, lambda other: _canonical(other.rpartition("/")[2])]:
            found = [other for other in self._loaded if key(other) == _canonical(name)]
            if len(found) == 1:
                return self._loaded[found[0]]
            if found:
                raise PipeyardError(
                    f"{name!r} may be {' or '.join(map(repr, found))}. Write the whole name as an item."
                )
        raise PipeyardError(f"The component {name!r} was not loaded. {near_misses(name, self._loaded)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(_canonical(name.rpartition("/")[2]) for name in self._loaded)]


def images_of(components: Components) -> dict[str, str]:
    """Returns the image of each component that has one, as its specification names it: by digest once released.

    A function, because a component may be called `images`.
    """
    specs = {name: components[name].component_spec.implementation for name in components}
    return {name: spec.container.image for name, spec in specs.items() if spec.container}


@dataclass(frozen=True)
class Found:
    """A component that a search found: its name, and the folder or URL that has it."""

    name: str
    location: str
    _describe: Callable[[], str] = field(repr=False, compare=False)

    @cached_property
    def description(self) -> str:
        """What the component is for: from the place's index, else read from its specification now."""
        return self._describe()


class ComponentStore:
    """Finds components laid out as `layout` says: local folders first, then URL prefixes, each in the order given.

    Args:
        local_search_paths: folders.
        url_search_prefixes: `https://`, `oci://`, `gs://`, `s3://`, or whatever else fsspec knows.
        auth: who one is there. A mapping from prefixes (or beginnings of them) to credentials: `Token`, `Basic`, or
            what requests takes as `auth`; for buckets a mapping with fsspec's storage options. Or credentials alone, if
            all prefixes are of one host. Without, netrc and the cloud's own logins count.
        cache_dir: keeps what was read from URLs; by default in the user's cache folder.
        offline: ask no URL; take what the cache has.
        timeout: seconds to wait for a connection, and for each part of an answer.

    Raises:
        PipeyardError: there is nowhere to look, or a place can't be one.
    """

    def __init__(
        self,
        local_search_paths: Sequence[str | Path] = (),
        url_search_prefixes: Sequence[str] = (),
        auth: Any = None,
        cache_dir: str | Path | None = None,
        offline: bool = False,
        timeout: float = 10,
    ) -> None:
        for argument in [local_search_paths, url_search_prefixes]:
            if isinstance(argument, (str, Path)):
                raise PipeyardError(f"Search paths and prefixes are lists: write [{str(argument)!r}].")
        if not local_search_paths and not url_search_prefixes:
            raise PipeyardError("A component store needs local_search_paths or url_search_prefixes to look in.")
        for path in local_search_paths:
            if not isinstance(path, (str, Path)):
                raise PipeyardError(f"{path!r} is no folder: those are text or paths.")
            if "://" in str(path):
                raise PipeyardError(f"{path} is no local folder. Give it in url_search_prefixes.")
        self._auth = auth
        self._prefixes = list(url_search_prefixes)
        self._cache_dir = cache_dir
        self._offline = offline
        self._timeout = timeout
        self._places: list[Place] = [FolderPlace(session.folder(Path(path))) for path in local_search_paths]
        self._places += [self._remote(prefix, self._prefixes) for prefix in self._prefixes]

    def load_component(
        self, name: str, digest: str | None = None, tag: str | None = None, *, retype: bool = False
    ) -> LoadedComponent:
        """Loads one component: the newest, or the version with a digest or a tag.

        A place that can't be read is passed over, with a warning if a later one has the component. With a digest that
        can't change what is loaded; without, it can.

        Args:
            name: its folder's name, with groups before it (`io/csv`). Hyphens and underscores are alike.
            digest: SHA-256 in hex; what is loaded has it.
            tag: a name for a version that may be moved to another.
            retype: see `loader.load`.

        Raises:
            ComponentNotFoundError: no place has it, or what they have isn't of this digest.
            PipeyardError: an argument is wrong, or it isn't a component specification that kfp can load.
        """
        version = VersionSelector.of(digest, tag)
        tried: list[Lookup] = []
        for place in self._places:
            found = self._find(place, layout.check_name(name), version, tried)
            if found:
                location, data = found
                for attempt in tried:
                    if isinstance(attempt.error, (PlaceUnavailable, WrongDigest)):
                        _log.warning("%s was passed over: %s. Loaded %s.", attempt.location, attempt.error, location)
                if isinstance(place, FolderPlace) or not version.digest:  # what is named by digest needs no network
                    _warn_of_state(place, name, layout.digest_of(data))
                return _load(data, location, retype)
        raise self._not_found(name, version, tried)

    def state(self, name: str, digest: str) -> VersionState | None:
        """Returns what the first place that says anything says of a version: deprecated or yanked.

        Raises:
            PipeyardError: a place can't be read.
        """
        for place in self._places:
            for spelling in _spellings(layout.check_name(name)):
                try:
                    if found := version_states.of(place, spelling).get(digest):
                        return found
                except PlaceError as error:
                    raise PipeyardError(f"{place.location(version_states.path(spelling))}: {error}.") from error
        return None

    def load_components(self, *names: str | Mapping[str, str | None], retype: bool = False) -> Components:
        """Loads several components.

        Args:
            names: names, and mappings from names to versions: `sha256:<digest>`, the bare digest, a tag, or None (the
                newest).
            retype: see `loader.load`.

        Raises:
            PipeyardError: as `load_component`, for the first that can't be loaded.
        """
        wanted: dict[str, str | None] = {}
        for each in names:
            wanted.update(each if isinstance(each, Mapping) else {layout.check_name(each): None})
        loaded = {}
        for name, text in wanted.items():
            version = VersionSelector.parse(text)
            loaded[name] = self.load_component(name, version.digest, version.tag, retype=retype)
        return Components(loaded)

    def load_component_from_file(self, path: str | Path, *, retype: bool = False) -> LoadedComponent:
        """Loads a specification that need not be in a store, under any file name; raises as `load_component`."""
        file = Path(path)
        try:
            data = FolderPlace(file.parent).read(file.name)
        except PlaceError as error:
            raise ComponentNotFoundError(f"No component at {path}: {error}.", [Lookup(str(path), error)]) from error
        return _load(data, str(path), retype)

    def load_component_from_url(self, url: str, digest: str | None = None, *, retype: bool = False) -> LoadedComponent:
        """Loads the specification at a URL, with this store's credentials and cache; raises as `load_component`.

        Args:
            url: `oci://HOST/PATH/NAME:TAG` and `oci://HOST/PATH/NAME@sha256:DIGEST` of a registry, too.
        """
        version = VersionSelector.of(digest)
        if not isinstance(url, str):
            raise PipeyardError(f"{url!r} is no URL: those are text.")
        prefix, _, file = url.rpartition("/")
        try:
            data = self._remote(prefix, [prefix, *self._prefixes]).read(file)
            _verify(data, version)
        except PlaceError as error:
            raise ComponentNotFoundError(f"No component at {url}: {error}.", [Lookup(url, error)]) from error
        return _load(data, url, retype)

    def search(self, text: str = "") -> list[Found]:
        """Finds components whose name or description has all words of `text`, in any case; without words, all.

        Descriptions count where the place has an index (`layout.INDEX`); no specification is opened. A place that can't
        be listed is logged as a warning. Those whose name is or begins with `text` come first, then by name.
        """
        words = _canonical(text).split("_") if text else []
        found = []
        for place in self._places:
            try:
                entries = place.entries()
            except PlaceError as error:
                _log.warning("%s was not searched: %s", place.location(""), error)
                continue
            for name, entry in entries.items():
                hay = _canonical(f"{name} {entry.description}")
                if all(word in hay for word in words):
                    found.append(Found(name, place.location(name), _description(place, name, entry)))
        key = _canonical(text)
        return sorted(found, key=lambda each: (not _canonical(each.name).startswith(key), each.name))

    def _remote(self, prefix: str, prefixes: list[str]) -> Place:
        from pipeyard_components import auth
        from pipeyard_components.buckets import BucketPlace
        from pipeyard_components.http import HttpPlace
        from pipeyard_components.oci import OciPlace
        from pipeyard_components.spec_cache import Cached, SpecCache, default_folder

        if not isinstance(prefix, str):
            raise PipeyardError(f"{prefix!r} is no URL prefix: those are text.")
        url = urlsplit(prefix)
        if not url.scheme or "://" not in prefix:
            raise PipeyardError(f"{prefix!r} is no URL prefix. Give a local folder in local_search_paths.")
        if "@" in url.netloc or url.query or url.fragment:
            raise PipeyardError(
                f"A prefix of {url.scheme}://{url.hostname or ''} holds credentials, a query or a fragment. "
                "Give the URL without, and credentials with auth= or in your netrc file."
            )
        credentials = auth.for_prefix(self._auth, prefix, prefixes)
        place: Place
        if url.scheme in {"http", "https"}:
            place = HttpPlace(prefix, credentials, self._timeout)
        elif url.scheme == "oci":
            place = OciPlace(prefix, credentials, self._timeout)
        else:
            place = BucketPlace(prefix, credentials or {}, self._timeout)
        return Cached(place, SpecCache(Path(self._cache_dir or default_folder())), self._offline)

    def _find(self, place: Place, name: str, version: VersionSelector, tried: list[Lookup]) -> tuple[str, bytes] | None:
        """Reads a version of a component from a place, under any spelling of its name; adds to `tried` what fails."""
        for spelling in _spellings(name):
            paths = [version.path(spelling)]
            if version.digest and isinstance(place, FolderPlace):
                paths.append(layout.spec_path(spelling))  # a checkout keeps only the newest, which may be the one
            for path in paths:
                try:
                    return self._read(place, spelling, path, version)
                except PlaceError as error:
                    tried.append(Lookup(place.location(path), error))
                    if isinstance(error, PlaceUnavailable):
                        return None
        return None

    @staticmethod
    def _read(place: Place, name: str, path: str, version: VersionSelector) -> tuple[str, bytes]:
        data = place.read(path)
        if version.tag:
            digest = layout.pointer(data)
            if digest:
                version = VersionSelector(digest)
                path = version.path(name)
                try:
                    data = place.read(path)
                except FileMissing as error:
                    raise FileMissing(f"names {version}, which is {error}") from error
        if not data.strip():
            raise FileMissing("empty")
        _verify(data, version)
        return place.location(path), data

    def _not_found(self, name: str, version: VersionSelector, tried: Sequence[Lookup]) -> ComponentNotFoundError:
        known: set[str] = set()
        digests: set[str] = set()
        tags: set[str] = set()
        unlisted = []
        failed = [attempt.location for attempt in tried if isinstance(attempt.error, PlaceUnavailable)]
        for place in self._places:
            try:
                if any(location.startswith(place.location("")) for location in failed):
                    continue  # what can't be read can't be listed, and would be waited for again
                entries = place.entries()
                known.update(entries)
                for spelling in set(_spellings(name)) & set(entries):
                    versions = place.versions(spelling)
                    digests.update(versions.digests)
                    tags.update(versions.tags)
            except PlaceError as error:
                unlisted.append(f"{place.location('')} ({error})")
        asked = version.tag or version.digest
        lines = [f"No component {name!r}{f' ({version})' if asked else ''}."]
        lines += [f"  looked for {attempt.location}: {attempt.error}" for attempt in tried]
        if asked and known.intersection(_spellings(name)):
            kind, there = ("tags", tags) if version.tag else ("digests", digests)
            near = f"; of its {kind}: {near_misses(asked, there)}" if there else f" without {kind}: name none of them."
            lines.append(f"There is a component {name!r}{near}")
        elif known:
            lines.append(near_misses(name, known))
        if unlisted:
            lines.append(f"Names there are unknown: {', '.join(unlisted)}.")
        return ComponentNotFoundError("\n".join(lines), tried)


def _warn_of_state(place: Place, name: str, digest: str) -> None:
    for spelling in _spellings(name):
        try:
            found = version_states.of(place, spelling).get(digest)
        except PlaceError as error:
            _log.info("%s: %s", place.location(version_states.path(spelling)), error)
            continue
        if found:
            _log.warning("%s (sha256:%s) is %s: %s", name, digest[:12], found.state, found.reason)
            return


def _verify(data: bytes, version: VersionSelector) -> None:
    if version.digest and not layout.has_digest(data, version.digest):
        raise WrongDigest(f"wrong digest: its content has sha256:{layout.digest_of(data)}; refused")


def _load(data: bytes, location: str, retype: bool) -> LoadedComponent:
    from pipeyard_components import loader

    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PipeyardError(f"{location} isn't UTF-8 text ({error}), so no component specification.") from error
    return loader.load(text, location, layout.digest_of(data), retype=retype)


def _description(place: Place, name: str, entry: IndexEntry) -> Callable[[], str]:
    def describe() -> str:
        if entry.description:
            return entry.description
        try:
            spec = yamls.load(place.read(layout.spec_path(name)))
        except (PlaceError, yaml.YAMLError):
            return ""
        return str(spec.get("description") or "") if isinstance(spec, dict) else ""

    return describe


def _canonical(name: str) -> str:
    return re.sub(r"[^a-z0-9/]+", "_", name.lower())


def _spellings(name: str) -> list[str]:
    return list(dict.fromkeys([name, name.replace("-", "_"), name.replace("_", "-")]))
