"""Releases in a component store: what was made of one commit, published together, and channels that name one of them.

    releases/sha256/<digest>/release.json    what the release has, of which <digest> is the sha256; never changed
    releases/sha256/<digest>/<file>          its files: lock, provenance, SBOMs, compiled pipelines
    releases/commits/<commit>                the release of a commit: its release.json; never changed
    releases/channels/<channel>              the release that the channel names now: its release.json
    <name>/versions/sha256/<digest>, <name>/versions/tags/<commit or channel>    components; see `layout`

Content is written before what points at it, so that everything that can be found is whole. A publication that was cut
short is completed by the next one; two at a time end as if one had come after the other.
"""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeyard.errors import PipeyardError
from pipeyard.releases.writable_places import NO_FILE, PlaceChanged, Writable, WritableBucket, WritableFolder
from pipeyard.system import yamls
from pipeyard_components import layout, oci_layout
from pipeyard_components.http import HttpPlace
from pipeyard_components.layout import IndexEntry, VersionSelector
from pipeyard_components.places import FileMissing, PlaceError, PlaceUnavailable
from stepkit.uris import is_remote, local_part

# The channel that a component's `component.yaml`, its newest version, follows.
LATEST = "latest"
# So often another publisher may get in between before it is taken for a fault.
_ATTEMPTS = 20
_THREADS = 8
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Release(BaseModel):
    """What one commit was released as.

    Attributes:
        components: name to the digest of its rendered spec.
        files: path to the sha256 in hex.
    """

    model_config = ConfigDict(extra="forbid")
    format: int = 1
    commit: str
    components: dict[str, str]
    files: dict[str, str]

    @property
    def content(self) -> bytes:
        """The bytes of `release.json`: equal releases have equal ones."""
        return (json.dumps(self.model_dump(), indent=2, sort_keys=True) + "\n").encode()

    @property
    def digest(self) -> str:
        """Sha256 of `content` in hex."""
        return hashlib.sha256(self.content).hexdigest()

    def path(self, file: str) -> str:
        """Returns where one of its files is in a store."""
        return f"{layout.RELEASES}/sha256/{self.digest}/{file}"


def of(commit: str, specs: Mapping[str, bytes], files: Mapping[str, bytes]) -> Release:
    """Returns the release of rendered specs by component and of other files by path."""
    return Release(
        commit=commit,
        components={name: layout.digest_of(spec) for name, spec in specs.items()},
        files={path: hashlib.sha256(data).hexdigest() for path, data in files.items()},
    )


@dataclass(frozen=True)
class Move:
    """What came of moving a channel.

    Attributes:
        before: the commit that it named before; None if it is new.
        now: the commit that it names.
    """

    channel: str
    before: str | None
    now: str


@dataclass
class Ledger:
    """A place that is published to, with a record of what was written.

    Attributes:
        rehearsal: nothing is written; reading gives what would have been.
        written: paths, in the order of writing.
    """

    place: Writable
    rehearsal: bool = False
    written: list[str] = field(default_factory=list)
    _pending: dict[str, bytes] = field(default_factory=dict)
    _specs: dict[str, bytes] = field(default_factory=dict)

    def look(self, path: str) -> tuple[bytes, str]:
        """As `Writable.look`; a place that can't be read is an error for the user."""
        return (self._pending[path], NO_FILE) if path in self._pending else self._asked(self.place.look, path)

    def read(self, path: str) -> bytes | None:
        """Returns a file's bytes; None where there is none."""
        try:
            return self._pending[path] if path in self._pending else self._asked(self.place.read, path)
        except FileMissing:
            return None

    def _asked(self, ask: Callable[[str], Any], path: str) -> Any:
        try:
            return ask(path)
        except PlaceUnavailable as error:
            raise PipeyardError(f"{self.place.location(path)} can't be read: {error}.") from error

    def spec(self, name: str, digest: str) -> bytes:
        """Returns a published component's rendered spec; one that is missing or damaged is an error for the user."""
        path = layout.digest_path(name, digest)
        if path not in self._specs:
            found = self.read(path)
            if found is None or not layout.has_digest(found, digest):
                problem = "is missing" if found is None else "has another digest than its name says"
                raise PipeyardError(
                    f"{self.place.location(path)} {problem}: the store isn't whole. Release the commit again."
                )
            self._specs[path] = found
        return self._specs[path]

    def write(self, path: str, data: bytes, over: str | None = None) -> None:
        """As `Writable.write`; a place that can't be written is an error for the user."""
        if self.rehearsal:
            self._pending[path] = data
        else:
            try:
                self.place.write(path, data, over)
            except PlaceChanged:
                raise
            except PlaceError as error:
                raise PipeyardError(
                    f"{self.place.location(path)} can't be written: {error}. "
                    "What is there already is whole; the next run goes on from it."
                ) from error
        self.written.append(path)


