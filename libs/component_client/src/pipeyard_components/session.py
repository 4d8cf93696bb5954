"""A compilation's view of stores: it loads released specs instead of committed ones, and learns what was loaded.

`pipeline.py` makes its store from the folder of committed specs and knows nothing of builds. So what a compilation
wants otherwise holds in its context, not in arguments.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeyard_components.components import LoadedComponent


@dataclass
class Session:
    """One compilation.

    Attributes:
        instead: folder to the folder that is searched in its place.
        loaded: components, in the order in which they were loaded.
    """

    instead: Mapping[Path, Path]
    loaded: list[LoadedComponent] = field(default_factory=list)


_current: contextvars.ContextVar[Session | None] = contextvars.ContextVar("session", default=None)


@contextlib.contextmanager
def session(instead: Mapping[Path, Path]) -> Iterator[Session]:
    """Opens a session for stores that are made, and components that are loaded, inside the block."""
    opened = Session({key.resolve(): value for key, value in instead.items()})
    token = _current.set(opened)
    try:
        yield opened
    finally:
        _current.reset(token)


def folder(path: Path) -> Path:
    """Returns the folder to search for `path`."""
    opened = _current.get()
    return opened.instead.get(path.resolve(), path) if opened else path


def note(component: LoadedComponent) -> None:
    """Tells the session, if there is one, of a component that was loaded."""
    if opened := _current.get():
        opened.loaded.append(component)
