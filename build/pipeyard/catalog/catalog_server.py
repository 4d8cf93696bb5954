"""Serves a catalog's folder on 127.0.0.1: files of the catalog, and nothing else."""

import mimetypes
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeyard.catalog import catalog_folder
from pipeyard.errors import PipeyardError

DEFAULT_PORT = 8620
# Pages have a stricter one of their own; both count.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)


def serve(folder: Path, port: int, started: Callable[[str], object]) -> None:
    """Serves until it is interrupted. A catalog that takes the place of this one is served from then on.

    Args:
        port: 0: one that is free.
        started: is given the address.

    Raises:
        PipeyardError: the folder is no catalog, or the port is taken.
    """
    with listening(folder, port) as server:
        started(f"http://127.0.0.1:{server.server_port}/")
        server.serve_forever()


def listening(folder: Path, port: int) -> ThreadingHTTPServer:
    """Returns the server, which has the port to itself."""
    catalog_folder.read(folder)
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), _handler(folder))
    except OSError as error:
        raise PipeyardError(
            f"Port {port} of 127.0.0.1 can't be had ({error.strerror}). End what has it, or give another --port."
        ) from error


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class CatalogRequest(BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:  # pylint: disable=invalid-name  # the library's
            self._answer(True)

        def do_HEAD(self) -> None:  # pylint: disable=invalid-name
            self._answer(False)

        def _answer(self, body: bool) -> None:
            assert isinstance(self.server, ThreadingHTTPServer)
            port = self.server.server_port
            if self.headers.get("host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
                # A name that somebody else's page had resolved to this machine.
                self._send(HTTPStatus.FORBIDDEN, "text/plain", b"Ask by 127.0.0.1 or localhost.\n", body)
                return
            path = unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
            data = _page(folder, path)
            if data is None:
                self._send(HTTPStatus.NOT_FOUND, "text/plain", b"The catalog has no such page.\n", body)
                return
            self._send(HTTPStatus.OK, mimetypes.guess_type(path)[0] or "application/octet-stream", data, body)

        def _send(self, status: HTTPStatus, kind: str, content: bytes, body: bool) -> None:
            self.send_response(status)
            for name, value in {
                "content-type": f"{kind}; charset=utf-8",
                "content-length": str(len(content)),
                "content-security-policy": _POLICY,
                "x-content-type-options": "nosniff",
                "referrer-policy": "no-referrer",
                "cache-control": "no-cache",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    return CatalogRequest


def _page(folder: Path, path: str) -> bytes | None:
    """Returns a file that the catalog says it has; None for any other."""
    try:
        known = catalog_folder.read(folder)
        return (folder / path).read_bytes() if path in known else None
    except (OSError, PipeyardError):
        return None
