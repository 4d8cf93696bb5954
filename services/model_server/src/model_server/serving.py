"""Uvicorn around the application: where it listens, and how it ends."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from model_server.front import Front
from stepkit.errors import StepError, UsageError

_LOCAL_NAMES = ("localhost",)
_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75


@dataclass(frozen=True)
class Place:
    """Where the server listens.

    Attributes:
        port: 0: any that is free.
        certificate: of TLS, PEM; None: plain HTTP.
        key: of the certificate.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None


def check_place(place: Place, has_token: bool, behind_proxy: bool = False) -> None:
    """Raises UsageError if others could reach the server and it hasn't both TLS and a token.

    Args:
        behind_proxy: others can't, whatever the address: a platform lets nobody to it whom it hasn't checked.
    """
    if (place.certificate is None) != (place.key is None):
        raise UsageError("--tls-cert and --tls-key go together; give both or none")
    if is_local(place.host) or behind_proxy or (place.certificate and has_token):
        return
    raise UsageError(
        f"--host {place.host} can be reached from other machines: give --tls-cert, --tls-key and --token-file, or "
        "leave --host at 127.0.0.1 (--behind-proxy is for where only what checks who asks can reach it)"
    )


def is_local(host: str) -> bool:
    """True if only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _LOCAL_NAMES


def read_tokens(path: Path | None) -> list[bytes]:
    """Returns the tokens of a file, one a line: two while one takes the place of the other.

    Raises:
        UsageError: it can't be read, or has none.
    """
    if path is None:
        return []
    try:
        tokens = [line.strip() for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise UsageError(f"--token-file {str(path)!r} can't be read: {error.strerror}") from error
    if not tokens:
        raise UsageError(f"--token-file {str(path)!r} has no token; write one a line")
    return tokens


def bind(place: Place) -> socket.socket:
    """Takes the port, so that nobody else does while the model is loaded; whoever connects is refused until then.

    Raises:
        StepError: it is taken, or the host isn't this machine's.
    """
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((place.host, place.port))
    except OSError as error:
        found.close()
        raise StepError(
            f"Can't listen at {place.host}:{place.port}: {error.strerror}. Give another --port, or end what uses it."
        ) from error
    return found


def run(
    front: Front, place: Place, bound: socket.socket, timeout: float, drain_seconds: float, ready: Callable[[], None]
) -> None:
    """Serves until SIGTERM or SIGINT, and then until what is in work is answered.

    Args:
        timeout: seconds that a request has.
        drain_seconds: how long the server still answers after the signal while it says that it isn't ready, so that
            whoever sends it requests can turn elsewhere.
        ready: called when it answers.
    """

    class Protocol(HttpToolsProtocol):
        """Closes connections whose request's headers don't become whole in time."""

        _header_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._start()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._start()

        def on_headers_complete(self) -> None:
            self._stop()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _start(self) -> None:
            self._stop()
            self._header_timer = self.loop.call_later(timeout, self.transport.close)

        def _stop(self) -> None:
            if self._header_timer:
                self._header_timer.cancel()
                self._header_timer = None

    config = uvicorn.Config(
        front,
        http=Protocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(timeout) + 1,
        ssl_certfile=place.certificate,
        ssl_keyfile=place.key,
    )
    _Server(config, front, drain_seconds, ready).run(sockets=[bound])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, front: Front, drain_seconds: float, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._front = front
        self._drain_seconds = drain_seconds
        self._say_ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._say_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Is called for SIGTERM and SIGINT; uvicorn's own stops at once, and ends the process by the signal."""
        del sig, frame
        if self._front.draining or self._loop is None:
            self.should_exit = True
            return
        self._front.draining = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, self._end)

    def _end(self) -> None:
        self.should_exit = True
