"""What is in the serving layout when the run ends."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stepkit import served, uris


@dataclass(frozen=True)
class Version:
    """A pushed version.

    Attributes:
        number: its folder's name.
        uri: where it is.
        run_id: the run that pushed it; '' if its record doesn't say.
        alias: what it was pushed as, `champion` say; '' likewise.
    """

    number: int
    uri: str
    run_id: str = ""
    alias: str = ""


@dataclass(frozen=True)
class Found:
    """What a look at the serving layout gave.

    Attributes:
        pushed: the version of this run, if there is one.
        newest: the version that TF Serving would load, if there is one.
        problem: why it couldn't be read; '' if it could.
    """

    pushed: Version | None = None
    newest: Version | None = None
    problem: str = ""


def look(serving_uri: str, model_name: str, run_id: str) -> Found:
    """Looks for the versions of a model. Never raises: a run must get its summary whatever its storage does."""
    if not serving_uri or not model_name:
        return Found()
    base = uris.join(serving_uri, model_name)
    try:
        # The run's own version is among the newest, so the search usually ends at the first.
        versions = (_read(base, number) for number in served.versions(base))
        newest = next(versions, None)
        return Found(_of_run(newest, versions, run_id), newest)
    except Exception as error:  # pylint: disable=broad-exception-caught  # each remote filesystem has errors of its own
        return Found(problem=f"{base} can't be read: {error}")


def _of_run(newest: Version | None, older: Iterator[Version], run_id: str) -> Version | None:
    if newest is None or newest.run_id == run_id:
        return newest
    return next((version for version in older if version.run_id == run_id), None)


def _read(base: str, number: int) -> Version:
    uri = uris.join(base, str(number))
    fs, path = uris.filesystem(uris.join(uri, served.RECORD))
    try:
        record: Any = json.loads(fs.cat_file(path))
    except (FileNotFoundError, ValueError):
        record = None
    if not isinstance(record, dict):
        return Version(number, uri)
    return Version(number, uri, str(record.get("run_id") or ""), str(record.get("alias") or ""))
