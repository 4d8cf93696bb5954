"""The API: lists with a label selector, single objects, deletion."""

import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .cluster import KINDS, Cluster, Kind, NotFound

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    500: "InternalError",
}
_VERBS = {"GET": "get", "DELETE": "delete"}
_REQUIREMENT = re.compile(
    r"(?P<exists>!?[\w./-]+)|(?P<key>[\w./-]+)\s*(?P<equal>==?|!=)\s*(?P<value>[\w.-]*)"
    r"|(?P<of>[\w./-]+)\s+(?P<within>in|notin)\s+\((?P<values>[\w.,\s-]*)\)"
)


class KubernetesServer:
    """The API of a cluster, running from its construction to `close`.

    Args:
        port: 0: any that is free.

    Attributes:
        tokens: if there are any, a request needs one of them (`Authorization: Bearer ...`).
        forbidden: verb and plural of what nobody may do, e.g. `("list", "workflows")`; plural "*": all.
        faults: statuses that the next requests get instead of an answer.
        requests: all so far, as `METHOD path`.
    """

    def __init__(self, cluster: Cluster, port: int = 0) -> None:
        self.cluster = cluster
        self.tokens: set[str] = set()
        self.forbidden: set[tuple[str, str]] = set()
        self.faults: list[int] = []
        self.requests: list[str] = []
        self._httpd = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._httpd.daemon_threads = True
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()

    def __enter__(self) -> "KubernetesServer":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def answer(self, method: str, target: str, token: str) -> tuple[int, dict[str, Any]]:
        """Returns the status and what is answered: an object, a list, or a Status."""
        url = urlsplit(target)
        self.requests.append(f"{method} {url.path}")
        if self.faults:
            return _status(self.faults.pop(0), "as the test wants it")
        if self.tokens and token not in self.tokens:
            return _status(401, "Unauthorized")
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        for kind in KINDS:
            place = rf"/apis/{re.escape(kind.api_version)}(?:/namespaces/([^/]+))?/{kind.plural}(?:/([^/]+))?"
            if found := re.fullmatch(place, unquote(url.path)):
                return self._object(method, kind, found[1] or "", found[2] or "", query)
        return _status(404, "the server could not find the requested resource")

    def _object(
        self, method: str, kind: Kind, namespace: str, name: str, query: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        verb = "list" if method == "GET" and not name else _VERBS.get(method)
        if verb is None or (verb == "delete" and not name) or (name and not namespace):
            return _status(405, "the server does not allow this method on the requested resource")
        if {(verb, kind.plural), (verb, "*")} & self.forbidden:
            resource = f"{kind.plural}.{kind.group}" + (f" {json.dumps(name)}" if name else "")
            message = (
                f"{resource} is forbidden: User cannot {verb} resource {json.dumps(kind.plural)} in API group "
                f"{json.dumps(kind.group)} in the namespace {json.dumps(namespace)}"
            )
            return _status(403, message, kind, name)
        try:
            if verb == "get":
                return 200, self.cluster.get(kind, namespace, name)
            if verb == "delete":
                with self.cluster.lock:
                    self.cluster.reconcile()
                    uid = self.cluster.delete(kind, namespace, name)["metadata"]["uid"]
                details = {"name": name, "group": kind.group, "kind": kind.plural, "uid": uid}
                return 200, {**_STATUS, "status": "Success", "details": details}
            return self._list(kind, namespace, query.get("labelSelector", ""))
        except NotFound:
            return _status(404, f"{kind.plural}.{kind.group} {json.dumps(name)} not found", kind, name)

    def _list(self, kind: Kind, namespace: str, selector: str) -> tuple[int, dict[str, Any]]:
        try:
            requirements = _requirements(selector)
        except ValueError as error:
            return _status(400, str(error))
        items = [
            each
            for each in self.cluster.all(kind, namespace)
            if all(fits(each["metadata"].get("labels", {})) for fits in requirements)
        ]
        metadata = {"continue": "", "resourceVersion": self.cluster.version()}
        return 200, {
            "apiVersion": kind.api_version,
            "kind": f"{kind.kind}List",
            "metadata": metadata,
            "items": items,
        }


_STATUS = {"kind": "Status", "apiVersion": "v1", "metadata": {}}


def _status(code: int, message: str, kind: Kind | None = None, name: str = "") -> tuple[int, dict[str, Any]]:
    details = {"details": {"name": name, "group": kind.group, "kind": kind.plural}} if kind else {}
    reason = _REASONS.get(code, "Unknown")
    return code, {**_STATUS, "status": "Failure", "message": message, "reason": reason, **details, "code": code}


def _requirements(selector: str) -> list[Any]:
    """Returns a test of labels for each requirement of a selector.

    Raises:
        ValueError: it isn't one.
    """
    found = []
    for text in (each.strip() for each in re.split(r",(?![^(]*\))", selector) if selector):
        match = _REQUIREMENT.fullmatch(text)
        if not match:
            raise ValueError(f"unable to parse requirement: found {text!r}")
        found.append(_requirement(match))
    return found


def _requirement(match: re.Match[str]) -> Any:
    if name := match["exists"]:
        return lambda labels: (name.lstrip("!") in labels) != name.startswith("!")
    if key := match["key"]:
        same = match["equal"] != "!="
        return lambda labels: (labels.get(key) == match["value"]) == same
    values = {each.strip() for each in match["values"].split(",")}
    inside = match["within"] == "in"
    return lambda labels: (labels.get(match["of"]) in values) == inside


def _handler(server: KubernetesServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            status, answer = server.answer(self.command, self.path, token)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _any  # http.server's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler
