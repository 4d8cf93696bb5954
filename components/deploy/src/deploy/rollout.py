"""How a checked model becomes a served one: pushed, registered, promoted.

`deploy_now` does the three in one go. They are apart because a live canary lies between the second and the third: it
pushes and registers a challenger, watches it serve, and then promotes or removes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy import serving
from stepkit import registry
from stepkit.errors import StepError


@dataclass(frozen=True)
class Candidate:
    """A checked model.

    Attributes:
        folder: its SavedModel.
        digest: of its SavedModel.
        metrics: of its evaluation.
        lineage: what it was made of, e.g. the run's id and the schema's digest.
        beside: what is pushed with it, by name, see `stepkit.served`.
        facts: what whoever asks it should know, e.g. its task.
    """

    name: str
    folder: Path
    digest: str
    metrics: Mapping[str, float]
    lineage: Mapping[str, str] = field(default_factory=dict)
    beside: serving.Beside = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployed:
    """A served and registered version.

    Attributes:
        pushed: False if the same SavedModel was being served already.
    """

    version: registry.ModelVersion
    pushed: bool


def deploy_now(candidate: Candidate, versions: serving.Versions, registry_uri: str, alias: str) -> Deployed:
    """Pushes, registers and promotes.

    Raises:
        StepError: the version can't be pushed; or can't be registered or promoted, in which case it is removed again.
    """
    with versions.locked():
        number = find(candidate.digest, versions)
        pushed = number is None
        if number is None:
            number = push(candidate, versions, alias)
        else:
            versions.renew(number, candidate.beside)
        try:
            version = register(candidate, number, versions.uri(number), registry_uri)
            promote(version, registry_uri, alias)
        except BaseException as error:
            if not pushed:
                raise
            versions.remove(number)
            if isinstance(error, StepError):
                raise StepError(f"{error} Version {number}, just pushed, was removed again.") from error
            raise
        return Deployed(version, pushed)


def find(digest: str, versions: serving.Versions) -> int | None:
    """Returns the highest version with this content; None if there is none."""
    return next((number for number in reversed(versions.numbers()) if versions.holds(number, digest)), None)


def push(candidate: Candidate, versions: serving.Versions, alias: str) -> int:
    """Makes a version of the candidate and returns its number."""
    pushed_at = datetime.now(UTC).isoformat(timespec="seconds")

    def describe(number: int) -> serving.Record:
        return {**to_record(candidate, number, versions.uri(number), alias), "pushed_at": pushed_at}

    return versions.push(candidate.folder, describe, candidate.beside)


def register(candidate: Candidate, number: int, uri: str, registry_uri: str) -> registry.ModelVersion:
    """Registers a pushed version, without an alias, and returns it as the registry has it."""
    version = registry.ModelVersion(candidate.name, number, uri, candidate.digest, candidate.lineage)
    return registry.register(registry_uri, version, None, candidate.metrics)


def promote(version: registry.ModelVersion, registry_uri: str, alias: str) -> None:
    """Points the alias at a registered version."""
    registry.promote(registry_uri, version, alias)


def to_record(candidate: Candidate, number: int, uri: str, alias: str) -> dict[str, Any]:
    """Returns what `pipeyard.json` and the pushed_model artifact say of a version."""
    return {
        "name": candidate.name,
        "version": number,
        "uri": uri,
        "digest": candidate.digest,
        "alias": alias,
        "metrics": dict(candidate.metrics),
        **candidate.lineage,
        **candidate.facts,
    }
