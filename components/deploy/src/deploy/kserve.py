"""The target `kserve`: an InferenceService that deploy brings in line with the desired state, and follows itself.

The state is in the cluster, in a ConfigMap beside the InferenceService: whoever goes on, from wherever, finds it.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from deploy import kserve_manifests as manifests
from deploy import kserve_plan, serving
from deploy.desired_target import DeployTarget, FollowedTarget, Rules
from deploy.kserve_manifests import Manifest
from deploy.kserve_options import Place, check, read, to_service_name
from deploy.kubernetes_api import (
    CONFIG_MAP,
    INFERENCE_SERVICE,
    REVISION,
    SERVING_RUNTIME,
    Cluster,
    Conflict,
    connect,
)
from deploy.prometheus import Prometheus
from rollout import desired
from rollout.desired import Desired
from rollout.errors import Overtaken, RolloutError
from rollout.observations import Window
from stepkit.errors import StepError

__all__ = ["NAME", "Edges", "check", "open_target"]

NAME = "kserve"

_STATE, _PREDICTORS, _PROGRESS = desired.FILE, "predictors.json", "progress.json"
_POLL_SECONDS = 2.0
_MOST_CONFLICTS = 20
# An InferenceService that so often in a row isn't as it was written is somebody else's, or of a KServe that is too old.
_MOST_WRITES = 5


@dataclass(frozen=True)
class Edges:
    """What the target touches of the world.

    Attributes:
        connect: to a namespace, by a kubeconfig's context.
        sleep: waits so many seconds.
        now: seconds, of which only differences count.
    """

    connect: Callable[[str, str], Cluster] = connect
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


_EDGES = Edges()


class NotReady(Exception):
    """A version isn't ready in time."""


