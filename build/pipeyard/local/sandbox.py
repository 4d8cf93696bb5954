"""What a step's container may touch, and as whom: reckoned here, without an engine.

A container sees its image, read-only, a `/tmp` of its own, and these of the host's files, at the paths that they have
on the host, so that artifacts' URIs are true on both sides: its input artifacts, what its component declares to read
outside the run, and the places that the run's parameters name, read-only; the folder of its outputs and what its
component declares to write. Nothing else.
"""

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.local import external
from pipeyard.local.launcher import Launch

# A container has its own.
TMP = "/tmp"
_NUMERIC_USER = re.compile(r"(?P<uid>\d+)(:\d+)?")


@dataclass(frozen=True, order=True)
class Bind:
    """A file or folder of the host that a container sees at the same path."""

    path: str
    writable: bool = False


@dataclass(frozen=True)
class User:
    """Whom a container's process runs as.

    Attributes:
        name: as Docker takes it, `UID` or `UID:GID`.
        uid: of the host that it is.
    """

    name: str
    uid: int


def binds(launch: Launch) -> list[Bind]:
    """Returns what a container gets of the host's files.

    What it reads and isn't there is left out: the step says so itself, as it does without a container.

    Raises:
        PipeyardError: a path is relative, or all of the host's /tmp would have to be bound.
    """
    reads = [Bind(place) for uri in launch.reads if (place := _readable(uri))]
    writes = [Bind(str(folder), True) for folder in write_folders(launch)]
    for bind in [*reads, *writes]:
        if bind.path == TMP:
            raise PipeyardError(
                f"What the step reads or writes lies in {TMP} itself, where a container has a folder of its own. "
                f"Put it in a folder below, like {TMP}/data."
            )
    return _without_covered([*reads, *writes, Bind(str(launch.outputs), True)])


def write_folders(launch: Launch) -> list[Path]:
    """Returns the local folders in which a step writes outside the run.

    A URI stands for a folder, unless it is a database's or a file is there: then it is written in the folder around,
    with locks and journals beside it. What the step makes anew is written there, too: it may be a file or a folder, and
    must not be there beforehand.

    Raises:
        PipeyardError: a path is relative, or the folder would be the root of the file system.
    """
    folders = []
    for uri, is_new in [*((uri, False) for uri in launch.writes), *((uri, True) for uri in launch.creates)]:
        if not (local := external.local_path(uri)):
            continue
        path, is_database = Path(_absolute(local[0])), local[1]
        folder = path.parent if is_new or is_database or path.is_file() else path
        if folder == Path(folder.anchor):
            raise PipeyardError(f"{uri!r} would be written in {folder}, which no container gets. Name another place.")
        folders.append(folder)
    return folders


def user_of(invoker: tuple[int, int], image_user: str, owners: Iterable[tuple[int, int]], rootless: bool) -> User:
    """Tells whom a container runs as: one who can write where it has to, and not root where that can be.

    For anyone but root it is the invoker, who owns the outputs then. For root it is the image's user, as on a cluster,
    unless what the step writes outside the run belongs to another already: then it is that one. It has no capability in
    any case, so that root is but the owner of root's files.

    Args:
        invoker: user and group that run the pipeline.
        image_user: `USER` of the image.
        owners: user and group of the folders outside the run that the step writes and that are there.
        rootless: the engine's root is the invoker, and its other users are nobody on the host.
    """
    uid, gid = invoker
    if rootless:
        return User("0:0", uid)
    if uid != 0:
        return User(f"{uid}:{gid}", uid)
    match = _NUMERIC_USER.fullmatch(image_user)
    own = int(match.group("uid")) if match else 0
    for owner, group in owners:
        if owner != own:
            return User(f"{owner}:{group}", owner)
    return User(image_user if match else "0:0", own)


def _readable(uri: str) -> str | None:
    """Returns the path to bind for a URI that is read; None if it is remote or nothing is there."""
    local = external.local_path(uri)
    if not local:
        return None
    path, is_database = Path(_absolute(local[0])), local[1]
    if glob.has_magic(str(path)) and not path.exists():
        path = next(parent for parent in path.parents if not glob.has_magic(str(parent)))
    if is_database:
        path = path.parent  # a journal beside it tells that it isn't as it seems
    return str(path) if path.exists() and path != Path(path.anchor) else None


def _absolute(path: str) -> str:
    if not Path(path).is_absolute():
        raise PipeyardError(f"{path!r} is a relative path, which means nothing in a container. Give it from / on.")
    return os.path.normpath(path)


def _without_covered(wanted: Iterable[Bind]) -> list[Bind]:
    """Leaves out what lies in a folder that is bound anyway, and at least as writable."""
    kept: list[Bind] = []
    for bind in sorted(set(wanted), key=lambda each: (Path(each.path).parts, not each.writable)):
        around = [each for each in kept if Path(bind.path).is_relative_to(each.path)]
        if not any(each.writable or not bind.writable for each in around):
            kept.append(bind)
    return kept
