"""A model server with the command line, answers and metrics of services/model_server, and without a model.

    python -m support.stand_in_model_server --path FOLDER --name NAME --version N --host HOST --port PORT

`behaviour.json` in the version's folder, read at the start: `errors` (share of requests answered 500), `seconds` (that
each takes), `start` (seconds until it is ready), `fails` (true: it ends at once), `score` (of its answers).
With `--log-requests` it keeps all requests and answers, in the form of the model server's, each fifth of a second.
"""

import argparse
import asyncio
import bisect
import contextlib
import json
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

_BOUNDS = [1e-4 * 1.1**power for power in range(120)]
_SCORES = [number / 20 for number in range(1, 21)]


class StandIn:
    """The server's state."""

    def __init__(self, name: str, version: int, behaviour: dict, samples: Path | None = None) -> None:
        self.samples, self.kept = samples, []
        self.name, self.version, self.behaviour = name, version, behaviour
        self.ready_at = time.monotonic() + behaviour.get("start", 0)
        self.statuses: dict[int, int] = {}
        self.latency = [0] * (len(_BOUNDS) + 1)
        self.scores = [0] * (len(_SCORES) + 1)
        self.asked = 0
        self.draining = False

    async def answer(self, method: str, path: str, request: str = "", body: bytes = b"{}") -> tuple[int, bytes]:
        if path == "/v2/health/ready":
            return (503, b"{}") if self.draining or time.monotonic() < self.ready_at else (200, b"{}")
        if path == "/metrics":
            return 200, self.metrics().encode()
        if path == f"/v1/models/{self.name}" and method == "GET":
            return 200, json.dumps({"name": self.name, "example": {"instances": [{"miles": 1.5}]}}).encode()
        if path in (f"/v1/models/{self.name}:predict", f"/v2/models/{self.name}/infer"):
            return await self.predict(request, body)
        return 404, b'{"error": "no such path"}'

    async def predict(self, request: str, body: bytes) -> tuple[int, bytes]:
        began = time.perf_counter()
        self.asked += 1
        if seconds := self.behaviour.get("seconds"):
            await asyncio.sleep(seconds)
        errors = self.behaviour.get("errors", 0)
        status = 500 if errors and self.asked * errors // 1 > (self.asked - 1) * errors // 1 else 200
        score = self.behaviour.get("score", (self.asked * 0.618) % 1)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latency[bisect.bisect_left(_BOUNDS, time.perf_counter() - began)] += 1
        self.scores[bisect.bisect_left(_SCORES, score)] += 1
        answer = {"predictions": [{"probability": score}], "model_version": str(self.version)}
        if self.samples and status == 200:
            self.keep(request, json.loads(body).get("instances", [{}]), score)
        return status, json.dumps(answer).encode()

    def keep(self, request: str, rows: list[dict], score: float) -> None:
        now = datetime.now(UTC).isoformat()
        more = {"_time": now, "_request_id": request, "_model": self.name, "_version": self.version}
        answer = {"_score_probabilities": score, "_class": "yes" if score > 0.5 else "no"}
        self.kept += [{**row, **more, "_row": number, **answer} for number, row in enumerate(rows)]

    def write_kept(self) -> None:
        if not (self.samples and self.kept):
            return
        import duckdb

        self.samples.mkdir(parents=True, exist_ok=True)
        name = f"{self.name}-v{self.version}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%fZ')}.parquet"
        lines = self.samples / f".{name}.jsonl"
        lines.write_text("\n".join(map(json.dumps, self.kept)))
        self.kept.clear()
        aside = self.samples / f".{name}.partial"
        select = f"SELECT * REPLACE (_time::TIMESTAMPTZ AS _time) FROM read_json('{lines}')"
        duckdb.connect().execute(f"COPY ({select}) TO '{aside}' (FORMAT parquet)")
        lines.unlink()
        aside.replace(self.samples / name)

    def metrics(self) -> str:
        labels = f'model="{self.name}",version="{self.version}"'
        lines = ["# TYPE pipeyard_requests counter"]
        lines += [
            f'pipeyard_requests_total{{{labels},status="{each}"}} {count}'
            for each, count in sorted(self.statuses.items())
        ]
        for name, more, bounds, counts in (
            ("pipeyard_request_seconds", "", _BOUNDS, self.latency),
            ("pipeyard_scores", ',output="probabilities"', _SCORES, self.scores),
        ):
            lines.append(f"# TYPE {name} histogram")
            total = 0
            for bound, count in zip([*map(repr, bounds), "+Inf"], counts, strict=True):
                total += count
                lines.append(f'{name}_bucket{{{labels}{more},le="{bound}"}} {total}')
            lines.append(f"{name}_count{{{labels}{more}}} {total}")
        return "\n".join(lines) + "\n"


class Connection(asyncio.Protocol):
    """HTTP/1.1 as Envoy and the tests speak it: bodies have a length."""

    def __init__(self, state: StandIn) -> None:
        self.state, self.buffer = state, b""
        self.transport: asyncio.Transport | None = None
        self.tasks: set[asyncio.Task] = set()

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            body, self.buffer = rest[:length], rest[length:]
            method, path, _ = first.split(" ", 2)
            task = asyncio.ensure_future(self.respond(method, path, headers, body))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def respond(self, method: str, path: str, headers: dict[str, str], asked: bytes) -> None:
        request_id = headers.get("x-request-id", "none")
        status, body = await self.state.answer(method, path, request_id, asked)
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-model-version: {self.state.version}\r\nx-request-id: {request_id}\r\n\r\n"
        )
        if self.transport and not self.transport.is_closing():
            self.transport.write(head.encode() + body)


async def serve(options: argparse.Namespace, behaviour: dict) -> None:
    state = StandIn(options.name, options.version, behaviour, options.log_requests)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def drain() -> None:
        state.draining = True
        loop.call_later(0.2, ended.set)

    loop.add_signal_handler(signal.SIGTERM, drain)
    await loop.create_server(lambda: Connection(state), options.host, options.port)
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 0.2)
        state.write_kept()


def main() -> int:
    parser = argparse.ArgumentParser()
    for name, kind in (("path", Path), ("name", str), ("version", int), ("host", str), ("port", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--log-requests", type=Path)
    options, others = parser.parse_known_args()
    if not all(each.startswith("--log-") for each in others[::2]):
        parser.error(f"unknown arguments: {others}")
    file = options.path / "behaviour.json"
    behaviour = json.loads(file.read_text()) if file.exists() else {}
    if behaviour.get("fails"):
        print("this model can't be loaded", file=sys.stderr)
        return 1
    asyncio.run(serve(options, behaviour))
    return 0


if __name__ == "__main__":
    sys.exit(main())
