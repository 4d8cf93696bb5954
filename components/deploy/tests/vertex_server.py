"""Vertex AI's models and endpoints, and Cloud Monitoring's counts of them, on the loopback.

What it enforces is from the published reference (https://cloud.google.com/vertex-ai/docs/reference/rest/v1) and the
comments of the SDK's messages: bodies are of the messages' fields alone; ids, labels and display names have their form
and length; traffic sums to 100 and names deployed models; what has traffic isn't undeployed; an endpoint that isn't
what was read (etag) isn't changed; long-running operations take some looks, and may end in an error. That an endpoint
takes one operation at a time, and the codes of some refusals, are assumptions.
"""

import itertools
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PROJECT, REGION = "acme-models", "europe-west1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
VISIBLE = 360  # seconds until a sample is seen

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class VertexServing:
    """The servers, as one, without a port; see `Listening`.

    Attributes:
        clock: seconds since the epoch; tests move it.
        polls: looks at an operation until it is done.
        endpoints: by resource name.
        models: by resource name, its versions, oldest first.
        faults: taken from the front, one a request: a status to refuse with; `busy`; `done, 500`: it is done, but
            a 500 is answered; `cut`: it is done, and nothing is answered; `hang`: neither; or None.
        failing: taken from the front, one an operation of that kind: the `google.rpc.Status` that it ends with.
        rate: requests a second that clients send.
        errors, slow: by id of a deployed model: share of its answers that are 500; factor of its times.
        gaps: what was wrong with the traffic after a change.
    """

    def __init__(self, polls: int = 2) -> None:
        self.clock = 1_700_000_000.0
        self.polls = polls
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.models: dict[str, list[dict[str, Any]]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.faults: list[Any] = []
        self.failing: dict[str, list[dict[str, Any]]] = {}
        self.rate = 50.0
        self.errors: dict[str, float] = {}
        self.slow: dict[str, float] = {}
        self.splits: list[tuple[float, dict[str, int]]] = []
        self.requests: list[tuple[str, str]] = []
        self.gaps: list[str] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def answer(self, method: str, path: str, query: list[tuple[str, str]], body: dict[str, Any] | None) -> Any:
        """Returns what a request is answered.

        Raises:
            Refused: it isn't 200.
        """
        with self._lock:
            self.requests.append((method, path))
            for pattern, function in self._routes():
                if match := re.fullmatch(pattern, f"{method} {path}"):
                    found = function(*match.groups(), dict(query), body or {})
                    self._look_for_gaps()
                    return found
        raise Refused(404, "NOT_FOUND", f"no route {method} {path}")

    def _routes(self) -> list[tuple[str, Callable[..., Any]]]:
        endpoint, model = f"({PARENT}/endpoints/[^/:]+)", f"({PARENT}/models/[^/:]+)"
        return [
            (f"POST /v1/{PARENT}/endpoints", self._create_endpoint),
            (f"GET /v1/{endpoint}", lambda name, query, body: self._endpoint(name)),
            (f"PATCH /v1/{endpoint}", self._update_endpoint),
            (f"POST /v1/{endpoint}:deployModel", self._deploy),
            (f"POST /v1/{endpoint}:undeployModel", self._undeploy),
            (f"POST /v1/{PARENT}/models:upload", self._upload),
            (f"GET /v1/{model}", lambda name, query, body: self._version(name)),
            (f"POST /v1/{model}:mergeVersionAliases", self._merge),
            (f"GET /v1/(?:{endpoint}|{model})/operations", self._list_operations),
            (f"GET /(?:v1|ui)/({PARENT}/.*operations/[0-9]+)", self._look),  # /ui is where the SDK asks
            (f"GET /v3/projects/{PROJECT}/timeSeries", self._series),
        ]

    # Operations

    def _begin(self, kind: str, resource: str, message: str, finish: Callable[[], Any]) -> dict[str, Any]:
        name = f"{resource}/operations/{next(self._ids)}"
        operation = {"kind": kind, "resource": resource, "left": self.polls, "finish": finish, "message": message}
        self.operations[name] = operation
        return self._told(name)

    def _told(self, name: str) -> dict[str, Any]:
        operation = self.operations[name]
        kind = "".join(word.title() for word in re.findall("[A-Z]?[a-z]+", operation["kind"]))
        typed = "type.googleapis.com/google.cloud.aiplatform.v1"
        found = {"name": name, "metadata": {"@type": f"{typed}.{kind}OperationMetadata"}}
        if operation["left"] <= 0:
            found["done"] = True
            if "error" in operation:
                found["error"] = operation["error"]
            else:
                found["response"] = {"@type": f"{typed}.{operation['message']}", **operation["response"]}
        return found

    def _look(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        if name not in self.operations:
            raise Refused(404, "NOT_FOUND", f"no operation {name}")
        operation = self.operations[name]
        if operation["left"] > 0:
            operation["left"] -= 1
            if operation["left"] <= 0:
                failures = self.failing.get(operation["kind"], [])
                if failures and (failure := failures.pop(0)):
                    operation["error"] = failure
                else:
                    operation["response"] = operation["finish"]()
        return self._told(name)

    def _list_operations(self, *given: Any) -> dict[str, Any]:
        *names, query, _ = given
        resource = next(filter(None, names))
        assert query["filter"] == "done=false"
        if resource not in self.endpoints and resource not in self.models and not self._under_way(resource):
            raise Refused(404, "NOT_FOUND", resource)
        return {"operations": [self._told(name) for name in self._under_way(resource)]}

    def _under_way(self, resource: str) -> list[str]:
        return [name for name, each in self.operations.items() if each["resource"] == resource and each["left"] > 0]

    def _only_one(self, resource: str) -> None:
        if self._under_way(resource):
            raise Refused(400, "FAILED_PRECONDITION", f"there are other operations running on {resource}")

    # Endpoints

    def _create_endpoint(self, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        strict("Endpoint", body)
        identity = query.get("endpointId") or query.get("endpoint_id") or str(next(self._ids))
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,8}", identity):
            raise Refused(400, "INVALID_ARGUMENT", f"{identity!r} can't be an endpoint's id")
        name = f"{PARENT}/endpoints/{identity}"
        if name in self.endpoints or self._under_way(name):
            raise Refused(409, "ALREADY_EXISTS", f"there is an endpoint {name}")
        _check_named(body)

        def finish() -> dict[str, Any]:
            self.endpoints[name] = {**body, "name": name, "deployedModels": [], "trafficSplit": {}}
            return self._changed(name)

        return self._begin("createEndpoint", name, "Endpoint", finish)

    def _endpoint(self, name: str) -> dict[str, Any]:
        if name not in self.endpoints:
            raise Refused(404, "NOT_FOUND", f"no endpoint {name}")
        return json.loads(json.dumps(self.endpoints[name]))

    def _changed(self, name: str) -> dict[str, Any]:
        self.endpoints[name]["etag"] = f"e{next(self._ids)}"
        split = self.endpoints[name]["trafficSplit"]
        if split and (not self.splits or self.splits[-1][1] != split):
            self.splits.append((self.clock, dict(split)))
        return self._endpoint(name)

    def _update_endpoint(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        strict("Endpoint", body)
        endpoint = self._endpoint(name)
        if body.get("etag", endpoint["etag"]) != endpoint["etag"]:
            raise Refused(409, "ABORTED", "the etag isn't the endpoint's")
        fields = {"description": "description", "labels": "labels", "traffic_split": "trafficSplit"}
        fields |= {"trafficSplit": "trafficSplit", "display_name": "displayName"}
        for field in query["updateMask"].split(","):
            if field not in fields:
                raise Refused(400, "INVALID_ARGUMENT", f"{field!r} can't be updated")
            endpoint[fields[field]] = body[fields[field]]
        _check_named(endpoint)
        _check_split(endpoint["trafficSplit"], [each["id"] for each in endpoint["deployedModels"]])
        self.endpoints[name] = endpoint
        return self._changed(name)

    def _deploy(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        strict("DeployModelRequest", body)
        endpoint, deployed = self._endpoint(name), body["deployedModel"]
        version = self._version(deployed["model"])
        identity = deployed.get("id") or str(next(self._ids) + 1_000_000)
        if not re.fullmatch("[0-9]{1,10}", identity) or identity == "0":
            raise Refused(400, "INVALID_ARGUMENT", f"{identity!r} can't be a deployed model's id")
        there = [each["id"] for each in endpoint["deployedModels"]]
        if identity in there:
            raise Refused(409, "ALREADY_EXISTS", f"there is a deployed model {identity}")
        self._only_one(name)
        resources = deployed.get("dedicatedResources") or {}
        if not resources.get("machineSpec", {}).get("machineType") or resources.get("minReplicaCount", 0) < 1:
            raise Refused(400, "INVALID_ARGUMENT", "dedicated_resources need a machine_type and min_replica_count")
        if split := body.get("trafficSplit", {}):
            _check_split(split, [*there, "0"])
        made = {**deployed, "id": identity, "modelVersionId": version["versionId"]}

        def finish() -> dict[str, Any]:
            current = self.endpoints[name]
            current["deployedModels"].append(made)
            if split:
                current["trafficSplit"] = {identity if each == "0" else each: share for each, share in split.items()}
            self._changed(name)
            return {"deployedModel": made}

        return self._begin("deployModel", name, "DeployModelResponse", finish)

    def _undeploy(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        strict("UndeployModelRequest", body)
        endpoint, identity = self._endpoint(name), body["deployedModelId"]
        left = [each for each in endpoint["deployedModels"] if each["id"] != identity]
        if len(left) == len(endpoint["deployedModels"]):
            raise Refused(404, "NOT_FOUND", f"no deployed model {identity}")
        self._only_one(name)
        split = body.get("trafficSplit") or endpoint["trafficSplit"]
        if left and split.get(identity):
            raise Refused(400, "FAILED_PRECONDITION", f"the deployed model {identity} has traffic")

        def finish() -> dict[str, Any]:
            current = self.endpoints[name]
            current["deployedModels"] = [each for each in current["deployedModels"] if each["id"] != identity]
            wanted = {each: share for each, share in split.items() if each != identity}
            current["trafficSplit"] = wanted if current["deployedModels"] else {}
            self._changed(name)
            return {}

        return self._begin("undeployModel", name, "UndeployModelResponse", finish)

    def _look_for_gaps(self) -> None:
        for name, endpoint in self.endpoints.items():
            split, there = endpoint["trafficSplit"], {each["id"] for each in endpoint["deployedModels"]}
            if there and (sum(split.values()) != 100 or set(split) - there):
                self.gaps.append(f"{name}: {split} with {sorted(there)} deployed")
            if len(there) > 2:
                self.gaps.append(f"{name}: {sorted(there)} are deployed: more than one candidate")

    # Models

    def _upload(self, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        strict("UploadModelRequest", body)
        model = body["model"]
        _check_named(model)
        name = body.get("parentModel") or f"{PARENT}/models/{body.get('modelId') or next(self._ids)}"
        if not re.fullmatch(r"([a-z_][a-z0-9_-]{0,62}|[0-9]+)", name.rpartition("/")[2]):
            raise Refused(400, "INVALID_ARGUMENT", f"{name} can't be a model")
        if "parentModel" in body and name not in self.models:
            raise Refused(404, "NOT_FOUND", f"no model {name}")
        if "parentModel" not in body and (name in self.models or self._under_way(name)):
            raise Refused(409, "ALREADY_EXISTS", f"there is a model {name}")
        versions = self.models.get(name, [])
        taken = {alias for each in versions for alias in each["versionAliases"]}
        for alias in model.get("versionAliases", ()):
            if not _ALIAS.fullmatch(alias) or alias in taken:
                raise Refused(400, "INVALID_ARGUMENT", f"{alias!r} is taken, or can't be an alias")
        container = model["containerSpec"]
        if not all(container.get(route, "/").startswith("/") for route in ("predictRoute", "healthRoute")):
            raise Refused(400, "INVALID_ARGUMENT", "routes begin with /")
        if not model.get("artifactUri", "gs://").startswith("gs://"):
            raise Refused(400, "INVALID_ARGUMENT", "artifact_uri is in Cloud Storage")

        def finish() -> dict[str, Any]:
            made = self.models.setdefault(name, [])
            number = str(len(made) + 1)
            aliases = [*model.get("versionAliases", []), *([] if made else ["default"])]
            made.append({**model, "name": name, "versionId": number, "versionAliases": aliases})
            return {"model": name, "modelVersionId": number}

        return self._begin("uploadModel", name, "UploadModelResponse", finish)

    def _version(self, name: str) -> dict[str, Any]:
        name, _, which = name.partition("@")
        for each in reversed(self.models.get(name, [])):
            wanted = which or "default"
            if each["versionId"] == wanted or wanted in each["versionAliases"]:
                return each
        raise Refused(404, "NOT_FOUND", f"no model {name}@{which}")

    def _merge(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        strict("MergeVersionAliasesRequest", body)
        version = self._version(name)
        for alias in body["versionAliases"]:
            if not _ALIAS.fullmatch(alias.removeprefix("-")):
                raise Refused(400, "INVALID_ARGUMENT", f"{alias!r} can't be an alias")
            for each in self.models[version["name"]] if not alias.startswith("-") else [version]:
                each["versionAliases"] = [one for one in each["versionAliases"] if one != alias.removeprefix("-")]
            if not alias.startswith("-"):
                version["versionAliases"].append(alias)
        return version

    # Monitoring

    def _series(self, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        asked = re.fullmatch(
            r'metric\.type="(\S+)" AND resource\.type="aiplatform\.googleapis\.com/Endpoint" '
            r'AND resource\.labels\.endpoint_id="(\S+)"',
            query["filter"],
        )
        if not asked:
            raise Refused(400, "INVALID_ARGUMENT", query["filter"])
        start, end = (_seconds(query[f"interval.{each}Time"]) for each in ("start", "end"))
        if end > self.clock - VISIBLE or f"{PARENT}/endpoints/{asked[2]}" not in self.endpoints:
            return {}
        assert query["aggregation.alignmentPeriod"] == f"{round(end - start)}s"
        kind = asked[1].rpartition("/")[2]
        found = []
        for identity, counted in self._counted(start, end).items():
            bad = round(counted * self.errors.get(identity, 0.0))
            interval = {"startTime": query["interval.startTime"], "endTime": query["interval.endTime"]}
            if kind == "response_count":
                values = {"2xx": counted - bad, "5xx": bad}
                for code, count in values.items():
                    if count:
                        labels = {"deployed_model_id": identity, "response_code": code}
                        found.append(_one(asked[1], labels, interval, {"int64Value": str(count)}))
            else:
                labels = {"deployed_model_id": identity, "latency_type": "total"}
                value = {"distributionValue": _distribution(counted, 10 * self.slow.get(identity, 1.0))}
                found.append(_one(asked[1], labels, interval, value))
        return {"timeSeries": found}

    def _counted(self, start: float, end: float) -> dict[str, int]:
        """Requests by deployed model, of the splits that were in force."""
        found: dict[str, float] = {}
        changes = [*self.splits, (float("inf"), {})]
        for (since, split), (until, _) in itertools.pairwise(changes):
            seconds = min(until, end) - max(since, start)
            for identity, share in split.items():
                if seconds > 0:
                    found[identity] = found.get(identity, 0.0) + self.rate * seconds * share / 100
        return {identity: round(count) for identity, count in found.items()}


def strict(message: str, body: dict[str, Any]) -> None:
    """Refuses a body with a field that the SDK's message of that name doesn't have, or of another type."""
    from google.cloud import aiplatform_v1
    from google.protobuf import json_format

    try:
        json_format.ParseDict(body, getattr(aiplatform_v1, message)()._pb)
    except json_format.ParseError as error:
        raise Refused(400, "INVALID_ARGUMENT", str(error)) from error


def _check_named(resource: dict[str, Any]) -> None:
    if not 1 <= len(resource.get("displayName", "")) <= 128:
        raise Refused(400, "INVALID_ARGUMENT", "display_name has 1 to 128 characters")
    labels = resource.get("labels", {})
    if len(labels) > 64:
        raise Refused(400, "INVALID_ARGUMENT", "there are at most 64 labels")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise Refused(400, "INVALID_ARGUMENT", f"the label {key}: {value}")


def _check_split(split: dict[str, int], known: list[str]) -> None:
    if unknown := set(split) - set(known):
        raise Refused(400, "INVALID_ARGUMENT", f"the traffic split names {sorted(unknown)}, which aren't deployed")
    if (split or known) and sum(split.values()) != 100:
        raise Refused(400, "INVALID_ARGUMENT", f"the traffic split {split} doesn't add up to 100")


def _distribution(counted: int, milliseconds: float) -> dict[str, Any]:
    """All within a tenth below a time, in buckets that are 10% apart."""
    growth, number = 1.1, 0
    while growth**number < milliseconds:
        number += 1
    options = {"exponentialBuckets": {"numFiniteBuckets": 100, "growthFactor": growth, "scale": 1.0}}
    return {"count": str(counted), "bucketOptions": options, "bucketCounts": ["0"] * number + [str(counted)]}


def _one(metric: str, labels: dict[str, str], interval: dict[str, str], value: dict[str, Any]) -> dict[str, Any]:
    return {
        "metric": {"type": metric, "labels": labels},
        "metricKind": "DELTA",
        "points": [{"interval": interval, "value": value}],
    }


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Listening:
    """The servers on a port of 127.0.0.1."""

    def __init__(self, serving: VertexServing) -> None:
        self._gone = threading.Event()
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(serving, self._gone))
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"

    def __enter__(self) -> "Listening":
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        self._httpd.shutdown()
        self._httpd.server_close()


def respond(serving: VertexServing, method: str, url: str, body: bytes) -> tuple[int, bytes] | None:
    """Returns status and body of an answer; None: there is none. `hang` is for the caller to wait out."""
    parts = urlsplit(url)
    fault = serving.faults.pop(0) if serving.faults else None
    try:
        if fault == "busy":
            raise Refused(400, "FAILED_PRECONDITION", "there are other operations running")
        if isinstance(fault, int):
            raise Refused(fault, "RESOURCE_EXHAUSTED" if fault == 429 else "UNAVAILABLE", "a bad day")
        if fault == "hang":
            return None
        found = serving.answer(method, parts.path, parse_qsl(parts.query), json.loads(body) if body else None)
        if fault == "cut":
            return None
        if fault == ("done", 500):
            raise Refused(500, "INTERNAL", "it is done all the same")
        return 200, json.dumps(found).encode()
    except Refused as error:
        told = {"code": error.status, "status": error.reason, "message": str(error)}
        return error.status, json.dumps({"error": told}).encode()


def _handler(serving: VertexServing, gone: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hangs = bool(serving.faults) and serving.faults[0] == "hang"
            found = respond(serving, self.command, self.path, body)
            if found is None:
                if hangs:
                    gone.wait(60)
                self.close_connection = True
                return
            status, data = found
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_PATCH = _serve

        def log_message(self, *_: object) -> None:
            pass

    return Handler
