"""Where the desired state of a model is kept: beside its versions, on this machine or in an object store.

In an object store each revision is an object of its own, `.rollout/<revision>`, that is created only if absent where
the store can do that (see `deploy.serving`), so that of two who change the same revision one begins anew.
`rollout.json` is a copy of the latest, for whoever follows it.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rollout import desired
from rollout.desired import Desired
from rollout.errors import RolloutError
from stepkit import served, uris
from stepkit.errors import StepError

Change = Callable[[Desired | None], Desired]

_REVISIONS = ".rollout"
_KEPT = 20


class State(Protocol):
    """The desired state of one model."""

    def read(self) -> Desired | None:
        """Returns it; None if there is none yet.

        Raises:
            StepError: what is there is none.
        """

    def update(self, change: Change) -> Desired:
        """Changes it, if no one else does meanwhile; else begins anew from what they made of it. Returns the new one.

        Raises:
            StepError: what is there is none, `change` refuses it, or it can't be written.
        """


def open_state(serving_uri: str, model_name: str) -> State:
    """Returns the state of `model_name` below `serving_uri`, local or remote; makes nothing yet."""
    if uris.is_remote(serving_uri):
        return RemoteState(uris.join(serving_uri, model_name))
    return LocalState(uris.local_part(serving_uri).absolute() / model_name)


@dataclass(frozen=True)
class LocalState:
    """In a model's folder on this machine."""

    folder: Path

    def read(self) -> Desired | None:
        """See `State`."""
        with _told(str(self.folder)):
            return desired.read(self.folder)

    def update(self, change: Change) -> Desired:
        """See `State`. Holds the lock of the state meanwhile."""
        with _told(str(self.folder)):
            return desired.update(self.folder, change)


@dataclass(frozen=True)
class RemoteState:
    """In an object store."""

    base: str

    def read(self) -> Desired | None:
        """See `State`."""
        with _told(self.base):
            return self._latest(*uris.filesystem(self.base))

    def update(self, change: Change) -> Desired:
        """See `State`."""
        with _told(self.base):
            fs, base = uris.filesystem(self.base)
            while True:
                current = self._latest(fs, base)
                new = change(current)
                if current is None or new != current:
                    try:
                        fs.pipe_file(f"{base}/{_REVISIONS}/{new.revision}", new.to_text().encode(), mode="create")
                    except FileExistsError:
                        continue
                self._publish(fs, base)
                return new

    def _publish(self, fs: Any, base: str) -> None:
        """Makes `rollout.json` the latest revision, also where another was written while this one was copied."""
        written = None
        while (latest := self._latest(fs, base)) != written and latest is not None:
            text = latest.to_text().encode()
            if _content(fs, f"{base}/{desired.FILE}") != text:
                fs.pipe_file(f"{base}/{desired.FILE}", text)
            written = latest
        for old in _revisions(fs, base)[:-_KEPT]:
            with contextlib.suppress(FileNotFoundError):
                fs.rm_file(f"{base}/{_REVISIONS}/{old}")

    def _latest(self, fs: Any, base: str) -> Desired | None:
        revisions = _revisions(fs, base)
        if not revisions:
            return None
        path = f"{base}/{_REVISIONS}/{revisions[-1]}"
        return desired.from_bytes(fs.cat_file(path), f"{self.base}/{_REVISIONS}/{revisions[-1]}")


def _revisions(fs: Any, base: str) -> list[int]:
    return served.numbers(fs, f"{base}/{_REVISIONS}")


def _content(fs: Any, path: str) -> bytes | None:
    try:
        content: bytes = fs.cat_file(path)
        return content
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except RolloutError as error:
        raise StepError(str(error)) from error
    except OSError as error:
        raise StepError(
            f"Can't read or write {desired.FILE} in {place!r}: {str(error) or type(error).__name__}. The version is "
            "pushed, but not staged. Check the path, its permissions and its free space, and deploy again."
        ) from error
