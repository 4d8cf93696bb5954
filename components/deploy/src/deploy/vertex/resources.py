"""What is sent to Vertex AI, as its REST API has it, and which request is next: pure functions.

Protocol: https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints and
    .../projects.locations.models. A deployed model's id may be chosen, so it is the version's number: a request that
    was done, but not answered, is never done twice.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.vertex.place import Place
from rollout.desired import Desired

Json = dict[str, Any]
Split = Mapping[str, int]

BEING_DEPLOYED = "0"  # its id in the traffic split of the request that deploys it
_LABEL_LENGTH = 63


@dataclass(frozen=True)
class Deploy:
    """Deploys a version; when it is ready the endpoint has that traffic split."""

    version: int
    split: Split


@dataclass(frozen=True)
class Shift:
    """Gives the endpoint another traffic split."""

    split: Split


@dataclass(frozen=True)
class Undeploy:
    """Ends a deployed model, which has no traffic."""

    identity: str


def next_request(state: Desired, endpoint: Mapping[str, Any]) -> Deploy | Shift | Undeploy | None:
    """Returns what is to be done next, so that an endpoint serves as is desired; None: it does.

    At each point a version that is ready has the traffic: what takes over is deployed before what it replaces goes, and
    of a candidate that gives way to another the traffic goes first.
    """
    deployed = [each["id"] for each in endpoint.get("deployedModels", ())]
    split = {identity: share for identity, share in endpoint.get("trafficSplit", {}).items() if share}
    stable, candidate = str(state.stable), str(state.candidate or "")
    if stable not in deployed:
        return Deploy(state.stable, {BEING_DEPLOYED: 100})
    has_candidate = candidate in deployed
    wanted = _split(stable, candidate if has_candidate else "", state.weight)
    if split != wanted:
        return Shift(wanted)
    for identity in deployed:
        if identity not in (stable, candidate):
            return Undeploy(identity)
    if state.candidate is not None and not has_candidate:
        return Deploy(state.candidate, _split(stable, BEING_DEPLOYED, state.weight))
    return None


def _split(stable: str, candidate: str, weight: int) -> Split:
    return {stable: 100 - weight, candidate: weight} if candidate and weight else {stable: 100}


def aliases(state: Desired) -> Mapping[int, tuple[str, ...]]:
    """Returns which aliases versions of the Model Registry are to have, of those that deploy gives."""
    found: dict[int, tuple[str, ...]] = {state.stable: ("champion",)}
    if state.candidate is not None:
        found[state.candidate] = ("challenger",)
    if state.decided and state.decided.version not in found:
        found[state.decided.version] = ()
    return found


def version_alias(version: int) -> str:
    """Returns the alias that a version is found by; Vertex AI counts versions by itself."""
    return f"v{version}"


def model(name: str, version: int, uri: str, place: Place) -> Json:
    """Returns a Model to upload.

    Args:
        uri: of the version's folder in Cloud Storage.
    """
    given = {"name": name, "version": version, "port": place.port}
    container: Json = {
        "imageUri": place.image,
        "ports": [{"containerPort": place.port}],
        "predictRoute": _filled(place.predict_route, given),
        "healthRoute": _filled(place.health_route, given),
    }
    if place.args:
        container["args"] = [_filled(each, given) for each in place.args]
    return {
        "displayName": name,
        "artifactUri": uri,
        "versionAliases": [version_alias(version)],
        "versionDescription": f"Version {version} of {name}, deployed by Pipeyard",
        "labels": {"managed-by": "pipeyard", "version": str(version)},
        "containerSpec": container,
    }


def deployed_model(model_name: str, version: int, place: Place) -> Json:
    """Returns a DeployedModel.

    Args:
        model_name: the model's resource name.
    """
    machine: Json = {"machineType": place.machine_type}
    if place.accelerator:
        machine |= {"acceleratorType": place.accelerator, "acceleratorCount": place.accelerator_count}
    found: Json = {
        "id": str(version),
        "model": f"{model_name}@{version_alias(version)}",
        "displayName": version_alias(version),
        "dedicatedResources": {
            "machineSpec": machine,
            "minReplicaCount": place.min_replicas,
            "maxReplicaCount": place.max_replicas,
        },
    }
    if place.service_account:
        found["serviceAccount"] = place.service_account
    return found


def labels(state: Desired) -> Mapping[str, str]:
    """Returns an endpoint's labels: for people, and for filters of the console and the billing."""
    found = {"managed-by": "pipeyard", "strategy": state.strategy, "stable": str(state.stable)}
    if state.candidate is not None:
        found |= {"candidate": str(state.candidate), "weight": str(state.weight)}
    if state.decided:
        found["decided"] = f"{state.decided.version}-{state.decided.action}"
    return {key: re.sub(r"[^a-z0-9_-]", "-", value.lower())[:_LABEL_LENGTH] for key, value in found.items()}


def _filled(text: str, given: Mapping[str, Any]) -> str:
    for key, value in given.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text