@dataclass(frozen=True)
class ClusterState:
    """The desired state of a model, and what else has to be known, in a ConfigMap: `deploy.states.State` and `Memory`.

    Attributes:
        service: the InferenceService's name.
    """

    cluster: Cluster
    namespace: str
    service: str

    @property
    def name(self) -> str:
        """The ConfigMap's name."""
        return f"{self.service}-rollout"

    def read(self) -> Desired | None:
        """See `State`."""
        return self._desired(self._data(self._live()))

    def update(self, change: Callable[[Desired | None], Desired]) -> Desired:
        """See `State`."""
        made: list[Desired] = []

        def changed(data: Mapping[str, str]) -> dict[str, str]:
            current = self._desired(data)
            try:
                made.append(change(current))
            except Overtaken:
                raise
            except RolloutError as error:
                raise StepError(str(error)) from error
            return dict(data) if made[-1] == current else {**data, _STATE: made[-1].to_text()}

        self._change(changed)
        return made[-1]

    def remembered(self) -> str:
        """See `Memory`."""
        return self._data(self._live()).get(_PROGRESS, "")

    def remember(self, text: str) -> None:
        """See `Memory`."""
        self._change(lambda data: {**data, _PROGRESS: text})

    def predictors(self, state: Desired, make: Callable[[int], Manifest]) -> dict[int, Manifest]:
        """Returns what serves the stable version and the candidate: as they were begun, or else made now and kept."""
        wanted = [number for number in (state.stable, state.candidate) if number is not None]

        def changed(data: Mapping[str, str]) -> dict[str, str]:
            kept = _to_predictors(data)
            parts = {number: kept.get(number) or make(number) for number in wanted}
            return dict(data) if parts == kept else {**data, _PREDICTORS: json.dumps(parts, sort_keys=True)}

        return _to_predictors(self._change(changed))

    def forget(self, version: int) -> None:
        """Lets a version be made anew, by the options of now."""

        def changed(data: Mapping[str, str]) -> dict[str, str]:
            kept = _to_predictors(data)
            kept.pop(version, None)
            return {**data, _PREDICTORS: json.dumps(kept, sort_keys=True)}

        self._change(changed)

    def _live(self) -> Manifest | None:
        return self.cluster.read(CONFIG_MAP, self.name)

    def _data(self, live: Manifest | None) -> dict[str, str]:
        return dict((live or {}).get("data") or {})

    def _desired(self, data: Mapping[str, str]) -> Desired | None:
        text = data.get(_STATE)
        try:
            return desired.from_text(text, f"{_STATE} of ConfigMap {self.name!r}") if text else None
        except RolloutError as error:
            raise StepError(str(error)) from error

    def _change(self, change: Callable[[Mapping[str, str]], dict[str, str]]) -> dict[str, str]:
        """Changes the data if no one else does meanwhile; else begins anew from what they made of it."""
        for _ in range(_MOST_CONFLICTS):
            live = self._live()
            data = self._data(live)
            new = change(data)
            if live is not None and new == data:
                return new
            try:
                if live is None:
                    self.cluster.create(CONFIG_MAP, self._manifest(new))
                else:
                    self.cluster.replace(CONFIG_MAP, {**live, "data": new})
                return new
            except Conflict:
                continue
        raise StepError(
            f"ConfigMap {self.name!r} in namespace {self.namespace!r} is changed by somebody else all the time. End "
            "other deployments of the model, and run the step again."
        )

    def _manifest(self, data: Mapping[str, str]) -> Manifest:
        metadata = {
            "name": self.name,
            "namespace": self.namespace,
            "labels": {"app.kubernetes.io/managed-by": "pipeyard"},
        }
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def _to_predictors(data: Mapping[str, str]) -> dict[int, Manifest]:
    try:
        return {int(number): dict(part) for number, part in json.loads(data.get(_PREDICTORS) or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}  # somebody edited it: they are made anew


@dataclass
class Service:
    """A model's InferenceService, which is brought in line with the desired state.

    Attributes:
        part: makes the predictor of a version.
    """

    place: Place
    name: str
    state: ClusterState
    part: Callable[[int], Manifest]
    edges: Edges
    _versions: dict[str, int | None] = field(default_factory=dict)

    def publish(self) -> None:
        """Brings the InferenceService in line, and waits until it serves so.

        A candidate that isn't ready in time is rolled back.

        Raises:
            StepError: the stable version isn't ready in time; what served before still does.
        """
        while (state := self.state.read()) is not None:
            try:
                if self._converge(state):
                    return
            except NotReady as error:
                if state.candidate is None:
                    raise StepError(
                        f"Version {state.stable} isn't served by InferenceService {self.name!r} in namespace "
                        f"{self.place.namespace!r}: {error}. What served before still does. See `kubectl describe` of "
                        "it and of its pods, mend it, and run the step again."
                    ) from error
                self._roll_back(state.candidate, f"it isn't served: {error}")

    def _roll_back(self, tried: int, reason: str) -> None:
        print(f"version {tried} is rolled back: {reason}", file=sys.stderr)

        def changed(current: Desired | None) -> Desired:
            found = desired.staged(current, tried)
            return desired.roll_back(found, tried, [reason], time.time()) if found.candidate == tried else found

        self.state.update(changed)

    def _converge(self, state: Desired) -> bool:
        """Returns False if somebody else has changed what is desired meanwhile, an operator, say.

        That is read after the InferenceService: so what they have written there since makes this one's writing a
        conflict.
        """
        self._ensure_runtime()
        parts = self.state.predictors(state, self.part)
        until = self.edges.now() + self.place.ready_seconds
        written: Manifest | None = None
        writes = 0
        while True:
            live = self.state.cluster.read(INFERENCE_SERVICE, self.name)
            settled = live is not None and not kserve_plan.pending(live, live, state, self._version)
            step = kserve_plan.plan(live, settled, state, parts, self.place, self.name)
            is_written = live is not None and kserve_plan.covers(live["spec"], step.manifest["spec"])
            problem = kserve_plan.pending(live, step.manifest, state, self._version) if live and is_written else ""
            if is_written and not problem and step.last:
                return True
            if self.state.read() != state:
                return False
            if not is_written:
                if step.manifest != written:
                    written, writes = step.manifest, 0
                if writes > _MOST_WRITES:
                    raise NotReady(
                        "its spec isn't what was written. Does somebody else write it, or is this KServe older than "
                        "0.20, which doesn't know spec.canary?"
                    )
                writes += self._write(live, step.manifest)
                continue
            if self.edges.now() >= until:
                raise NotReady(f"after {self.place.ready_seconds:g} s {problem or 'it is on its way'}")
            self.edges.sleep(_POLL_SECONDS)

    def _write(self, live: Manifest | None, wanted: Manifest) -> bool:
        """Returns False if KServe or somebody else was quicker: then it is to be read again."""
        try:
            if live is None:
                self.state.cluster.create(INFERENCE_SERVICE, wanted)
                return True
            metadata = dict(live["metadata"])
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **wanted["metadata"]["annotations"]}
            self.state.cluster.replace(INFERENCE_SERVICE, {**live, "metadata": metadata, "spec": wanted["spec"]})
            return True
        except Conflict:
            return False

    def _ensure_runtime(self) -> None:
        runtime = manifests.serving_runtime(self.place)
        if self.state.cluster.read(SERVING_RUNTIME, runtime["metadata"]["name"]) is None:
            with contextlib.suppress(Conflict):  # its name says what it is, whoever made it
                self.state.cluster.create(SERVING_RUNTIME, runtime)

    def _version(self, revision: str) -> int | None:
        """Returns the version that a revision of Knative's serves. Revisions never change."""
        if revision not in self._versions:
            found = self.state.cluster.read(REVISION, revision)
            if found is None:
                return None
            self._versions[revision] = manifests.version_of(found["metadata"])
        return self._versions[revision]


@dataclass(frozen=True, kw_only=True)
class KServeTarget(FollowedTarget):
    """See `FollowedTarget`.

    Attributes:
        forget: lets a version be served by the options of now, also where it was served by others before.
    """

    forget: Callable[[int], None]

    def stage(self, version: int) -> None:
        """See `Staging`."""
        state = self.read()
        if state is not None and state.candidate is None and self.planned(version) == desired.STABLE:
            self.forget(version)
        super().stage(version)


def open_target(serving_uri: str, model_name: str, rules: Rules, edges: Edges = _EDGES) -> DeployTarget:
    """Returns the target of one model."""
    place = read(rules.options)
    name = to_service_name(model_name)
    state = ClusterState(edges.connect(place.namespace, place.context), place.namespace, name)
    versions = serving.open_versions(serving_uri, model_name)

    def part(version: int) -> Manifest:
        return manifests.predictor(model_name, version, versions.uri(version), place)

    service = Service(place, name, state, part, edges)
    source = Prometheus(place.prometheus, place.prometheus_token_file)

    def look(current: Desired, start: float, end: float) -> tuple[Window, Window]:
        if current.candidate is None:
            raise StepError("There is no candidate to observe.")
        return source.observe(model_name, current.stable, current.candidate, start, end)

    def reach() -> None:
        state.read()
        state.cluster.read(INFERENCE_SERVICE, name)
        if place.prometheus:
            source.reach()

    return KServeTarget(
        name=NAME,
        state=state,
        rules=rules,
        publish=service.publish,
        memory=state,
        look=look,
        rhythm=place.rhythm,
        reach=reach,
        forget=state.forget,
    )
