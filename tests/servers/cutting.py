"""A bad network: a proxy of TCP connections that cuts, holds or refuses them."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class CuttingProxy:
    """Passes connections on to a server.

    Attributes:
        url: where it listens.
        hurt: how many connections a fault happened to.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.hurt = 0
        self._cuts: list[int | None] = []
        self._holding = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, after: int, times: int = 1) -> None:
        """Cuts each of the next connections when the client has sent this many bytes."""
        self._cuts = [after] * times

    def hold(self) -> None:
        """Takes connections and what is sent, and answers nothing, from now."""
        self._holding = True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream, timeout=10)
        except OSError:
            self._drop(client)
            return
        server.settimeout(None)
        self._open.append(server)
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        sent = 0
        with contextlib.suppress(OSError):
            while data := client.recv(16 * 1024):
                sent += len(data)
                if self._holding:
                    self.hurt += 1
                    continue
                if self._cuts and sent > self._cuts[0]:
                    self._cuts.pop(0)
                    self.hurt += 1
                    break
                server.sendall(data)
        self._drop(client, server)

    def _pump(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(64 * 1024):
                client.sendall(data)
        self._drop(client, server)

    @staticmethod
    def _drop(*ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Ends all connections; later ones are refused."""
        self._drop(self._listener, *self._open)
