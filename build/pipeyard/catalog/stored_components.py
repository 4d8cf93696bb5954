"""What component stores have, each specification read once: versions from old to new, and what their releases say."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pipeyard.catalog.catalog_stores import CatalogStore
from pipeyard.catalog.released_facts import PipelineUse, ReleasedVersion, ReleaseReader
from pipeyard.errors import PipeyardError
from pipeyard.releases import publication
from pipeyard.releases.publication import Ledger
from pipeyard_components import interfaces, layout, version_states
from pipeyard_components.interfaces import Interface
from pipeyard_components.layout import IndexEntry, VersionSelector
from pipeyard_components.places import FileMissing, PlaceError
from pipeyard_components.semantic_versions import SemanticVersion
from pipeyard_components.version_states import VersionState

# A component's newest versions; what came before is counted.
MOST_VERSIONS = 30
_THREADS = 8


@dataclass(frozen=True)
class StoredVersion:
    """A version of a component.

    Attributes:
        tags: that name it.
        state: deprecated or yanked; None: neither.
    """

    digest: str
    interface: Interface
    tags: tuple[str, ...] = ()
    state: VersionState | None = None
    released: ReleasedVersion = field(default_factory=ReleasedVersion)

    @property
    def channels(self) -> list[str]:
        """Tags that aren't commits."""
        return [each for each in self.tags if not publication.is_commit(each)]


@dataclass(frozen=True)
class StoredComponent:
    """A component of a store.

    Attributes:
        versions: from old to new, at least one.
        current: the version that who names none gets.
        older: how many versions before these aren't here.
    """

    store: CatalogStore
    name: str
    versions: tuple[StoredVersion, ...]
    current: StoredVersion
    older: int = 0
    uses: tuple[PipelineUse, ...] = ()


@dataclass(frozen=True)
class Stock:
    """All that a catalog shows.

    Attributes:
        components: by name, then by store.
        problems: what couldn't be read, and why, as sentences.
    """

    stores: tuple[CatalogStore, ...]
    components: tuple[StoredComponent, ...]
    problems: tuple[str, ...] = ()


@dataclass
class _Files:
    """What a store has of a component, unread."""

    name: str
    order: list[str] = field(default_factory=list)
    specs: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, VersionState] = field(default_factory=dict)
    newest: str = ""
    older: int = 0
    problems: list[str] = field(default_factory=list)


def read(
    stores: Iterable[CatalogStore],
    checked_out: Mapping[str, Iterable[PipelineUse]] | None = None,
    ledger_of: Callable[[str], Ledger] = publication.open_to_read,
) -> Stock:
    """Reads stores.

    Args:
        checked_out: component to the pipelines that use it, for stores that are a checkout's: those without releases.
        ledger_of: opens a place.

    Raises:
        PipeyardError: a store can't be listed, or has no components.
    """
    stores = tuple(stores)
    components: list[StoredComponent] = []
    problems: list[str] = []
    for store in stores:
        found, wrong = _of_store(store, ledger_of(store.place), checked_out or {})
        components += found
        problems += wrong
    order = {store.name: number for number, store in enumerate(stores)}
    components.sort(key=lambda each: (each.name.lower(), each.name, order[each.store.name]))
    return Stock(stores, tuple(components), tuple(problems))


def _of_store(
    store: CatalogStore, ledger: Ledger, checked_out: Mapping[str, Iterable[PipelineUse]]
) -> tuple[list[StoredComponent], list[str]]:
    entries = _entries(ledger, store)
    problems: list[str] = []
    names = []
    for name in sorted(entries):
        try:
            names.append(layout.check_name(name))
        except PipeyardError as error:
            problems.append(f"{store.location(layout.INDEX)}: {error}")
    with ThreadPoolExecutor(_THREADS) as pool:  # a bucket answers many as quickly as one
        files = list(pool.map(lambda name: _files(ledger, store, name, entries[name]), names))
    releases = ReleaseReader(ledger, {tag for each in files for named in each.tags.values() for tag in named})
    versions: dict[tuple[str, str], StoredVersion] = {}
    for each in files:
        problems += each.problems
        for version in _versions(each, releases, store, problems):
            versions[each.name, version.digest] = version
    uses = releases.uses({key: version.interface for key, version in versions.items()})
    found = []
    for each in files:
        own = _in_order([versions[key] for digest in each.order if (key := (each.name, digest)) in versions])
        if own:
            current = versions.get((each.name, each.newest), own[-1])
            used = uses.get(each.name) or checked_out.get(each.name, ())
            found.append(StoredComponent(store, each.name, tuple(own), current, each.older, tuple(used)))
    if not found:
        raise PipeyardError(
            "\n".join([f"There are no components that can be read in {store.place}.", *problems])
            + "\nGive a folder or URL with NAME/component.yaml in it."
        )
    return found, [*problems, *releases.problems]


