"""How a request comes in and its answer goes out, with what goes wrong on the way."""

import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from .faults import Fault
from .refusals import Refused, Unanswered


class Served(Protocol):
    """The server, as a handler of its requests needs it. Its attributes are those of `http.KubeflowServer`."""

    requests: list[str]
    headers: dict[str, str]
    connections: set[socket.socket]
    closing: threading.Event

    def fault(self, method: str, path: str) -> Fault:
        """Returns what goes wrong with a request."""

    def answer(
        self, method: str, target: str, body: bytes, headers: Any, losing: bool = False
    ) -> tuple[int, str, bytes, dict[str, str]]:
        """Returns status, content type, body and further headers."""


def handler(server: Served) -> type[BaseHTTPRequestHandler]:
    """Returns the class that handles a server's requests."""

    class Handler(_Handler):
        served = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    served: Served
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.served.connections.add(self.connection)

    def finish(self) -> None:
        self.served.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def _any(self) -> None:
        path = self.path.partition("?")[0]
        fault = self.served.fault(self.command, path)
        size = int(self.headers.get("Content-Length") or 0)
        if fault.cut == "reading":
            self.rfile.read(size // 2)
            self._break()
            return
        body = self.rfile.read(size)
        self.served.requests.append(f"{self.command} {path}")
        self.served.headers = dict(self.headers.items())
        self.served.closing.wait(fault.delay)
        if fault.cut == "before":
            self._break()
        elif fault.status and not fault.made:
            more = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._send(fault.status, *_refusal(fault), more, fault)
        elif fault.page:
            self._send(200, "text/html", fault.page.encode(), {}, fault)
        else:
            self._answer(body, fault)

    do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _any  # http.server's names

    def _answer(self, body: bytes, fault: Fault) -> None:
        losing = fault.made == "unrecorded"
        try:
            status, kind, data, more = self.served.answer(self.command, self.path, body, self.headers, losing)
        except Unanswered:
            self._break()
            return
        if fault.cut == "silence":
            self.served.closing.wait()
        if fault.cut in ("after", "silence"):
            self._break()
            return
        if status < fault.status:
            status, (kind, data) = fault.status, _refusal(fault)
        self._send(status, kind, data, more, fault)

    def _send(self, status: int, kind: str, data: bytes, more: dict[str, str], fault: Fault) -> None:
        with suppress(OSError):  # the client may be gone
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            if fault.cut == "answering":
                self.wfile.write(data[: len(data) // 2])
                self._break()
            elif fault.trickle:
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    time.sleep(fault.trickle)
            else:
                self.wfile.write(data)

    def _break(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


def _refusal(fault: Fault) -> tuple[str, bytes]:
    return Refused(fault.status, "as the test wants it").answer()
