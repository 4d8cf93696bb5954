"""What releases say of a component's version: its commit, its image's size and user, SBOM, provenance, pipelines."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from pydantic import ValidationError

from pipeyard.errors import PipeyardError
from pipeyard.images import image_lock
from pipeyard.packages import archives, dist_folder
from pipeyard.releases import publication, shipments
from pipeyard.releases.publication import Ledger, Release
from pipeyard.system import jsons
from pipeyard_components import interfaces
from pipeyard_components.interfaces import Interface


@dataclass(frozen=True)
class ReleasedVersion:
    """What the release of a version says of it.

    Attributes:
        image_bytes: of the image's layers, compressed; None: unknown.
        user: the image's, as a Dockerfile has it; None: unknown.
        sbom, provenance: paths in the store; '' where there is none.
    """

    commit: str = ""
    image_bytes: int | None = None
    user: str | None = None
    sbom: str = ""
    provenance: str = ""


@dataclass(frozen=True)
class PipelineUse:
    """A pipeline that runs a version of a component.

    Attributes:
        channels: that name the release whose pipeline it is; none: it is that of the checkout.
        digest: of the component's version; '': the one that is checked out.
    """

    pipeline: str
    channels: tuple[str, ...] = ()
    digest: str = ""


class ReleaseReader:
    """Reads the releases of a store, each once.

    Attributes:
        problems: what couldn't be read, and why.
    """

    def __init__(self, ledger: Ledger, tags: Iterable[str]) -> None:
        self._ledger = ledger
        self._channels: dict[str, Release] = {}
        self.problems: list[str] = []
        self._read = cache(self._read_once)
        for tag in sorted(tags):
            if not publication.is_commit(tag) and (found := self._release(tag)):
                self._channels[tag] = found

    def of_version(self, name: str, digest: str, tags: Iterable[str]) -> ReleasedVersion:
        """Returns what the release of a version says: one that a channel names if there is one.

        Args:
            tags: of the version.
        """
        for tag in sorted(tags, key=lambda each: (publication.is_commit(each), each)):
            release = self._channels.get(tag) or (self._release(tag) if publication.is_commit(tag) else None)
            if release and release.components.get(name) == digest:
                return self._facts(release, name)
        return ReleasedVersion()

    def uses(self, version: Mapping[tuple[str, str], Interface]) -> dict[str, list[PipelineUse]]:
        """Returns, by component, which pipelines of what channels name run it.

        Args:
            version: component and digest to its interface.
        """
        found: dict[tuple[str, str, str], list[str]] = {}
        for channel, release in self._channels.items():
            components = {
                _key(interface, ""): (name, digest)
                for name, digest in release.components.items()
                if (interface := version.get((name, digest)))
            }
            for pipeline, text in self._pipelines(release):
                for step in text.images:
                    if used := components.get(_key(text, step)):
                        channels = found.setdefault((used[0], pipeline, used[1]), [])
                        channels += [channel] if channel not in channels else []
        uses: dict[str, list[PipelineUse]] = {}
        for (name, pipeline, digest), channels in sorted(found.items()):
            uses.setdefault(name, []).append(PipelineUse(pipeline, tuple(channels), digest))
        return uses

    def _pipelines(self, release: Release) -> Iterator[tuple[str, Interface]]:
        for path in release.files:
            folder, _, rest = path.partition("/")
            pipeline, _, file = rest.partition("/")
            if (folder, file) == (shipments.PIPELINES, archives.PIPELINE):
                read = self._read(release.path(path), _compiled)
                if isinstance(read, Interface):
                    yield pipeline, read

    def _facts(self, release: Release, name: str) -> ReleasedVersion:
        files = {path: release.path(path) for path in release.files}
        lock = self._read(files.get(image_lock.FILE, ""), image_lock.Lock.model_validate_json)
        users = self._read(files.get(shipments.USERS, ""), jsons.load)
        image = lock.images.get(name) if isinstance(lock, image_lock.Lock) else None
        user = users.get(name) if isinstance(users, dict) else None
        return ReleasedVersion(
            release.commit,
            image.bytes if image else None,
            user if isinstance(user, str) else None,
            files.get(dist_folder.sbom_path(name), ""),
            files.get(dist_folder.PROVENANCE, ""),
        )

    def _release(self, tag: str) -> Release | None:
        return self._read(publication.path_of(tag), Release.model_validate_json)

    def _read_once(self, path, parse):
        """Returns a file's content; None where there is none, or none that can be read, which is a problem."""
        try:
            data = self._ledger.read(path) if path else None
            return None if data is None else parse(data)
        except (PipeyardError, ValidationError, ValueError) as error:
            first = str(error).strip().partition("\n")[0].rstrip(".")
            self.problems.append(f"{self._ledger.place.location(path)}: {first}.")
            return None


def _compiled(data: bytes) -> Interface:
    return interfaces.read(data.decode(), "the compiled pipeline")


def _key(interface: Interface, step: str) -> str:
    """What tells a component's step from others: image and command. Arguments are written otherwise when compiled."""
    return json.dumps([interface.images[step], interface.program[step].get("command")], sort_keys=True, default=str)