def check_channel(channel: str) -> str:
    """Returns `channel`.

    Raises:
        PipeyardError: it can't be a tag, or could be taken for a commit or a digest.
    """
    if _COMMIT.fullmatch(channel):
        raise PipeyardError(f"The channel {channel!r} could be a commit or a digest. Give it a name, like 'staging'.")
    return _tag(channel)


def is_commit(tag: str) -> bool:
    """True if a tag is a commit, which no channel is called like."""
    return bool(_COMMIT.fullmatch(tag))


def path_of(tag: str) -> str:
    """Returns where the release of a commit, or of what a channel names, is in a store."""
    return _commit_path(tag) if is_commit(tag) else _channel_path(tag)


def open_store(store: str) -> Writable:
    """Returns the store at a folder, or a URL of a registry (oci://) or a bucket (gs://, s3://, what fsspec can write).

    Raises:
        PipeyardError: nothing can be published there.
    """
    if not is_remote(store):
        return WritableFolder(local_part(store))
    if store.startswith(("http://", "https://")):
        raise PipeyardError(f"{store} can be read from, but not published to. Give the folder or bucket behind it.")
    if is_registry(store):
        from pipeyard.images.registry import Registry
        from pipeyard.releases.writable_registry import WritableRegistry

        return WritableRegistry(store, Registry(), timeout=10)
    return WritableBucket(store, {}, timeout=10)


def is_registry(store: str) -> bool:
    """True for a store in an OCI registry, where there are no pages."""
    return store.startswith(f"{oci_layout.SCHEME}://")


def open_to_read(store: str) -> Ledger:
    """Returns a store at a folder or any URL, a server's too, to which nothing is written."""
    if store.startswith(("http://", "https://")):
        return Ledger(cast(Writable, HttpPlace(store, None, timeout=10)), rehearsal=True)
    return Ledger(open_store(store), rehearsal=True)


def publish(ledger: Ledger, release: Release, specs: Mapping[str, bytes], files: Mapping[str, bytes]) -> None:
    """Publishes a release: by its digest, by its commit, and its components by theirs. No channel moves.

    Raises:
        PipeyardError: the commit was released with other content, or the store can't be written.
    """
    if layout.RELEASES in specs:
        raise PipeyardError(f"A component can't be called {layout.RELEASES!r}: stores keep releases there. Rename it.")
    claim = _commit_path(release.commit)
    _refuse_another(ledger, release, ledger.read(claim))
    contents = {layout.digest_path(name, release.components[name]): spec for name, spec in specs.items()}
    contents |= {release.path(path): data for path, data in files.items()}
    _at_once(lambda each: _ensure(ledger, *each), contents.items())
    _ensure(ledger, release.path(layout.RELEASE_FILE), release.content)
    try:
        if ledger.read(claim) is None:
            ledger.write(claim, release.content, NO_FILE)
    except PlaceChanged:
        _refuse_another(ledger, release, ledger.read(claim))
    tags = {layout.tag_path(name, release.commit): spec for name, spec in specs.items()}
    _at_once(lambda each: _ensure(ledger, *each), tags.items())
    _update_index(ledger, [release], ())


def find(ledger: Ledger, name: str) -> Release:
    """Returns the release of a commit, or the one that a channel names.

    Raises:
        PipeyardError: the store has neither.
    """
    path = path_of(name)
    data = ledger.read(path)
    if data is not None:
        return _parse(ledger, path, data)
    raise PipeyardError(
        f"{ledger.place.location('')} has no release of a commit, and no channel, {name!r}. "
        "Give a commit's 40 hex digits, or publish it first: `pipeyard release`."
    )


def named(ledger: Ledger, channel: str) -> Release | None:
    """Returns the release that a channel names; None if there is no such channel."""
    path = _channel_path(channel)
    data = ledger.read(path)
    return None if data is None else _parse(ledger, path, data)


def move(ledger: Ledger, channel: str, release: Release, stays: Callable[[str], bool] = lambda commit: False) -> Move:
    """Makes a channel name a published release, and the tag of this name of each of its components.

    Args:
        stays: True for a commit that a channel isn't moved away from: one that comes after the release's.

    Raises:
        PipeyardError: the channel's name can't be a tag, or the store can't be written.
    """
    path = _channel_path(channel)
    for _ in range(_ATTEMPTS):
        try:
            data, mark = ledger.look(path)
            before = _parse(ledger, path, data)
        except FileMissing:
            before, mark = None, NO_FILE
        kept = before is not None and (before == release or stays(before.commit))
        if not kept:
            try:
                ledger.write(path, release.content, mark)
            except PlaceChanged:
                continue
        now = _follow(ledger, channel)
        _update_index(ledger, [release, now], [channel])
        return Move(channel, before.commit if before else None, now.commit)
    raise PipeyardError(f"{ledger.place.location(path)} is moved by others all the time. Run again.")


