"""A place at which a step of a build waits until the test lets it pass."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gate:
    """Answers requests while it is open, and holds them while it is closed.

    Attributes:
        arrived: set when the first request is there.
    """

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._open = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.arrived, self._open))
        self._server.daemon_threads = True

    @property
    def step(self) -> str:
        """A shell command that ends as soon as the gate is open."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return f"python -c \"import urllib.request; urllib.request.urlopen('{url}')\""

    def open(self) -> None:
        """Lets all pass, now and later."""
        self._open.set()

    @contextlib.contextmanager
    def serving(self) -> Iterator["Gate"]:
        """Serves until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.open()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _handler(arrived: threading.Event, opened: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            arrived.set()
            opened.wait()
            with contextlib.suppress(OSError):  # whoever asked is dead by now
                self.send_response_only(204)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler
