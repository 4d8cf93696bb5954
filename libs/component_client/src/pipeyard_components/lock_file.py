"""`components.lock`: which version of which component a repository uses, where it is from, and which images it runs.

    {"format": 1,
     "components": {"train": {"source": "https://...", "version": "latest", "digest": "sha256:...",
                              "images": ["registry/train@sha256:..."], "vendored": false, "deprecated": ""}}}

`version` is what was asked for and `update` goes by: a tag, a digest, or '' for the newest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pipeyard_components import jsons, layout
from pipeyard_components.errors import PipeyardError
from pipeyard_components.layout import VersionSelector
from pipeyard_components.spec_cache import write_whole

NAME = "components.lock"
# Beside the lock, laid out as a store.
VENDORED = "vendored_components"
_FORMAT = 1


@dataclass(frozen=True)
class LockedComponent:
    """One component.

    Attributes:
        source: the folder or URL of its store.
        version: what was asked for: a tag, `sha256:<digest>`, or '' for the newest.
        digest: `sha256:<digest>` of its specification.
        images: what its specification runs.
        vendored: a copy of the specification lies beside the lock.
        deprecated: why no new pipeline should use it; '' if it may.
    """

    source: str
    version: str
    digest: str
    images: tuple[str, ...] = ()
    vendored: bool = False
    deprecated: str = ""

    @property
    def hex(self) -> str:
        """The digest's digits."""
        return self.digest.partition(":")[2]


def read(path: Path) -> dict[str, LockedComponent]:
    """Reads a lock.

    Raises:
        PipeyardError: there is none, or it isn't as this client writes it.
    """
    try:
        told = jsons.load(path.read_bytes())
    except FileNotFoundError as error:
        raise PipeyardError(f"{path} isn't there. `pipeyard-components add URL NAME` makes it.") from error
    except ValueError as error:
        raise PipeyardError(f"{path} isn't JSON ({error}). Restore it from your repository.") from error
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        found = told.get("format") if isinstance(told, dict) else None
        raise PipeyardError(
            f"{path} has the format {found!r}; this client reads {_FORMAT}. Restore it, or install a newer client."
        )
    components = told.get("components")
    if not isinstance(components, dict):
        raise PipeyardError(f"{path} has no mapping `components`. Restore it from your repository.")
    return {layout.check_name(name): _entry(each, name, path) for name, each in components.items()}


def write(path: Path, components: Mapping[str, LockedComponent]) -> None:
    """Writes a lock, whole or not at all; equal ones have equal bytes."""
    told = {"format": _FORMAT, "components": {name: asdict(each) for name, each in sorted(components.items())}}
    write_whole(path, (json.dumps(told, indent=1) + "\n").encode())


def _entry(told: Any, name: str, path: Path) -> LockedComponent:
    wanted = {each.name for each in fields(LockedComponent)}
    problem = ""
    if not isinstance(told, dict) or set(told) != wanted:
        problem = f"has not just {', '.join(sorted(wanted))}"
    elif not all(isinstance(told[key], str) for key in ("source", "version", "digest", "deprecated")):
        problem = "has what isn't text"
    elif not isinstance(told["vendored"], bool) or not isinstance(told["images"], list):
        problem = "says wrongly whether it is vendored, or its images"
    elif not told["digest"].startswith("sha256:") or not _is_digest(told["digest"]):
        problem = f"has {told['digest']!r}, which is no digest"
    if problem:
        raise PipeyardError(
            f"{path}: {name!r} {problem}: the lock was changed by hand. Restore it, or add the component again."
        )
    return LockedComponent(**{**told, "images": tuple(map(str, told["images"]))})


def _is_digest(text: str) -> bool:
    try:
        return VersionSelector.of(digest=text).digest == text[len("sha256:") :]
    except PipeyardError:
        return False