def summary(ledger: Ledger, release: Release, moves: Iterable[Move]) -> dict[str, Any]:
    """Returns what was done, or would be, for machines."""
    return {
        "commit": release.commit,
        "digest": f"sha256:{release.digest}",
        "components": {name: f"sha256:{digest}" for name, digest in sorted(release.components.items())},
        "channels": [dataclasses.asdict(each) for each in moves],
        "written": list(dict.fromkeys(ledger.written)),
        "dry_run": ledger.rehearsal,
    }


def _follow(ledger: Ledger, channel: str) -> Release:
    """Moves components' tags to where their channel points, and repeats this if the channel moved meanwhile.

    Whoever writes tags looks at the channel afterwards. So of several at a time, the last one writes what holds.
    """
    path = _channel_path(channel)
    for _ in range(_ATTEMPTS):
        data = ledger.look(path)[0]
        release = _parse(ledger, path, data)
        _at_once(functools.partial(_point, ledger, channel, release), release.components)
        if ledger.look(path)[0] == data:
            return release
    raise PipeyardError(f"{ledger.place.location(path)} is moved by others all the time. Run again.")


def _point(ledger: Ledger, channel: str, release: Release, name: str) -> None:
    spec = ledger.spec(name, release.components[name])
    for path in [layout.tag_path(name, channel), *([layout.spec_path(name)] if channel == LATEST else [])]:
        if ledger.read(path) != spec:
            ledger.write(path, spec)


def _update_index(ledger: Ledger, releases: Iterable[Release], channels: Iterable[str]) -> None:
    for _ in range(_ATTEMPTS):
        try:
            data, mark = ledger.look(layout.INDEX)
            entries = layout.read_index(data)
        except FileMissing:
            entries, mark = _listed(ledger), NO_FILE
        except ValueError as error:
            raise PipeyardError(
                f"{ledger.place.location('')}: {error}. Remove the file: it is made anew from what the store has."
            ) from error
        for release in releases:
            _enter(ledger, entries, release, release.commit)
        for channel in channels:
            _enter(ledger, entries, _parse(ledger, channel, ledger.look(_channel_path(channel))[0]), channel)
        new = layout.write_index(entries)
        try:
            if ledger.read(layout.INDEX) != new:
                ledger.write(layout.INDEX, new, mark)
            return
        except PlaceChanged:
            continue
    raise PipeyardError(f"{ledger.place.location(layout.INDEX)} is changed by others all the time. Run again.")


def _enter(ledger: Ledger, entries: dict[str, IndexEntry], release: Release, tag: str) -> None:
    for name, digest in release.components.items():
        entry = entries.get(name, IndexEntry())
        spec = yamls.load(ledger.spec(name, digest))
        entries[name] = IndexEntry(
            description=str(spec.get("description") or entry.description),
            digests=tuple(dict.fromkeys([*entry.digests, digest])),
            tags={**entry.tags, tag: digest},
        )


def _listed(ledger: Ledger) -> dict[str, IndexEntry]:
    """Returns what a store without an index has."""
    try:
        return {name: ledger.place.versions(name) for name in ledger.place.entries()}
    except FileMissing:
        return {}
    except PlaceUnavailable as error:
        raise PipeyardError(f"{ledger.place.location('')} can't be listed: {error}.") from error


def _ensure(ledger: Ledger, path: str, data: bytes) -> None:
    """Writes a file that never changes; idempotent."""
    found = ledger.read(path)
    if found is None:
        try:
            ledger.write(path, data, NO_FILE)
            return
        except PlaceChanged:  # by another publisher, or by this one's own request, the answer to which was lost
            found = ledger.read(path)
    if found != data:
        raise PipeyardError(
            f"{ledger.place.location(path)} has other content than this, and it may never change: the store was "
            "tampered with, or written by something else. Look who did; then remove the file and run again."
        )


def _at_once(function: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Calls a function for each item in threads: a bucket answers many as quickly as one."""
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(function, items))


def _refuse_another(ledger: Ledger, release: Release, claimed: bytes | None) -> None:
    if claimed is None or claimed == release.content:
        return
    there = _parse(ledger, _commit_path(release.commit), claimed)
    old, new = ({**each.components, **each.files} for each in (there, release))
    different = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    raise PipeyardError(
        f"Commit {release.commit} was released already, with other content: {', '.join(different)}. A release never "
        "changes. Take what was released, or commit what is different and release that commit."
    )


def _parse(ledger: Ledger, path: str, data: bytes) -> Release:
    try:
        return Release.model_validate_json(data)
    except ValidationError as error:
        raise PipeyardError(f"{ledger.place.location(path)} isn't a release: {error}") from error


def _commit_path(commit: str) -> str:
    return f"{layout.RELEASES}/commits/{_tag(commit)}"


def _channel_path(channel: str) -> str:
    return f"{layout.RELEASES}/channels/{check_channel(channel)}"


def _tag(text: str) -> str:
    tag = VersionSelector.of(tag=text).tag
    assert tag
    return tag
