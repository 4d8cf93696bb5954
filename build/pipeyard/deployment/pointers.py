"""Small JSON objects that say which commit's things are in force, and move from one commit to another."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.system.bucket import NO_OBJECT, Bucket, PreconditionFailed

_TRIES = 8


def read(bucket: Bucket, path: str) -> tuple[dict[str, Any], int] | None:
    """Returns what a pointer says, and its generation; None if absent.

    Raises:
        PipeyardError: it is damaged, or Cloud Storage refuses or can't be reached.
    """
    found = bucket.read(path)
    if found is None:
        return None
    try:
        said = json.loads(found[0])
        return {**said, "commit": str(said["commit"])}, found[1]
    except (ValueError, KeyError, TypeError) as error:
        raise PipeyardError(
            f"{bucket.uri(path)} is damaged ({error!r}). Remove it and run the same command again, which writes it."
        ) from error


def move(
    bucket: Bucket, path: str, wanted: Mapping[str, Any], precedes: Callable[[str, str], bool]
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
    data = (json.dumps(wanted, indent=2, sort_keys=True) + "\n").encode()
    for _ in range(_TRIES):
        found = read(bucket, path)
        if found is not None and (found[0] == wanted or precedes(wanted["commit"], found[0]["commit"])):
            return found[0]
        try:
            bucket.write(path, data, found[1] if found else NO_OBJECT)
        except PreconditionFailed:
            continue  # another one was quicker, or it was this one and the answer was lost: look again
        return wanted
    raise PipeyardError(
        f"{bucket.uri(path)} was changed by others {_TRIES} times while it was to move. Run the same command again."
    )
