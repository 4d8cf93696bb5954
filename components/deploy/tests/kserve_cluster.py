"""A cluster with KServe in it, as far as deploy sees it: objects, what KServe makes of them, traffic, and Prometheus.

Objects are checked by KServe's published CRDs, where they are, with unknown fields refused, as `fieldValidation=Strict`
has it. Paths, codes and conflicts follow https://kubernetes.io/docs/reference/using-api/api-concepts/. What the
controller does is written from its source, https://github.com/kserve/kserve: of Standard mode
`reconcileCanaryDeployments` in pkg/controller/v1beta1/inferenceservice/components/predictor.go, and the webhook's rules
as https://github.com/kserve/website/issues/734 lists them; of Knative mode `createKnativeService` and how
`LatestRolledoutRevision` moves. None of it was recorded of a real cluster.

Time is the clock's, which `sleep` moves on. The controller works whenever an InferenceService was read: what was just
written shows in the status only at the next reading.
"""

import contextlib
import copy
import functools
import gzip
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from jsonschema import Draft202012Validator

# KServe's published CustomResourceDefinitions (kserve/kserve, 2026-08-21, aaac4e294), which aren't in this repository.
CRDS = Path(os.environ.get("KSERVE_CRDS") or Path(__file__).parents[4] / "shared/data/kserve")
GROUPS = {
    ("", "v1"): ("configmaps",),
    ("serving.kserve.io", "v1beta1"): ("inferenceservices",),
    ("serving.kserve.io", "v1alpha1"): ("servingruntimes",),
    ("serving.knative.dev", "v1"): ("revisions",),
}
RATE = 40  # requests a second
TOKEN = "token-of-the-kubeconfig"
BOUNDS = [0.001 * 1.3**number for number in range(20)]
_NO_AUTOSCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling")


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Refuses what a schema doesn't name, at any depth; metadata is Kubernetes' own."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = dict(schema)
    if properties := schema.get("properties"):
        made["properties"] = {name: strict(each) for name, each in properties.items()}
        made.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            made[key] = strict(schema[key])
    return made


@functools.cache
def validator(plural: str) -> Draft202012Validator:
    """Returns what checks objects of KServe's."""
    text = gzip.decompress((CRDS / f"serving.kserve.io_{plural}.yaml.gz").read_bytes())
    (version,) = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]["versions"]
    return Draft202012Validator(strict(version["schema"]["openAPIV3Schema"]))


@functools.cache
def faults_of(plural: str, text: str) -> tuple[str, ...]:
    """Returns what the published schema has against an object."""
    return tuple(f"{each.json_path}: {each.message}" for each in validator(plural).iter_errors(json.loads(text)))


