"""Small JSON objects that say which commit's things are in force, and move from one commit to another."""

import json
from collections.abc import Callable, Mapping
from time import sleep
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.system import conditional_store, jsons
from pipeyard.system.bucket import Bucket
from pipeyard.system.conditional_store import VersionedObject


def read(bucket: Bucket, path: str) -> dict[str, Any] | None:
    """Returns what a pointer says; None if absent.

    Raises:
        PipeyardError: it is damaged, or Cloud Storage refuses or can't be reached.
    """
    place = conditional_store.object_in(bucket, path)
    return _parse(place.read()[0], place)


def move(
    bucket: Bucket,
    path: str,
    wanted: Mapping[str, Any],
    precedes: Callable[[str, str], bool],
    wait: Callable[[float], None] = sleep,
) -> Mapping[str, Any]:
    """Moves a pointer to `wanted` by compare-and-swap, unless it names a later commit; idempotent.

    Args:
        wanted: with the key `commit`.
        precedes: true if the first commit is known to come before the second.

    Returns:
        The content afterwards.

    Raises:
        PipeyardError: others change it all the time, or Cloud Storage refuses or can't be reached.
    """
    place = conditional_store.object_in(bucket, path)
    data = (json.dumps(wanted, indent=2, sort_keys=True) + "\n").encode()

    def change(content: bytes | None) -> tuple[bytes | None, Mapping[str, Any]]:
        current = _parse(content, place)
        if current is not None and (current == wanted or precedes(wanted["commit"], current["commit"])):
            return content, current
        return data, wanted

    return conditional_store.update(place, change, "Run the same command again.", wait)


def _parse(content: bytes | None, place: VersionedObject) -> dict[str, Any] | None:
    if content is None:
        return None
    try:
        said = jsons.load(content)
        return {**said, "commit": str(said["commit"])}
    except (ValueError, KeyError, TypeError) as error:
        raise PipeyardError(
            f"{place} is damaged ({error!r}). Remove it and run the same command again, which writes it."
        ) from error
