"""Starts a model server twice, loads the first, and tells what it took. Memory and times are of the server alone.

    python server_load.py BODIES SECONDS COMMAND... -> JSON on stdout
    python server_load.py example NAME COMMAND...   -> the row that the server gives as an example

PORT in the command stands for a free port. BODIES: a JSON file with `path`, `row` and `batch` (bodies of one row and of
256).
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

CLIENTS = (1, 8, 16)
BATCH_ROWS = 256
_WARM_SECONDS = 1.0
_READY_SECONDS = 300
_MB = 1e6


class Server:
    """A process that serves at a port."""

    def __init__(self, command: list[str], path: str, body: bytes | None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [part.replace("PORT", str(self.port)) for part in command], stdout=subprocess.DEVNULL
        )
        self.url = f"http://127.0.0.1:{self.port}{path}"
        while time.perf_counter() - began < _READY_SECONDS:
            if self._process.poll() is not None:
                raise SystemExit(f"the server ended with {self._process.returncode}")
            with contextlib.suppress(urllib.error.URLError, OSError):
                self.ask(body)
                break
            time.sleep(0.02)
        self.ready_s = time.perf_counter() - began

    def ask(self, body: bytes | None) -> bytes:
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def memory(self) -> tuple[float, float]:
        """Returns PSS and what no other process shares, in MB."""
        parent = psutil.Process(self._process.pid)
        found = [each.memory_full_info() for each in (parent, *parent.children(recursive=True))]
        return sum(each.pss for each in found) / _MB, sum(each.uss for each in found) / _MB

    def end(self) -> None:
        parent = psutil.Process(self._process.pid)
        left = [parent, *parent.children(recursive=True)]
        parent.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self._process.wait()


@contextlib.contextmanager
def _started(command: list[str], path: str, body: bytes | None) -> Iterator[Server]:
    server = Server(command, path, body)
    try:
        yield server
    finally:
        server.end()


def _client(port: int, request: bytes, until: float, taken: list[float]) -> None:
    """Asks over one connection, one request after another."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        left = b""
        while (start := time.perf_counter()) < until:
            connection.sendall(request)
            while b"\r\n\r\n" not in left:
                left += _received(connection)
            head, _, left = left.partition(b"\r\n\r\n")
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise SystemExit(head.decode(errors="replace"))
            (length,) = (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            while len(left) < length:
                left += _received(connection)
            left = left[length:]
            taken.append(time.perf_counter() - start)


def _received(connection: socket.socket) -> bytes:
    if not (content := connection.recv(1 << 16)):
        raise SystemExit("the server closed the connection")
    return content


def load(port: int, path: str, body: bytes, clients: int, seconds: float) -> list[float]:
    """Returns how long each request took, of clients that each wait for their answer, sorted."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    taken: list[list[float]] = [[] for _ in range(clients)]
    until = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=_client, args=(port, head.encode() + body, until, each), daemon=True) for each in taken
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted(each for part in taken for each in part)
    if not found:
        raise SystemExit("no request was answered")
    return found


def _measured(bodies: dict[str, str], seconds: float, command: list[str]) -> dict[str, float]:
    path, row, batch = bodies["path"], bodies["row"].encode(), bodies["batch"].encode()
    with _started(command, path, row) as server:
        load(server.port, path, row, max(CLIENTS), _WARM_SECONDS)
        facts = {"ready_s": server.ready_s}
        for clients in CLIENTS:
            taken = load(server.port, path, row, clients, seconds)
            facts[f"rate_{clients}"] = len(taken) / seconds
            if clients == 1:
                facts |= {"p50_ms": taken[len(taken) // 2] * 1e3, "p99_ms": taken[int(len(taken) * 0.99)] * 1e3}
        taken = load(server.port, path, batch, 1, seconds)
        facts["batch_rows_s"] = BATCH_ROWS * len(taken) / seconds
        facts["first_mb"] = server.memory()[0]
        with _started(command, path, row) as second:
            second.ask(row)
            facts["further_mb"] = second.memory()[1]
    return facts


def main() -> None:
    """Loads it, or asks it for its example."""
    if sys.argv[1] == "example":
        name, command = sys.argv[2], sys.argv[3:]
        with _started(command, f"/v1/models/{name}", None) as server:
            print(json.dumps(json.loads(server.ask(None))["example"]["instances"][0]))
        return
    bodies = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(_measured(bodies, float(sys.argv[2]), sys.argv[3:])))


if __name__ == "__main__":
    main()
