"""A registry as it is on a bad day: a proxy before a good one, which answers with errors or cuts connections."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

_PIECE = 64 * 1024
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
# `manifests fail`: written ones get a 500; `manifests are refused`: a 403; `uploads break`: the connection is closed
# when some of a layer is there.
Fault = Literal["", "manifests fail", "manifests are refused", "uploads break"]
_STATUS = {"manifests fail": 500, "manifests are refused": 403}


class FaultyProxy:
    """Passes requests on to a registry, but for some while it has a fault.

    Attributes:
        host: with its port.
        happened: to how many requests the fault happened.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.happened = 0
        self._fault: Fault = ""
        self._times = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"

    def break_down(self, fault: Fault, times: int = 1_000_000) -> None:
        """Gives the next requests that it concerns a fault."""
        self._fault, self._times, self.happened = fault, times, 0

    def heal(self) -> None:
        """Passes everything on from now."""
        self._fault = ""

    def take(self, method: str, path: str) -> Fault:
        """Returns the fault that a request gets, and counts it."""
        concerned = {
            **dict.fromkeys(_STATUS, method == "PUT" and "/manifests/" in path),
            "uploads break": method == "PATCH" and "/blobs/uploads/" in path,
        }
        with self._lock:
            if self._times <= 0 or not concerned.get(self._fault):
                return ""
            self._times -= 1
            self.happened += 1
            return self._fault

    @contextlib.contextmanager
    def serving(self) -> Iterator["FaultyProxy"]:
        """Serves until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            fault = proxy.take(self.command, self.path)
            if fault == "uploads break":
                next(self._body(), b"")
                self.close_connection = True
                return
            upstream = http.client.HTTPConnection(proxy.upstream, timeout=60)
            with contextlib.closing(upstream):
                if fault:
                    for _ in self._body():
                        pass
                    self._answer(_STATUS[fault], {}, b'{"errors": [{"code": "UNKNOWN", "message": "out of order"}]}')
                    return
                headers = {key: value for key, value in self.headers.items() if key.lower() not in _HOP}
                length = self.headers.get("Content-Length")
                if length:
                    headers["Content-Length"] = length
                body = self._body() if self.command in ("PUT", "POST", "PATCH") else None
                upstream.request(self.command, self.path, body, headers, encode_chunked=body is not None and not length)
                answer = upstream.getresponse()
                self._answer(answer.status, dict(answer.getheaders()), answer.read())

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _pass

        def _body(self) -> Iterator[bytes]:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return
            left = int(self.headers.get("Content-Length") or 0)
            while left and (piece := self.rfile.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for key, value in headers.items():
                if key.lower() not in _HOP:
                    self.send_header(key, value)
            # Of a HEAD, the length is that of the body which a GET would have.
            length = headers.get("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler
