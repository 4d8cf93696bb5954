"""What is done with a lock: components are added, updated, compared, verified and loaded. See `lock_file`.

Everything is looked up and checked first and written then, the lock last.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeyard_components import compatibility, interfaces, layout, lock_file, version_states
from pipeyard_components.compatibility import Comparison
from pipeyard_components.errors import PipeyardError, near_misses
from pipeyard_components.layout import VersionSelector
from pipeyard_components.lock_file import LockedComponent
from pipeyard_components.spec_cache import write_whole
from pipeyard_components.store import Components, ComponentStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Locks:
    """A lock, and how stores are asked.

    Attributes:
        path: of the lock; what is vendored lies beside it.
        offline: ask no URL.
        cache_dir: see `ComponentStore`.
    """

    path: Path
    offline: bool = False
    cache_dir: Path | None = None

    def add(self, source: str, wanted: str, vendor: bool = False, instead: bool = False) -> LockedComponent:
        """Locks `NAME` or `NAME@VERSION` of a store.

        Args:
            vendor: keep a copy beside the lock.
            instead: take the place of a component of this name from another store.

        Raises:
            PipeyardError: there is no such component or version, it is yanked, can't be loaded, or another store's
                component of this name, with other content, is locked.
        """
        name, _, version = wanted.partition("@")
        locked = lock_file.read(self.path) if self.path.exists() else {}
        found, text = self._resolve(layout.check_name(name), LockedComponent(source, version, "", vendored=vendor))
        there = locked.get(name)
        if there and there.source != source and there.digest != found.digest and not instead:
            raise PipeyardError(
                f"{name!r} is locked from {there.source} ({there.digest[:19]}), and {source} has other content under "
                f"this name ({found.digest[:19]}). Add it with --replace to take this one instead."
            )
        self._write({**locked, name: found}, {name: text})
        return found

    def update(self, names: Iterable[str] = ()) -> dict[str, Comparison]:
        """Locks what the versions that were asked for name now; returns what changed, by component."""
        locked = lock_file.read(self.path)
        news = self._news(locked, names)
        compared = self._changes(locked, news)
        self._write({**locked, **{name: now for name, (now, _) in news.items()}}, {n: t for n, (_, t) in news.items()})
        return compared

    def diff(self, names: Iterable[str] = ()) -> dict[str, Comparison]:
        """Returns what `update` would change."""
        locked = lock_file.read(self.path)
        return self._changes(locked, self._news(locked, names))

    def verify(self) -> list[str]:
        """Returns what isn't as the lock says, for each component what is to be done.

        A tag that names another version by now is none of it: `diff` tells that.
        """
        locked = lock_file.read(self.path)
        found = [problem for name, each in locked.items() for problem in self._problems(name, each)]
        kept = {self._vendored(name, each) for name, each in locked.items() if each.vendored}
        for path in self._copies():
            if path not in kept:
                found.append(f"{path} is no copy that {self.path.name} names. Remove it, or add the component again.")
        return found

    def why(self, name: str) -> tuple[LockedComponent, list[str]]:
        """Returns what is locked as `name`, and the Python files and lines below the lock's folder that name it."""
        locked = lock_file.read(self.path)
        (name,) = self._chosen(locked, [name])
        return locked[name], list(_uses(self.path.parent, name))

    def load_components(self, *names: str) -> Components:
        """Loads locked components, by digest: the copy beside the lock, what the cache has, or else from their store.

        Args:
            names: none: all.

        Raises:
            PipeyardError: one isn't locked, or can't be had with this digest.
        """
        locked = lock_file.read(self.path)
        loaded = {}
        for name in self._chosen(locked, names):
            if locked[name].deprecated:
                _log.warning("%s (%s) is deprecated: %s", name, locked[name].digest[:19], locked[name].deprecated)
            loaded[name] = self._store(locked[name]).load_component(name, digest=locked[name].digest)
        return Components(loaded)

    def load_all(self, source: str) -> Components:
        """Loads the newest of each component of a store, whatever is locked.

        Raises:
            PipeyardError: the store can't be listed, has no components, or one can't be loaded.
        """
        store = self._store_at(source)
        names = [found.name for found in store.search()]
        if not names:
            raise PipeyardError(f"{source} has no components, or can't be listed. Is it a store? See its index.json.")
        return store.load_components(*names)

    def _news(self, locked: dict[str, LockedComponent], names: Iterable[str]) -> dict[str, tuple[LockedComponent, str]]:
        return {name: self._resolve(name, locked[name]) for name in self._chosen(locked, names)}

    def _changes(
        self, locked: dict[str, LockedComponent], news: dict[str, tuple[LockedComponent, str]]
    ) -> dict[str, Comparison]:
        return {
            name: self._compared(name, locked[name], text)
            for name, (now, text) in news.items()
            if now.digest != locked[name].digest
        }

    def _resolve(self, name: str, asked: LockedComponent) -> tuple[LockedComponent, str]:
        """Returns what is there now of what was asked for, with its specification's text."""
        store = self._store_at(asked.source)
        version = VersionSelector.parse(asked.version or None)
        component = store.load_component(name, version.digest, version.tag)
        state = None
        try:
            state = store.state(name, component.digest)
        except PipeyardError as error:
            _log.warning("%s: whether it was yanked isn't known: %s", name, error)
        if state and state.state == version_states.YANKED:
            raise PipeyardError(
                f"{name} (sha256:{component.digest[:12]}) was yanked: {state.told}. Add another version: {name}@TAG."
            )
        if not asked.vendored:  # by its digest, too, under which the cache keeps it for ever
            component = store.load_component(name, digest=component.digest)
        text = component.text
        images = _images(text, name)
        if loose := [each for each in images if "@" not in each]:
            _log.warning(
                "%s: nothing pins what it runs: %s may name another image tomorrow. Lock it from a store that was "
                "released, in which images have digests.",
                name,
                ", ".join(loose),
            )
        found = replace(
            asked, digest=f"sha256:{component.digest}", images=images, deprecated=state.reason if state else ""
        )
        return found, text

    def _compared(self, name: str, was: LockedComponent, text: str) -> Comparison:
        old = self._store(was).load_component(name, digest=was.digest).text
        return compatibility.compare(interfaces.read(old, f"{name} as locked"), interfaces.read(text, name))

    def _problems(self, name: str, each: LockedComponent) -> Iterator[str]:
        copy = self._vendored(name, each)
        if each.vendored and not copy.is_file():
            yield f"{name}: its copy {copy} is missing. Restore it, or add the component again."
            return
        try:
            text = self._store(each).load_component(name, digest=each.digest).text
        except PipeyardError as error:
            yield f"{name}: {error}"
            return
        if (images := _images(text, name)) != each.images:
            yield (
                f"{name}: the lock says that it runs {', '.join(each.images) or 'no image'}, its specification says "
                f"{', '.join(images)}. Restore the lock, or add the component again."
            )
        try:
            state = self._store_at(each.source).state(name, each.hex)
        except PipeyardError as error:
            if not each.vendored:
                yield f"{name}: whether it was yanked isn't known: {error}"
            return
        if state and state.state == version_states.YANKED:
            yield f"{name} ({each.digest[:19]}) was yanked: {state.told}. Update it, or add another version."

    def _store(self, each: LockedComponent) -> ComponentStore:
        """Returns where a locked component is loaded from: the copies alone, or its store."""
        return ComponentStore([self.path.parent / lock_file.VENDORED]) if each.vendored else self._store_at(each.source)

    def _store_at(self, source: str) -> ComponentStore:
        if "://" in source:
            return ComponentStore(url_search_prefixes=[source], offline=self.offline, cache_dir=self.cache_dir)
        return ComponentStore([self.path.parent / source])

    def _chosen(self, locked: dict[str, LockedComponent], names: Iterable[str]) -> list[str]:
        chosen = list(names) or list(locked)
        for name in chosen:
            if name not in locked:
                raise PipeyardError(f"{self.path} has no {name!r}. {near_misses(name, locked)}")
        return chosen

    def _vendored(self, name: str, each: LockedComponent) -> Path:
        return self.path.parent / lock_file.VENDORED / layout.digest_path(name, each.hex)

    def _copies(self) -> list[Path]:
        folder = self.path.parent / lock_file.VENDORED
        return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []

    def _write(self, locked: dict[str, LockedComponent], texts: dict[str, str]) -> None:
        for name, text in texts.items():
            if locked[name].vendored:
                path = self._vendored(name, locked[name])
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, text.encode())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock_file.write(self.path, locked)
        kept = {self._vendored(name, each) for name, each in locked.items() if each.vendored}
        for path in self._copies():
            if path not in kept and any(path.is_relative_to(self._copies_of(name)) for name in texts):
                path.unlink()

    def _copies_of(self, name: str) -> Path:
        return self.path.parent / lock_file.VENDORED / name / layout.DIGESTS


def _images(text: str, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in interfaces.read(text, name).images.values() if each))


def _uses(folder: Path, name: str) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        where = path.relative_to(folder)
        if any(part.startswith(".") for part in where.parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value == name:
                yield f"{where.as_posix()}:{node.lineno}"
