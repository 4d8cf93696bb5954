"""The TF Serving layout: `<serving_uri>/<model_name>/<N>/saved_model.pb`, where servers watch for new numbers.

A version is a folder with a number for a name; TF Serving takes no notice of other names. None is ever overwritten.

Local folders: a version is copied to a hidden sibling and renamed, so that it appears whole. Deploys of the same model
take turns by the lock file `.lock`; whoever holds it removes what killed ones left. Where the filesystem has no locks,
renaming alone still keeps them from overwriting each other, and leftovers stay.

Object stores (anything fsspec knows) can't rename a folder. A deploy claims its number by creating `.claims/<N>`, only
if absent where the store can do that (gs://, and s3:// on AWS; elsewhere a check and a write, which two deploys in the
same moment can both pass). `saved_model.pb` is uploaded last: a folder without it is no version here, and a server that
sees it too early fails to load it and retries (TF Serving: five times, a minute apart).
"""

import contextlib
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from deploy import model_card
from stepkit import digest as digests
from stepkit import served, uris
from stepkit.errors import StepError
from stepkit.served import BESIDE, MODEL_CARD, MODEL_CARD_PAGE, RECORD, SAVED_MODEL, is_number, versions

_LOCK = ".lock"
_CLAIMS = ".claims"
_PARTIAL = ".partial"

Record = dict[str, Any]
# Name in the version's folder, one of BESIDE, to the file that is copied there, or what is written.
Beside = Mapping[str, Path | bytes]
_NOTHING: Beside = MappingProxyType({})


class Versions(Protocol):
    """The versions of one model."""

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other deploys of this model waiting, where the place has locks."""

    def numbers(self) -> list[int]:
        """Returns the numbers of all versions, ascending."""

    def uri(self, number: int) -> str:
        """Returns where a version is, or would be; absolute."""

    def holds(self, number: int, digest: str) -> bool:
        """True if that version's SavedModel has this digest."""

    def push(self, model: Path, describe: Callable[[int], Record], beside: Beside = _NOTHING) -> int:
        """Adds a SavedModel as the version after the highest, with its record in `pipeyard.json`; returns its number.

        Args:
            describe: gives the record of a number.
            beside: other files of the version's folder.

        Raises:
            StepError: it can't be written; nothing of it is left then.
        """

    def renew(self, number: int, beside: Beside) -> None:
        """Puts those files beside a version's SavedModel that are others than what is there, each whole.

        Of those beside it that aren't given, only the record stays: the others were true of an earlier deployment.

        Raises:
            StepError: they can't be written.
        """

    def remove(self, number: int) -> None:
        """Removes a version, at once for whoever watches."""


def open_versions(serving_uri: str, model_name: str) -> Versions:
    """Returns the versions of `model_name` below `serving_uri`, local or remote; makes nothing yet."""
    if uris.is_remote(serving_uri):
        return RemoteVersions(uris.join(serving_uri, model_name))
    return LocalVersions(uris.local_part(serving_uri).absolute() / model_name)


def digest_of(model: Path) -> str:
    """Returns the digest of a SavedModel, the same before and after it is pushed."""
    return digests.of_tree(model, leave_out=BESIDE)


@dataclass(frozen=True)
class LocalVersions:
    """Versions in a folder of this machine."""

    folder: Path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """See `Versions`. Removes what killed deploys left."""
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / _LOCK).open("ab")
        with lock:
            if _lock(lock.fileno()):
                for leftover in self.folder.glob(f".*{_PARTIAL}"):
                    shutil.rmtree(leftover, ignore_errors=True)
            yield

    def numbers(self) -> list[int]:
        """See `Versions`."""
        if not self.folder.is_dir():
            return []
        return sorted(int(item.name) for item in self.folder.iterdir() if is_number(item.name))

    def uri(self, number: int) -> str:
        """See `Versions`."""
        return str(self.folder / str(number))

    def holds(self, number: int, digest: str) -> bool:
        """See `Versions`. The record is only believed if it says no."""
        folder = self.folder / str(number)
        try:
            recorded = _digest_in((folder / RECORD).read_bytes())
        except OSError:
            recorded = None
        if recorded not in (None, digest):
            return False
        return folder.is_dir() and digest_of(folder) == digest

    def push(self, model: Path, describe: Callable[[int], Record], beside: Beside = _NOTHING) -> int:
        """See `Versions`."""
        with self._aside() as aside:
            _copy(_files(model, beside), aside)
            return self._take_number(aside, describe)

    def renew(self, number: int, beside: Beside) -> None:
        """See `Versions`."""
        new = _others(beside, lambda name: (self.folder / str(number) / name).read_bytes())
        with self._aside() as aside:
            _copy(new, aside)
            for name in new:
                target = self.folder / str(number) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (aside / name).replace(target)
            for name in _outdated(beside):
                (self.folder / str(number) / name).unlink(missing_ok=True)

    def remove(self, number: int) -> None:
        """See `Versions`."""
        aside = self.folder / f".{uuid.uuid4().hex[:12]}{_PARTIAL}"
        (self.folder / str(number)).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    @contextlib.contextmanager
    def _aside(self) -> Iterator[Path]:
        """Gives a hidden folder, which is gone afterwards."""
        aside = self.folder / f".{uuid.uuid4().hex[:12]}{_PARTIAL}"
        with self._writing():
            try:
                aside.mkdir()
                yield aside
            finally:
                shutil.rmtree(aside, ignore_errors=True)

    def _take_number(self, aside: Path, describe: Callable[[int], Record]) -> int:
        while True:
            number = _next(self.numbers())
            _write(aside / RECORD, _to_bytes(describe(number)))
            try:
                aside.rename(self.folder / str(number))
            except OSError:
                if not (self.folder / str(number)).exists():
                    raise
                continue  # somebody else took the number in between
            _sync(self.folder)
            return number

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StepError(
                f"Can't write to the serving folder {str(self.folder)!r}: {os.strerror(error.errno or 0)}"
                f"{f' ({error.filename})' if error.filename else ''}. Nothing was pushed. Check the path, its "
                "permissions and its free space."
            ) from error


