"""How a checked model becomes a served one: pushed, registered, and staged at its target.

By the strategy `direct`, and as the first version of a model, it is the stable one at once, and the registry's
champion. Else it is a candidate and the registry's challenger, until whoever watches it serve decides (see
`deploy.promotion`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy import serving
from deploy.targets import DeployTarget
from rollout.desired import CANDIDATE, OTHER, STABLE
from stepkit import registry, served, uris
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
        pushed: False if the same SavedModel was there already.
        role: what it is at its target: `stable`, `candidate` or `other`.
        alias: what the registry calls it; empty: nothing, as it was rolled back before.
        decided: how the rollout ended that deploy itself has followed: `promoted`, `rolled_back`, `superseded`; empty:
            it followed none.
    """

    version: registry.ModelVersion
    pushed: bool
    role: str
    alias: str
    decided: str = ""


def deploy_now(
    candidate: Candidate, versions: serving.Versions, registry_uri: str, alias: str, target: DeployTarget | None = None
) -> Deployed:
    """Pushes, registers and stages. What was done already, by a deployment that was killed, isn't done again.

    Args:
        alias: of a version that all traffic goes to. `challenger` leaves what serves as it is.
        target: what serves; None: nothing is told of the version.

    Raises:
        StepError: the version can't be pushed; or can't be registered or get its alias, in which case it is removed
            again; or can't be staged.
    """
    with versions.locked():
        number = find(candidate.digest, versions)
        pushed = number is None
        if number is None:
            number = push(candidate, versions, alias, target)
        else:
            versions.renew(number, candidate.beside)
        try:
            version = register(candidate, number, versions.uri(number), registry_uri)
            planned = _planned(target, number, alias)
            _name(version, registry_uri, alias_of(planned, alias))
        except BaseException as error:
            if not pushed:
                raise
            versions.remove(number)
            if isinstance(error, StepError):
                raise StepError(f"{error} Version {number}, just pushed, was removed again.") from error
            raise
        role = _stage(target, number, alias)
        if role != planned:  # the rollout of this version was decided in between
            _name(version, registry_uri, alias_of(role, alias))
        return Deployed(version, pushed, role, alias_of(role, alias))


def _planned(target: DeployTarget | None, number: int, alias: str) -> str:
    if target is None:
        return STABLE
    if alias == registry.CHALLENGER and target.is_begun():
        return CANDIDATE  # by its alias alone: it is pushed and registered, and gets no traffic
    return target.planned(number)


def _stage(target: DeployTarget | None, number: int, alias: str) -> str:
    planned = _planned(target, number, alias)
    if target is None or (alias == registry.CHALLENGER and target.is_begun()):
        return planned
    target.stage(number)
    return target.role(number)


def alias_of(role: str, alias: str) -> str:
    """Returns what the registry calls a version of that role.

    Args:
        alias: of a version that all traffic goes to.
    """
    return {STABLE: alias, CANDIDATE: registry.CHALLENGER, OTHER: ""}[role]


def _name(version: registry.ModelVersion, registry_uri: str, alias: str) -> None:
    if alias:
        promote(version, registry_uri, alias)


def find(digest: str, versions: serving.Versions) -> int | None:
    """Returns the highest version with this content; None if there is none."""
    return next((number for number in reversed(versions.numbers()) if versions.holds(number, digest)), None)


def push(candidate: Candidate, versions: serving.Versions, alias: str, target: DeployTarget | None = None) -> int:
    """Makes a version of the candidate and returns its number."""
    pushed_at = datetime.now(UTC).isoformat(timespec="seconds")

    def describe(number: int) -> serving.Record:
        gets = alias_of(_planned(target, number, alias), alias)
        return {**to_record(candidate, number, versions.uri(number), gets), "pushed_at": pushed_at}

    return versions.push(candidate.folder, describe, candidate.beside)


def register(candidate: Candidate, number: int, uri: str, registry_uri: str) -> registry.ModelVersion:
    """Registers a pushed version, without an alias, and returns it as the registry has it."""
    tags = dict(candidate.lineage)
    if served.MODEL_CARD_PAGE in candidate.beside:
        tags["model_card"] = uris.join(uri, served.MODEL_CARD_PAGE)
    version = registry.ModelVersion(candidate.name, number, uri, candidate.digest, tags)
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
        **({"model_card": served.MODEL_CARD_PAGE} if served.MODEL_CARD_PAGE in candidate.beside else {}),
    }