class Refused(Exception):
    """An answer that isn't 200."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass
class Pods:
    """A Deployment of Standard mode, or a Revision of Knative's.

    Attributes:
        seen: how often the controller has looked at it.
        ready_at, gone_at: by the clock; infinite: not yet.
        shares: (since, percentage) of the traffic.
    """

    version: int
    labels: Mapping[str, str]
    seen: int = 0
    ready_at: float = math.inf
    gone_at: float = math.inf
    shares: list[tuple[float, int]] = field(default_factory=list)

    def requests(self, at: float) -> int:
        """Returns how many it has answered until then."""
        ends = [since for since, _ in self.shares[1:]] + [math.inf]
        seconds = [
            max(0.0, min(at, end) - since) * share / 100 for (since, share), end in zip(self.shares, ends, strict=True)
        ]
        return int(RATE * sum(seconds))


class KServeCluster:
    """A namespace `models` of a cluster.

    Attributes:
        broken: versions that never become ready.
        failing: version to share of its requests that fail.
        known_canary: False: a KServe before 0.20, whose schema doesn't know `spec.canary`.
        history: version to its share of the traffic, whenever that has changed.
        bad: what must never be: shares of what isn't ready, a moment without a version that serves.
        faults: what happens to the next requests instead of an answer, or after what they do.
        requests: all so far, as `METHOD plural/name`.
    """

    def __init__(self) -> None:
        self.clock = 1_000_000.0
        self.broken: set[int] = set()
        self.failing: dict[int, float] = {}
        self.known_canary = True
        self.history: list[dict[int, int]] = []
        self.bad: list[str] = []
        self.faults: list[str] = []
        self.requests: list[str] = []
        self._objects: dict[tuple[str, str], dict[str, Any]] = {}
        self._pods: dict[str, Pods] = {}
        self._gone: list[tuple[str, Pods]] = []
        self._revisions: list[str] = []
        self._template: Any = None
        self._rolled_out = ""
        self._count = 0
        self._lock = threading.RLock()

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    # What deploy does with it: `deploy.kubernetes_api.Cluster`, without HTTP.

    def read(self, kind: tuple[str, str, str], name: str) -> dict[str, Any] | None:
        with self._lock:
            self.requests.append(f"GET {kind[2]}/{name}")
            found = copy.deepcopy(self._objects.get((kind[2], name)))
            if kind[2] == "inferenceservices" and found:
                self._reconcile()
            return found

    def create(self, kind: tuple[str, str, str], manifest: dict[str, Any]) -> None:
        with self._lock:
            key = (kind[2], manifest["metadata"]["name"])
            self.requests.append(f"POST {'/'.join(key)}")
            self._check(kind, manifest)
            if key in self._objects:
                raise Refused(409, "AlreadyExists", f"{key} already exists")
            self._store(key, {**copy.deepcopy(manifest), "metadata": {**manifest["metadata"], "generation": 1}})

    def replace(self, kind: tuple[str, str, str], manifest: dict[str, Any]) -> None:
        with self._lock:
            key = (kind[2], manifest["metadata"]["name"])
            self.requests.append(f"PUT {'/'.join(key)}")
            self._check(kind, manifest)
            live = self._objects.get(key)
            if live is None:
                raise Refused(404, "NotFound", f"{key} isn't there")
            given = manifest["metadata"].get("resourceVersion")
            if not given:
                raise Refused(422, "Invalid", "metadata.resourceVersion: must be specified for an update")
            if given != live["metadata"]["resourceVersion"]:
                raise Refused(409, "Conflict", "the object has been modified")
            new = copy.deepcopy(manifest)
            if "status" in live:
                new["status"] = live["status"]  # a subresource: nobody writes it so
            if new.get("spec") != live.get("spec"):
                new["metadata"]["generation"] = live["metadata"]["generation"] + 1
            self._store(key, new)

    def touch(self, plural: str, name: str) -> None:
        """Somebody else changes an object."""
        with self._lock:
            self._store((plural, name), self._objects[plural, name])

    def object(self, plural: str, name: str) -> dict[str, Any]:
        return copy.deepcopy(self._objects[plural, name])

    def names(self) -> list[tuple[str, str]]:
        return list(self._objects)

    def _store(self, key: tuple[str, str], new: dict[str, Any]) -> None:
        self._count += 1
        new["metadata"]["resourceVersion"] = str(self._count)
        self._objects[key] = new

    def _check(self, kind: tuple[str, str, str], manifest: dict[str, Any]) -> None:
        group, version, plural = kind
        if manifest["apiVersion"] != f"{group}/{version}".lstrip("/"):
            raise Refused(400, "BadRequest", f"apiVersion {manifest['apiVersion']}")
        if plural == "configmaps":
            unknown = set(manifest) - {"apiVersion", "kind", "metadata", "data", "binaryData", "immutable"}
            if unknown or not all(isinstance(value, str) for value in manifest.get("data", {}).values()):
                raise Refused(400, "BadRequest", f"unknown fields {unknown}, or data that isn't text")
            return
        checked = {**{key: manifest[key] for key in ("apiVersion", "kind", "spec")}, "metadata": {}}
        if CRDS.is_dir() and (found := faults_of(plural, json.dumps(checked, sort_keys=True))):
            raise Refused(400, "BadRequest", f"strict decoding error: {'; '.join(found)}")
        if plural == "inferenceservices":
            self._check_canaries(manifest)

    def _check_canaries(self, manifest: dict[str, Any]) -> None:
        spec = manifest["spec"]
        canaries = spec.get("canary", [])
        if canaries and not self.known_canary:
            raise Refused(400, "BadRequest", 'strict decoding error: unknown field "spec.canary"')
        mode = manifest["metadata"]["annotations"]["serving.kserve.io/deploymentMode"]
        names = [spec["predictor"].get("name")] + [each["predictor"].get("name") for each in canaries]
        if canaries and (
            mode != "Standard"
            or not all(names)
            or len(set(names)) != len(names)
            or sum(each["trafficPercent"] for each in canaries) > 100
            or any(name in each["predictor"] for each in canaries for name in _NO_AUTOSCALING)
        ):
            raise Refused(403, "Forbidden", f"admission webhook denied the request: {canaries}")

    # What KServe does.

    def _reconcile(self) -> None:
        for (plural, _), service in list(self._objects.items()):
            if plural == "inferenceservices":
                standard = service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
                status = self._standard(service["spec"]) if standard else self._knative(service["spec"])
                if status != service.get("status"):
                    service["status"] = status
                    self._count += 1
                    service["metadata"]["resourceVersion"] = str(self._count)

    def _pod(self, name: str, predictor: Mapping[str, Any]) -> Pods:
        labels = predictor["labels"]
        version = int(labels["pipeyard.dev/version"])
        assert predictor["model"]["storageUri"].endswith(f"/{version}"), "a version isn't its URI's"
        pods = self._pods.setdefault(name, Pods(version, labels))
        pods.seen += 1
        if pods.seen > 2 and version not in self.broken:
            pods.ready_at = min(pods.ready_at, self.clock)
        return pods

    def _share(self, shares: Mapping[str, int]) -> None:
        """Takes the traffic's shares, by name of the pods."""
        for name, pods in self._pods.items():
            share = shares.get(name, 0)
            if share and pods.ready_at > self.clock and self.history:
                self.bad.append(f"version {pods.version} has {share}% and isn't ready")
            if not pods.shares or pods.shares[-1][1] != share:
                pods.shares.append((self.clock, share))
        now: dict[int, int] = {}
        for name, share in shares.items():
            if share and self._pods[name].ready_at <= self.clock:
                now[self._pods[name].version] = now.get(self._pods[name].version, 0) + share
        if self.history and sum(now.values()) != 100:
            self.bad.append(f"only {now} is served")
        if now and (not self.history or self.history[-1] != now):
            self.history.append(now)

    def _end(self, names: set[str]) -> None:
        for name in names:
            pods = self._pods.pop(name)
            pods.gone_at = self.clock
            pods.shares.append((self.clock, 0))
            self._gone.append((name, pods))

    def _standard(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        canaries = spec.get("canary", [])
        main = f"{spec['predictor'].get('name', '')}-predictor"
        wanted = {main: spec["predictor"]} | {
            f"{each['predictor']['name']}-predictor": each["predictor"] for each in canaries
        }
        self._end(set(self._pods) - set(wanted))
        for name, predictor in wanted.items():
            self._pod(name, predictor)
        shares = {f"{each['predictor']['name']}-predictor": each["trafficPercent"] for each in canaries}
        self._share({main: 100 - sum(shares.values()), **shares})
        ready = {name: self._pods[name].ready_at <= self.clock for name in wanted}
        statuses = [
            {
                "name": each["predictor"]["name"],
                "ready": ready[f"{each['predictor']['name']}-predictor"],
                "trafficPercent": each["trafficPercent"],
            }
            for each in canaries
        ]
        found: dict[str, Any] = {"conditions": [_ready(ready[main])]}
        return found | ({"canaryStatuses": statuses} if statuses else {})

    def _knative(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        template = {key: value for key, value in spec["predictor"].items() if key != "canaryTrafficPercent"}
        if template != self._template:
            self._template = template
            self._revisions.append(f"taxi-predictor-{len(self._revisions) + 1:05}")
        for name in self._revisions[:-1]:
            self._pods[name].seen += 1
        self._pod(self._revisions[-1], template)
        ready = [name for name in self._revisions if self._pods[name].ready_at <= self.clock]
        created, latest = self._revisions[-1], ready[-1] if ready else ""
        percent = spec["predictor"].get("canaryTrafficPercent")
        targets = [(latest, True, 100)]
        if percent is not None and self._rolled_out:
            targets = [(latest, True, percent)]
            if percent < 100:
                targets.append((self._rolled_out, False, 100 - percent))
        shares: dict[str, int] = {}
        for name, _, share in targets:
            if name:
                shares[name] = shares.get(name, 0) + share
        self._share(shares)
        if latest and shares[latest] == 100 and targets[0][2] == 100:
            self._rolled_out = latest
        component = {
            "latestCreatedRevision": created,
            "latestReadyRevision": latest,
            "latestRolledoutRevision": self._rolled_out,
            "traffic": [
                {"revisionName": name, "latestRevision": is_latest, "percent": share}
                for name, is_latest, share in targets
                if name
            ],
        }
        for name in self._revisions:
            self._objects["revisions", name] = {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Revision",
                "metadata": {"name": name, "labels": dict(self._pods[name].labels)},
            }
        return {"conditions": [_ready(created == latest)], "components": {"predictor": component}}

    # What Prometheus has scraped.

    def series(self, at: float) -> list[dict[str, Any]]:
        """Returns all series of model servers, as an instant query gives them."""
        found = []
        for name, pods in [*self._pods.items(), *self._gone]:
            if not pods.ready_at <= at < pods.gone_at:
                continue
            labels = {"model": "taxi", "version": str(pods.version), "pod": name, "namespace": "models"}
            requests = pods.requests(at)
            failed = int(requests * self.failing.get(pods.version, 0.0))

            def add(metric: str, value: int, labels: dict[str, str] = labels, **more: str) -> None:
                found.append({"metric": {"__name__": metric, **labels, **more}, "value": [at, str(value)]})

            add("pipeyard_requests_total", requests - failed, status="200")
            add("pipeyard_requests_total", failed, status="500")
            for bound in BOUNDS:
                add("pipeyard_request_seconds_bucket", requests if bound > 0.005 else requests // 3, le=repr(bound))
            add("pipeyard_request_seconds_bucket", requests, le="+Inf")
        return found


def _ready(ready: bool) -> dict[str, str]:
    return {"type": "Ready", "status": "True" if ready else "False", "reason": "" if ready else "PredictorNotReady"}


@contextlib.contextmanager
def served(cluster: KServeCluster) -> Iterator[str]:
    """Serves the cluster's API, and Prometheus' below /prometheus, on the loopback; gives the base URL."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()


def kubeconfig(folder: Path, url: str, name: str = "here") -> Path:
    """Writes the kubeconfig of a user whose token is `secret`."""
    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": url}}],
        "users": [{"name": name, "user": {"token": TOKEN}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(value))
    return path


def _handler(cluster: KServeCluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def do_PUT(self) -> None:
            self._do()

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            fault = cluster.faults.pop(0) if cluster.faults else ""
            if fault == "close":
                self._close()
            elif fault == "429":
                self._answer(429, {"kind": "Status", "code": 429}, {"retry-after": "1"})
            elif fault.isdecimal():
                self._answer(int(fault), {"kind": "Status", "code": int(fault), "reason": "Injected"})
            else:
                code, answer = self._work(body)
                if fault == "500 after":
                    self._answer(500, {"kind": "Status", "code": 500})
                elif fault == "close after":
                    self._close()
                else:
                    self._answer(code, answer)

        def _work(self, body: bytes) -> tuple[int, Any]:
            url = urlsplit(self.path)
            if url.path == "/prometheus/api/v1/query":
                given = parse_qs(body.decode())
                return 200, {
                    "status": "success",
                    "data": {"resultType": "vector", "result": _query(cluster, given["query"][0], given.get("time"))},
                }
            if self.headers.get("authorization") != f"Bearer {TOKEN}":
                return 401, {"kind": "Status", "code": 401, "reason": "Unauthorized"}
            parts = unquote(url.path).strip("/").split("/")
            group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
            if rest[2] not in GROUPS.get((group, version), ()):
                return 404, "404 page not found"
            kind, name = (group, version, rest[2]), rest[3] if len(rest) > 3 else ""
            try:
                if self.command == "GET":
                    found = cluster.read(kind, name)
                    if found is None:
                        raise Refused(404, "NotFound", f"{name} not found")
                    return 200, found
                assert parse_qs(url.query) == {"fieldValidation": ["Strict"]}
                manifest = json.loads(body)
                assert self.command == "POST" or manifest["metadata"]["name"] == name
                (cluster.create if self.command == "POST" else cluster.replace)(kind, manifest)
                return 200, manifest
            except Refused as error:
                return error.code, {
                    "kind": "Status",
                    "code": error.code,
                    "reason": error.reason,
                    "message": str(error),
                    "details": {"name": name, "kind": rest[2]},
                }

        def _close(self) -> None:
            self.close_connection = True
            self.connection.close()

        def _answer(self, code: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
            content = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _query(cluster: KServeCluster, expression: str, at: list[str] | None) -> list[dict[str, Any]]:
    if expression == "vector(1)":
        return [{"metric": {}, "value": [time.time(), "1"]}]
    names = "pipeyard_requests_total|pipeyard_request_seconds_bucket|pipeyard_scores_bucket"
    head, tail = f'{{__name__=~"{names}",model="taxi",version=~"', '"}'
    assert expression.startswith(head) and expression.endswith(tail), expression
    versions = expression[len(head) : -len(tail)].split("|")
    assert at is not None and float(at[0]) <= cluster.clock
    return [each for each in cluster.series(float(at[0])) if each["metric"]["version"] in versions]
