"""The operators' page: what is served, how the rollout stands, and two buttons behind a token. On 127.0.0.1 alone."""

import hmac
import json
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.serving import operating
from pipeyard.serving.serving_folder import ServingFolder
from pipeyard.serving.start_options import StartOptions
from pipeyard.system import jsons
from rollout.errors import RolloutError

_PAGE = Path(__file__).with_name("operators_page.html")
_MOST_BYTES = 10_000
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
_log = logging.getLogger(__name__)


class OperatorsPage:
    """Serves the page, in threads of its own.

    Args:
        state: gives what `serving_state` has.
    """

    def __init__(self, folder: ServingFolder, options: StartOptions, state: Callable[[], Mapping[str, Any]]) -> None:
        self._folder = folder
        self._options = options
        self._state = state
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Makes the token if there is none, and serves. If the port is taken there is none, and a line in the log."""
        token = read_token(self._folder) or make_token(self._folder)
        try:
            handler = _handler(self._folder, token, self._state, self._options.operators_port)
            self._server = ThreadingHTTPServer(("127.0.0.1", self._options.operators_port), handler)
        except OSError as error:
            _log.error("no operators' page: %s", error)
            return
        threading.Thread(target=self._server.serve_forever, name="operators", daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()


def make_token(folder: ServingFolder) -> str:
    """Makes the token, which the user who serves can read."""
    token = secrets.token_urlsafe(16)
    folder.token.parent.mkdir(parents=True, exist_ok=True)
    folder.token.touch(mode=0o600)
    folder.token.write_text(token + "\n", encoding="utf-8")
    return token


def read_token(folder: ServingFolder) -> str:
    """Returns the token; empty if there is none."""
    try:
        return folder.token.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _handler(
    folder: ServingFolder, token: str, state: Callable[[], Mapping[str, Any]], port: int
) -> type[BaseHTTPRequestHandler]:
    class OperatorsRequest(BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:  # pylint: disable=invalid-name  # the library's
            if not self._is_ours():
                self._answer(HTTPStatus.FORBIDDEN, {"error": "Ask for this page by 127.0.0.1 or localhost."})
            elif self.path == "/":
                self._send(HTTPStatus.OK, "text/html; charset=utf-8", _PAGE.read_bytes())
            elif self.path == "/state.json":
                self._answer(HTTPStatus.OK, state())
            else:
                self._answer(HTTPStatus.NOT_FOUND, {"error": "There is / and /state.json."})

        def do_POST(self) -> None:  # pylint: disable=invalid-name
            length = self.headers.get("content-length") or "0"
            body = self.rfile.read(min(int(length), _MOST_BYTES)) if length.isascii() and length.isdigit() else b""
            if not self._is_ours() or not hmac.compare_digest(self.headers.get("x-token", "").encode(), token.encode()):
                self._answer(HTTPStatus.FORBIDDEN, {"error": f"Give the token in {folder.token.name} of .serve/."})
                return
            try:
                asked = jsons.load(body)
                change = {"/promote": operating.promote, "/rollback": operating.roll_back}[self.path]
                new = change(folder, str(asked["model"]), int(asked["version"]), "by hand, on the operators' page")
                self._answer(HTTPStatus.OK, {"stable": new.stable, "candidate": new.candidate})
            except (RolloutError, PipeyardError) as error:
                self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
            except (KeyError, TypeError, ValueError) as error:
                hint = f"Post a model and a version as JSON to /promote or /rollback ({error!r})."
                self._answer(HTTPStatus.BAD_REQUEST, {"error": hint})

        def _is_ours(self) -> bool:
            """Refuses names that somebody else's page had resolved to this machine."""
            return self.headers.get("host") in (f"127.0.0.1:{port}", f"localhost:{port}")

        def _answer(self, status: HTTPStatus, content: Mapping[str, Any]) -> None:
            self._send(status, "application/json", json.dumps(content).encode())

        def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
            self.send_response(status)
            headers = {"content-type": kind, "content-length": str(len(content)), "content-security-policy": _POLICY}
            for name, value in (headers | {"cache-control": "no-store", "x-frame-options": "DENY"}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    return OperatorsRequest