def _entries(ledger: Ledger, store: CatalogStore) -> dict[str, IndexEntry]:
    index = ledger.read(layout.INDEX)
    try:
        described = layout.read_index(index) if index else {}
    except ValueError as error:
        raise PipeyardError(f"{store.place}: {error}. Remove the file, or publish a release anew.") from error
    try:
        return {**ledger.place.entries(), **described}
    except FileMissing as error:
        if described:
            return described
        raise PipeyardError(
            f"{store.place}: {error}. Folders and buckets can be listed, servers need {layout.INDEX}, which "
            "`pipeyard release` writes."
        ) from error
    except PlaceError as error:
        raise PipeyardError(f"{store.place} can't be read: {error}.") from error


def _files(ledger: Ledger, store: CatalogStore, name: str, entry: IndexEntry) -> _Files:
    found = _Files(name)

    def taken(path: str) -> bytes | None:
        try:
            return ledger.read(path)
        except PipeyardError as error:
            found.problems.append(str(error))
            return None

    try:
        listed = entry if entry.digests else ledger.place.versions(name)
    except PlaceError as error:
        found.problems.append(f"The versions of {name} in {store.place} can't be listed: {error}.")
        listed = entry
    newest = taken(layout.spec_path(name))
    for tag, told in listed.tags.items():
        digest = told or _named(taken, name, tag)
        if _is_digest(digest) and _is_tag(tag):
            found.tags.setdefault(digest, []).append(tag)
    found.order = list(dict.fromkeys(each for each in [*listed.digests, *found.tags] if _is_digest(each)))
    found.older = max(0, len(found.order) - MOST_VERSIONS)
    found.order = found.order[found.older :]
    if newest is not None:
        pointed = layout.pointer(newest)
        found.newest = pointed or layout.digest_of(newest)
        found.specs |= {} if pointed else {found.newest: newest}
        if found.newest not in found.order:
            found.order.append(found.newest)
    for digest in found.order:
        path = layout.digest_path(name, digest)
        data = found.specs.get(digest) or taken(path)
        if data is not None and layout.has_digest(data, digest):
            found.specs[digest] = data
        else:
            what = "is missing" if data is None else "has another digest than its name says, and isn't shown"
            found.problems.append(f"{store.location(path)} {what}.")
            found.specs.pop(digest, None)
    try:
        states = taken(version_states.path(name))
        found.states = {} if states is None else version_states.parse(states)
    except ValueError as error:
        found.problems.append(f"{store.location(version_states.path(name))}: {error}.")
    return found


def _named(taken: Callable[[str], bytes | None], name: str, tag: str) -> str:
    data = taken(layout.tag_path(name, tag)) if _is_tag(tag) else None
    return "" if data is None else layout.pointer(data) or layout.digest_of(data)


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _is_tag(text: str) -> bool:
    try:
        return VersionSelector.of(tag=text).tag == text and bool(publication.path_of(text))
    except PipeyardError:
        return False


def _versions(
    files: _Files, releases: ReleaseReader, store: CatalogStore, problems: list[str]
) -> Iterator[StoredVersion]:
    for digest in files.order:
        if digest not in files.specs:
            continue
        tags = files.tags.get(digest, [])
        released = releases.of_version(files.name, digest, tags)
        where = store.location(layout.digest_path(files.name, digest))
        try:
            interface = interfaces.read(files.specs[digest].decode(), where, released.user)
        except (PipeyardError, UnicodeDecodeError) as error:
            problems.append(str(error) if isinstance(error, PipeyardError) else f"{where} isn't UTF-8 text.")
            continue
        yield StoredVersion(digest, interface, tuple(sorted(tags)), files.states.get(digest), released)


def _in_order(versions: list[StoredVersion]) -> list[StoredVersion]:
    """Returns versions by their numbers if all have one, else as they were published."""
    try:
        return sorted(versions, key=lambda each: SemanticVersion.parse(each.interface.version))
    except PipeyardError:
        return versions
