"""The way of an InferenceService from what it is to what is desired, one manifest after another.

Each is applied when the one before is in force, so that no request goes to a version that isn't ready, or to one that
was rolled back. `plan` looks only at the live object: whoever was killed goes on from there.

In Standard mode a version is begun beside the main one, without traffic, gets its share when it is ready, and becomes
the main one by its name.

In Knative mode KServe splits between the latest revision that is ready and the one that had all traffic last. While a
new one isn't ready, the share is that of the latest before it: of a canary that was rolled back, if that was the latest
(https://github.com/kserve/kserve/issues/2130). So the stable version is made the latest revision, without traffic, then
with all of it, before another is tried.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy import kserve_manifests as manifests
from deploy.kserve_manifests import Manifest
from deploy.kserve_options import STANDARD, Place
from rollout.desired import Desired
from rollout.policy import ALL

# The version that a revision of Knative's serves; None: not known.
Versions = Callable[[str], int | None]


@dataclass(frozen=True)
class Step:
    """What is to be applied next.

    Attributes:
        manifest: of the InferenceService.
        last: what is desired is reached when it is in force.
    """

    manifest: Manifest
    last: bool


def plan(
    live: Manifest | None, settled: bool, state: Desired, parts: Mapping[int, Manifest], place: Place, service: str
) -> Step:
    """Returns the next step to a desired state.

    Args:
        live: the InferenceService as it is; None if there is none.
        settled: what the live object asks for is in force, see `pending`.
        parts: predictors of the stable version and the candidate, by version.
    """
    if place.mode == STANDARD:
        return _standard(live, state, parts, place, service)
    return _knative(live, settled, state, parts, place, service)


def _standard(live: Manifest | None, state: Desired, parts: Mapping[int, Manifest], place: Place, service: str) -> Step:
    stable, candidate = state.stable, state.candidate
    main = live["spec"]["predictor"] if live else None
    alone = manifests.standard(service, place, parts[stable])
    if not main:
        return Step(alone, candidate is None)
    ready = _ready_canaries(live)
    if manifests.version_of(main) == stable:
        if candidate is None:
            return Step(alone, True)
        shown = ready.get(candidate, False)
        canary = (parts[candidate], state.weight if shown else 0)
        return Step(manifests.standard(service, place, parts[stable], canary), shown)
    if ready.get(stable):
        return Step(alone, candidate is None)
    core = {key: value for key, value in main.items() if key not in ("minReplicas", "maxReplicas")}
    beside = (parts[stable], _canaries(live).get(stable, 0))
    return Step(manifests.standard(service, place, core, beside), False)


def _knative(
    live: Manifest | None, settled: bool, state: Desired, parts: Mapping[int, Manifest], place: Place, service: str
) -> Step:
    def at(version: int, percent: int, last: bool) -> Step:
        return Step(manifests.knative(service, place, parts[version], percent), last)

    stable, candidate = state.stable, state.candidate
    alone = candidate is None
    main = live["spec"]["predictor"] if live else None
    if not main:
        return at(stable, ALL, alone)
    served, percent = manifests.version_of(main), main.get("canaryTrafficPercent", ALL)
    if candidate is not None and (served == candidate or (served == stable and percent == ALL and settled)):
        return at(candidate, state.weight, True)
    if served == stable:  # below 100%: it was the candidate, or is begun anew; all traffic when it is ready
        share = ALL if settled else percent
        return at(stable, share, share == ALL and alone)
    return at(stable, ALL, alone) if percent == ALL else at(stable, 0, False)


def covers(live: Any, wanted: Any) -> bool:
    """True if an object has all that a manifest says; KServe fills in more.

    Lists are compared item by item, and an empty text is anything. `canary` and `canaryTrafficPercent` must not be
    there if the manifest hasn't got them.
    """
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping) or any(
            name in live and name not in wanted and live[name] for name in ("canary", "canaryTrafficPercent")
        ):
            return False
        return all(key in live and covers(live[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(covers, live, wanted))
    return wanted == "" or bool(live == wanted)


def pending(live: Manifest, wanted: Manifest, state: Desired, versions: Versions) -> str:
    """Returns what an InferenceService that was told of a manifest still lacks, for people; empty: it is in force."""
    status = live.get("status") or {}
    ready = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), None)
    if not ready or ready["status"] != "True":
        return _why(ready, status)
    if "canaryTrafficPercent" in wanted["spec"]["predictor"]:
        return _pending_knative(status, wanted, state, versions)
    shares = {each["predictor"]["name"]: each["trafficPercent"] for each in wanted["spec"].get("canary", ())}
    reported = status.get("canaryStatuses") or ()
    if {each["name"]: each["trafficPercent"] for each in reported} != shares:
        return f"KServe hasn't taken the shares {shares or 'without a canary'} yet"
    waiting = [each for each in reported if not each["ready"]]
    return "; ".join(f"predictor {each['name']} isn't ready{_failure(each)}" for each in waiting)


def _pending_knative(status: Manifest, wanted: Manifest, state: Desired, versions: Versions) -> str:
    predictor = wanted["spec"]["predictor"]
    version, percent = manifests.version_of(predictor), predictor["canaryTrafficPercent"]
    component = (status.get("components") or {}).get("predictor") or {}
    latest = component.get("latestReadyRevision")
    if not latest or latest != component.get("latestCreatedRevision") or versions(latest) != version:
        return f"version {version} isn't ready{_failure(status)}"
    shares: dict[int | None, int] = {}
    for each in component.get("traffic") or ():
        if each.get("percent"):
            served = versions(each["revisionName"])
            shares[served] = shares.get(served, 0) + each["percent"]
    if version == state.stable and percent < ALL:
        return "" if set(shares) <= {state.stable, state.previous} else f"the traffic still is {shares}"
    asked = {number: share for number, share in ((version, percent), (state.stable, ALL - percent)) if share}
    return "" if shares == asked else f"the traffic is {shares}, and not {asked}"


def _canaries(live: Manifest | None) -> dict[int | None, int]:
    """Returns version to share of the canaries that are asked for."""
    asked = (live or {}).get("spec", {}).get("canary") or ()
    return {manifests.version_of(each["predictor"]): each["trafficPercent"] for each in asked}


def _ready_canaries(live: Manifest | None) -> dict[int | None, bool]:
    if live is None:
        return {}
    reported = {each["name"]: each["ready"] for each in (live.get("status") or {}).get("canaryStatuses") or ()}
    asked = live["spec"].get("canary") or ()
    return {
        manifests.version_of(each["predictor"]): reported.get(each["predictor"].get("name"), False) for each in asked
    }


def _why(ready: Mapping[str, Any] | None, status: Mapping[str, Any]) -> str:
    said = ": ".join(str(ready[key]) for key in ("reason", "message") if ready.get(key)) if ready else ""
    return f"it isn't ready{f' ({said})' if said else ''}{_failure(status)}"


def _failure(status: Mapping[str, Any]) -> str:
    failed = (status.get("modelStatus") or {}).get("lastFailureInfo") or {}
    said = ": ".join(str(failed[key]) for key in ("reason", "message") if failed.get(key))
    return f" ({said})" if said else ""