@dataclass(frozen=True)
class RemoteVersions:
    """Versions in an object store."""

    base: str

    def locked(self) -> AbstractContextManager[None]:
        """See `Versions`. Object stores have no locks: does nothing."""
        return contextlib.nullcontext()

    def numbers(self) -> list[int]:
        """See `Versions`."""
        return sorted(versions(self.base))

    def uri(self, number: int) -> str:
        """See `Versions`."""
        return uris.join(self.base, str(number))

    def holds(self, number: int, digest: str) -> bool:
        """See `Versions`. Believes the record, as reading the version back could take long."""
        fs, base = uris.filesystem(self.base)
        try:
            return _digest_in(fs.cat_file(f"{base}/{number}/{RECORD}")) == digest
        except FileNotFoundError:
            return False

    def push(self, model: Path, describe: Callable[[int], Record], beside: Beside = _NOTHING) -> int:
        """See `Versions`."""
        fs, base = uris.filesystem(self.base)
        with self._writing():
            number = _claim(fs, base)
            try:
                _upload(fs, f"{base}/{number}", _files(model, beside), _to_bytes(describe(number)))
            except BaseException:
                _delete(fs, f"{base}/{number}")
                raise
        return number

    def renew(self, number: int, beside: Beside) -> None:
        """See `Versions`."""
        fs, base = uris.filesystem(self.base)
        with self._writing():
            new = _others(beside, lambda name: fs.cat_file(f"{base}/{number}/{name}"))
            for name, source in new.items():
                _put(fs, source, f"{base}/{number}/{name}")
            for name in _outdated(beside):
                with contextlib.suppress(FileNotFoundError):
                    fs.rm_file(f"{base}/{number}/{name}")

    def remove(self, number: int) -> None:
        """See `Versions`."""
        fs, base = uris.filesystem(self.base)
        _delete(fs, f"{base}/{number}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StepError(
                f"Can't write to {self.base!r}: {str(error) or type(error).__name__}. Nothing was pushed. Check the "
                "bucket and the account's right to create objects."
            ) from error


def _claim(fs: Any, base: str) -> int:
    number = _next([*served.numbers(fs, base), *served.numbers(fs, f"{base}/{_CLAIMS}")])
    while True:
        try:
            fs.pipe_file(f"{base}/{_CLAIMS}/{number}", b"claimed\n", mode="create")
            return number
        except FileExistsError:
            number += 1


def _outdated(beside: Beside) -> list[str]:
    return [name for name in BESIDE if name != RECORD and name not in beside]


def _others(beside: Beside, read: Callable[[str], bytes]) -> dict[str, Path | bytes]:
    """Returns those files that aren't there as they are given: what stays the same isn't written again.

    A card that says the same of the model stays, lineage included: as the record, it names the run that pushed it.

    Args:
        read: returns what is there.
    """
    there = {}
    for name in beside:
        with contextlib.suppress(FileNotFoundError):
            there[name] = read(name)
    given = {name: source if isinstance(source, bytes) else source.read_bytes() for name, source in beside.items()}
    same = {name for name, content in there.items() if content == given[name]}
    cards = {MODEL_CARD, MODEL_CARD_PAGE}
    if cards <= there.keys() and model_card.says_the_same(there[MODEL_CARD], given[MODEL_CARD]):
        same |= cards
    return {name: source for name, source in beside.items() if name not in same}


def _files(model: Path, beside: Beside) -> dict[str, Path | bytes]:
    """Returns name to file of all that a version gets, except its record. An earlier push's record isn't part of it."""
    own = {file.relative_to(model).as_posix(): file for file in sorted(model.rglob("*")) if file.is_file()}
    return {name: file for name, file in own.items() if name not in BESIDE} | dict(beside)


def _upload(fs: Any, target: str, files: Mapping[str, Path | bytes], record: bytes) -> None:
    for name, file in files.items():
        if name != SAVED_MODEL:
            _put(fs, file, f"{target}/{name}")
    fs.pipe_file(f"{target}/{RECORD}", record)
    _put(fs, files[SAVED_MODEL], f"{target}/{SAVED_MODEL}")


def _put(fs: Any, source: Path | bytes, target: str) -> None:
    if isinstance(source, bytes):
        fs.pipe_file(target, source)
    else:
        fs.put_file(str(source), target)


def _delete(fs: Any, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        fs.rm_file(f"{target}/{SAVED_MODEL}")  # first, so that no server loads the rest
    with contextlib.suppress(FileNotFoundError):
        fs.rm(target, recursive=True)


def _next(numbers: list[int]) -> int:
    return max(numbers, default=0) + 1


def _digest_in(record: bytes) -> str | None:
    try:
        found = json.loads(record)
    except ValueError:
        return None
    return found.get("digest") if isinstance(found, dict) else None


def _to_bytes(record: Record) -> bytes:
    return (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()


def _copy(files: Mapping[str, Path | bytes], target: Path) -> None:
    for name, source in files.items():
        copied = target / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            copied.write_bytes(source)
        else:
            shutil.copyfile(source, copied)
        _sync(copied)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _sync(path)


def _sync(path: Path) -> None:
    """Makes sure that a crash of the machine after the rename can't leave an empty file behind it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:  # some network filesystems have none
        return False
    return True
