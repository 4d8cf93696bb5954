"""The server: what it is made of, and who is let in."""

import json
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from ..kubernetes import Cluster
from .api import Api
from .faults import Fault
from .handling import handler
from .listing import LARGEST
from .refusals import JSON, Refused
from .store import Store

LOGS = "/k8s/pod/logs"
_LOGIN = "<!doctype html><title>Log in</title><form action=/dex/auth></form>"


class Executor(Protocol):
    """Runs what is submitted."""

    def start(self, run: dict, spec: dict, server: "KubeflowServer") -> None:
        """Starts a run; tells the server's store of its states."""

    def stop(self, run: dict) -> None:
        """Stops a run."""

    def log(self, run_id: str, pod: str) -> str:
        """Returns what a step printed; empty if there is no such step."""

    def close(self) -> None:
        """Stops all runs, and returns when they have ended."""


class KubeflowServer:
    """The server, running from its construction to `close`.

    Args:
        execute: runs what is submitted. Without it a run goes through `states`, one each time that it is asked for.
        states: of a run, as it is asked for again and again; the last one stays.
        several_users: everything is in a namespace.
        now: the server's clock.
        largest_page: items of a list's page at most.
        port: 0: any that is free.
        version: that it tells; its rules are those of 2.17.0.
        cluster: has the objects of runs and recurring runs; `servers.kubernetes.KubernetesServer` serves it.

    Attributes:
        tokens: if there are any, a request needs one of them (`Authorization: Bearer ...`), or one of `cookies`.
        login: what a request without one gets: `401`, `redirect`, or `page`, a login page with status 200.
        faults: what goes wrong next.
        requests: all so far, as `METHOD path`.
        headers: of the last request.
        connections: those that are open.
        closing: set when the server ends.
    """

    def __init__(
        self,
        execute: Executor | None = None,
        states: Sequence[str] = ("PENDING", "RUNNING", "SUCCEEDED"),
        several_users: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        largest_page: int = LARGEST,
        port: int = 0,
        cluster: Cluster | None = None,
        version: str = "2.17.0",
    ) -> None:
        self.cluster = cluster or Cluster(now)
        self.store = Store(several_users, now, self.cluster)
        self.states = list(states)
        self.tokens: set[str] = set()
        self.cookies: set[str] = set()
        self.login = "401"
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.headers: dict[str, str] = {}
        self.lock = self.cluster.lock
        self._execute = execute
        self._shown: dict[str, int] = {}
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        self._api = Api(self.store, self._started, self._stopped, self._asked, largest_page, version)
        self._port = port
        self.come_up()
        self.url = f"http://127.0.0.1:{self._port}"

    def come_up(self) -> None:
        """Listens at the port it had before."""
        self._httpd = ThreadingHTTPServer(("127.0.0.1", self._port), handler(self))
        self._httpd.daemon_threads = True
        self._port = self._httpd.server_port
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def go_down(self) -> None:
        """Listens no more, and breaks connections that are open. What it has it keeps."""
        self._httpd.shutdown()
        self._httpd.server_close()
        for each in list(self.connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends for good; stops runs."""
        self.closing.set()
        self.go_down()
        if self._execute:
            self._execute.close()

    def __enter__(self) -> "KubeflowServer":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def set_state(self, run_id: str, state: str, error: str = "", tasks: Sequence[dict] | None = None) -> None:
        """Moves a run on, and replaces what is known of its steps."""
        with self.lock:
            if tasks is not None:
                self.store.run(run_id)["run_details"] = {"task_details": list(tasks)}
            self.store.set_state(run_id, state, error)

    def database_away(self, seconds: float) -> None:
        """The database can't be reached for a time, by the server's clock.

        Lists and single things answer 500. A run or a recurring run that is asked for is made in Kubernetes, isn't
        recorded, and is answered with 500, as when the database goes while the server is at it.
        """
        with self.lock:
            self.store.database.go_away(seconds)

    def workflow_of(self, run_id: str) -> str:
        """Returns the name of a run's Workflow, or what it would be called where there is none any more."""
        with self.lock:
            found = self.store.objects.workflow(run_id)
            return found["metadata"]["name"] if found else f"run-{run_id}"

    def run_due(self, recurring_run_id: str) -> dict:
        """Starts the run of a schedule, as if it were due."""
        with self.lock:
            run, spec = self.store.due(recurring_run_id)
            self._started(run, spec)
            return run

    def fault(self, method: str, path: str) -> Fault:
        """Returns what goes wrong with a request, which may be nothing, and counts it."""
        with self.lock:
            found = next((each for each in self.faults if each.fits(method, path)), Fault())
            found.times -= 1
            return found

    def answer(
        self, method: str, target: str, body: bytes, headers: Any, losing: bool = False
    ) -> tuple[int, str, bytes, dict[str, str]]:
        """Returns status, content type, body and further headers.

        Args:
            losing: what would be recorded is lost.
        """
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        path = unquote(url.path)
        try:
            self._admit(headers)
            if path == LOGS and self._execute:
                text = self._execute.log(query.get("runid", ""), query.get("podname", ""))
                return (200, "text/plain", text.encode(), {}) if text else (404, "text/plain", b"pod not found", {})
            with self.lock, self.store.database.losing(losing):
                answer = self._api.answer(method, path, query, body, headers.get("Content-Type") or "")
                return 200, JSON, json.dumps(answer).encode(), {}
        except _LoginPage as page:
            return page.status, "text/html", _LOGIN.encode(), page.headers
        except Refused as refused:
            more = {"Retry-After": refused.retry_after} if refused.retry_after else {}
            return refused.status, *refused.answer(), more

    def _admit(self, headers: Any) -> None:
        if not self.tokens and not self.cookies:
            return
        if (headers.get("Authorization") or "").removeprefix("Bearer ") in self.tokens:
            return
        if (headers.get("Cookie") or "") in self.cookies:
            return
        if self.login == "redirect":
            raise _LoginPage(302, {"Location": "/dex/auth"})
        if self.login == "page":
            raise _LoginPage(200, {})
        raise Refused(401, f"Unauthenticated: {headers.get('Authorization') or 'nothing'} isn't a valid token")

    def _started(self, run: dict, spec: dict) -> None:
        if self._execute:
            self._execute.start(run, spec, self)

    def _stopped(self, run: dict) -> None:
        if self._execute:
            self._execute.stop(run)
        else:
            self._shown[run["run_id"]] = len(self.states)

    def _asked(self, run: dict) -> None:
        if self._execute:
            return
        key = run["run_id"]
        step = self._shown.get(key, 0)
        self._shown[key] = step + 1
        if step < len(self.states):
            self.store.set_state(key, self.states[step])
        elif run["state"] == "CANCELING" and step > len(self.states):
            self.store.set_state(key, "FAILED")


class _LoginPage(Exception):
    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
