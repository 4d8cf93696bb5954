"""The server as an ASGI application: predictions, health and metrics by itself, all else by KServe's.

A prediction of few rows is computed in the event loop, where handing it to a thread would cost as much again; large
bodies, and models that have turned out slow, go to threads, so that nobody waits for them.
"""

import asyncio
import hmac
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson

from model_server import bodies, refusals
from model_server.batching import Batcher
from model_server.columns import Reader
from model_server.metrics import Metrics
from model_server.refusals import Refused
from model_server.request_bodies import Receive, RequestBody, Send
from model_server.request_log import RequestLog
from stepkit.answers import Answers
from stepkit.errors import near_misses

Scope = Mapping[str, Any]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON = b"application/json"
# Of requests that are computed in the event loop: larger ones, or a mean above this, go to threads.
_INLINE_BYTES = 16 * 1024
_INLINE_SECONDS = 0.003
_PACE_WEIGHT = 0.1
_THREADS = 4
# How long, and for how many bytes, a refused client may go on sending before the connection is closed: one that is
# closed while it sends sees a reset instead of the answer.
_LINGER_SECONDS, _LINGER_BYTES = 5.0, 256 * 1024 * 1024
_REST_SECONDS = 1.0
_LONGEST_ID = 128
_OPEN = ("/v2/health/live", "/v2/health/ready")


class Model(Protocol):
    """What is asked; see `saved_models.LoadedModel`."""

    @property
    def reader(self) -> Reader:
        """Of its columns."""

    @property
    def answers(self) -> Answers:
        """Of its numbers."""

    def ask(self, tensors: Sequence[np.ndarray]) -> np.ndarray:
        """Returns its numbers."""


@dataclass(frozen=True)
class Limits:
    """What a client may ask.

    Attributes:
        max_body_bytes: of a request.
        max_rows: of a request.
        timeout: seconds for a request: its body, waiting, and the model.
        concurrency: requests in work; more are told to come back.
        batch_rows: of a micro-batch; 0: none are made.
        batch_delay: seconds that the first request of a batch waits for others.
    """

    max_body_bytes: int = 4 * 1024 * 1024
    max_rows: int = 4096
    timeout: float = 10.0
    concurrency: int = 64
    batch_rows: int = 0
    batch_delay: float = 0.002


@dataclass
class _Request:
    """What is known of a request before its body."""

    body: RequestBody
    request_id: str = ""
    content_type: bytes = _JSON
    encoding: bytes = b""
    length: bytes = b""
    authorization: bytes = b""


class Front:
    """One version of one model.

    Args:
        name: of the model.
        version: its number.
        others: gives the application that answers what isn't known here; called once, in a thread.
        example: a V1 body that the model answers.
        tokens: one of which a client must have; none: anybody is answered.
        log: None: nothing is logged.
        say: called with what goes wrong.
    """

    def __init__(
        self,
        model: Model,
        name: str,
        version: str,
        limits: Limits,
        metrics: Metrics,
        exposition: Callable[[], bytes],
        others: Callable[[], Application],
        example: Mapping[str, Any],
        tokens: Sequence[bytes] = (),
        log: RequestLog | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._model = model
        self._name, self._version = name, version
        self._limits = limits
        self._metrics = metrics
        self._exposition = exposition
        self._others = others
        self._example = example
        self._other: asyncio.Task[Application] | None = None
        self._tokens = tuple(tokens)
        self._log = log
        self._say = say
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="model")
        self._pace = 0.0
        self._batcher: Batcher | None = None
        if limits.batch_rows:
            fills = [column.missing for column in model.reader.columns]
            self._batcher = Batcher(self._ask_in_thread, fills, limits.batch_rows, limits.batch_delay)
        self._base = [(b"content-type", _JSON), (b"x-model-version", version.encode())]
        self.draining = False
        own = (f"/v1/models/{name}", f"/v1/models/{name}/versions/{version}")
        self._v1 = frozenset(f"{path}:predict" for path in own)
        self._v2 = frozenset(f"{path.replace('/v1/', '/v2/')}/infer" for path in own)
        self._predictions = self._v1 | self._v2
        self._gets: dict[str, Callable[[], tuple[int, bytes]]] = {
            "/v2/health/live": lambda: (200, b'{"live":true}'),
            "/v2/health/ready": self._ready,
            "/metrics": lambda: (200, self._exposition()),
            **dict.fromkeys(own, self._description),
            **dict.fromkeys((f"{path.replace('/v1/', '/v2/')}/ready" for path in own), self._model_ready),
        }
        # What of KServe's application is of use here; its others would unload the model, or are answered above.
        self._passed_on = {"/", "/v1/models", "/v2", "/v2/", "/v2/models", "/openapi.json"} | {f"/v2/models/{name}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is spoken here, not {scope['type']!r}")
        request = _read_headers(scope, RequestBody(receive))
        path = scope["path"]
        try:
            if self._tokens and path not in _OPEN:
                self._check_token(request.authorization)
            if path in self._predictions:
                await self._predict(scope, request, send)
            else:
                await self._get(scope, request, receive, send)
        except Refused as refusal:
            await self._refuse(request, refusal, send)

    def close(self) -> None:
        """Ends threads, and writes what is still to be logged."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._log:
            self._log.close()

    async def _predict(self, scope: Scope, request: _Request, send: Send) -> None:
        metrics = self._metrics
        began = time.perf_counter()
        status, seconds = refusals.CLIENT_GONE, None
        metrics.active += 1
        body: bytes | bytearray | None = None
        try:
            self._check_request(scope, request)
            try:
                async with asyncio.timeout(self._limits.timeout):
                    body = await request.body.read(self._limits.max_body_bytes)
                    began = time.perf_counter()
                    answer, asked, numbers = await self._work(scope["path"] in self._v2, body, request.request_id)
            except TimeoutError as error:
                raise self._too_slow(body is not None) from error
            seconds = time.perf_counter() - began
            status = 200
            await self._send(request, 200, answer, send)
        except Refused as refusal:
            status = refusal.status
            seconds = time.perf_counter() - began if status >= refusals.FAULT else None
            raise
        except Exception as error:  # pylint: disable=broad-exception-caught  # whatever a model or we do wrong
            status, seconds = refusals.FAULT, time.perf_counter() - began
            self._say(f"request {request.request_id} failed:\n{traceback.format_exc()}")
            raise Refused(
                status, f"The server failed at request {request.request_id!r}: {type(error).__name__}. See its log."
            ) from error
        finally:
            metrics.active -= 1
            metrics.count(status, seconds)
        metrics.count_scores(numbers)
        if self._log and self._log.wants(request.request_id):
            self._log.add(request.request_id, asked.values, numbers, len(body or b""))

    def _check_request(self, scope: Scope, request: _Request) -> None:
        if scope["method"] != "POST":
            raise Refused(
                refusals.WRONG_METHOD, f"Predictions are asked by POST, not {scope['method']}.", {"allow": "POST"}
            )
        kind = request.content_type.partition(b";")[0].strip().lower()
        if kind != _JSON:
            raise Refused(
                refusals.WRONG_TYPE,
                f"The content type is {kind.decode('latin-1')[:60]!r}; send JSON, as `content-type: application/json`.",
            )
        if request.encoding not in (b"", b"identity"):
            raise Refused(refusals.WRONG_TYPE, "Compressed bodies aren't taken. Send it without content-encoding.")
        if request.length.isdigit() and int(request.length) > self._limits.max_body_bytes:
            raise Refused(
                refusals.TOO_LARGE,
                f"The body has {int(request.length)} bytes; {self._limits.max_body_bytes} are taken. Send fewer "
                "rows at once.",
            )
        if self._metrics.active > self._limits.concurrency:
            raise Refused(
                refusals.BUSY,
                f"{self._limits.concurrency} requests are in work already. Come back in a second.",
                {"retry-after": "1"},
            )

    async def _work(
        self, is_v2: bool, body: bytes | bytearray, request_id: str
    ) -> tuple[bytes, bodies.Asked, np.ndarray]:
        if self._batcher:
            asked = self._asked(is_v2, body)
            numbers = await self._batcher.ask(self._model.reader.tensors(asked.values, asked.rows))
            return self._answer(is_v2, asked, numbers, request_id), asked, numbers
        if len(body) <= _INLINE_BYTES and self._pace < _INLINE_SECONDS:
            return self._compute(is_v2, body, request_id)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._compute, is_v2, body, request_id)

    def _compute(self, is_v2: bool, body: bytes | bytearray, request_id: str) -> tuple[bytes, bodies.Asked, np.ndarray]:
        began = time.perf_counter()
        asked = self._asked(is_v2, body)
        numbers = self._model.ask(self._model.reader.tensors(asked.values, asked.rows))
        answer = self._answer(is_v2, asked, numbers, request_id)
        if len(body) <= _INLINE_BYTES:
            self._pace += _PACE_WEIGHT * (time.perf_counter() - began - self._pace)
        return answer, asked, numbers

    def _asked(self, is_v2: bool, body: bytes | bytearray) -> bodies.Asked:
        read = bodies.read_v2 if is_v2 else bodies.read_v1
        return read(bodies.parse(body), self._model.reader, self._limits.max_rows)

    def _answer(self, is_v2: bool, asked: bodies.Asked, numbers: np.ndarray, request_id: str) -> bytes:
        if is_v2:
            model = (self._name, self._version)
            return bodies.write_v2(self._model.answers, numbers, model, asked.request_id or request_id)
        return bodies.write_v1(self._model.answers, numbers, self._version)

    async def _ask_in_thread(self, tensors: Sequence[np.ndarray]) -> np.ndarray:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._model.ask, tensors)

    def _too_slow(self, is_read: bool) -> Refused:
        if is_read:
            return Refused(
                refusals.TOO_SLOW, f"There was no answer within {self._limits.timeout:g} s. Send fewer rows."
            )
        return Refused(refusals.SLOW_BODY, f"The body wasn't whole within {self._limits.timeout:g} s. Send it faster.")

    async def _get(self, scope: Scope, request: _Request, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path not in self._gets and path not in self._passed_on:
            raise Refused(refusals.NOT_FOUND, self._not_found(path))
        if scope["method"] not in ("GET", "HEAD"):
            raise Refused(refusals.WRONG_METHOD, f"{path} is read by GET.", {"allow": "GET, HEAD"})
        if path in self._gets:
            status, body = self._gets[path]()
            await self._send(request, status, b"" if scope["method"] == "HEAD" else body, send, path == "/metrics")
            return
        if self._other is None:
            self._other = asyncio.create_task(asyncio.to_thread(self._others))
        application = await asyncio.shield(self._other)

        async def send_with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._own_headers(request)[1:]]
            await send(message)

        await application(scope, receive, send_with_headers)

    def _not_found(self, path: str) -> str:
        parts = path.split("/")
        if len(parts) > 3 and parts[1] in ("v1", "v2") and parts[2] == "models":
            name = parts[3].partition(":")[0]
            if name != self._name:
                return f"No model {name[:100]!r} is served here. {near_misses(name[:100], [self._name])}"
            if len(parts) > 5 and parts[4] == "versions" and (number := parts[5].partition(":")[0]) != self._version:
                return f"Version {number[:20]!r} of {self._name!r} isn't served here: version {self._version!r} is."
        known = [*sorted(self._predictions), *self._gets, *sorted(self._passed_on)]
        return f"There is nothing at {path[:100]!r}. {near_misses(path[:100], known)}"

    def _ready(self) -> tuple[int, bytes]:
        if self.draining:
            return refusals.DRAINING, b'{"ready":false}'
        return 200, b'{"ready":true}'

    def _model_ready(self) -> tuple[int, bytes]:
        status, _ = self._ready()
        return status, orjson.dumps({"name": self._name, "ready": status == 200})

    def _description(self) -> tuple[int, bytes]:
        answers = self._model.answers
        columns = [
            {"name": column.name, "type": column.kind, "shape": column.shape, "required": column.required}
            for column in self._model.reader.columns
        ]
        found: dict[str, Any] = {"name": self._name, "model_version": self._version, "ready": not self.draining}
        found |= {"task": answers.task, "classes": answers.classes, "threshold": answers.threshold, "columns": columns}
        found["example"] = self._example
        return 200, orjson.dumps(found)

    def _check_token(self, authorization: bytes) -> None:
        kind, _, token = authorization.partition(b" ")
        if kind.lower() != b"bearer" or not any(hmac.compare_digest(token.strip(), each) for each in self._tokens):
            raise Refused(
                refusals.UNAUTHORIZED,
                "A token is needed: send `authorization: Bearer TOKEN`.",
                {"www-authenticate": "Bearer"},
            )

    async def _refuse(self, request: _Request, refusal: Refused, send: Send) -> None:
        if refusal.status == refusals.CLIENT_GONE:
            return
        body = request.body
        in_time = refusal.status not in (refusals.TOO_LARGE, refusals.SLOW_BODY)
        whole = body.is_complete or (in_time and await body.discard(_REST_SECONDS, self._limits.max_body_bytes))
        content = orjson.dumps({"error": str(refusal)}, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
        headers = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
        headers += [*self._own_headers(request), (b"content-length", str(len(content)).encode())]
        if not whole and not self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": not whole})
        if not whole:
            if refusal.status != refusals.SLOW_BODY:
                await body.discard(_LINGER_SECONDS, _LINGER_BYTES)
            await send({"type": "http.response.body", "body": b""})

    async def _send(self, request: _Request, status: int, content: bytes, send: Send, is_text: bool = False) -> None:
        headers = [*self._own_headers(request), (b"content-length", b"%d" % len(content))]
        if is_text:
            headers[0] = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _own_headers(self, request: _Request) -> list[tuple[bytes, bytes]]:
        headers = [*self._base, (b"x-request-id", request.request_id.encode())]
        if self.draining:
            headers.append((b"connection", b"close"))
        return headers


def _read_headers(scope: Scope, body: RequestBody) -> _Request:
    request = _Request(body)
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            request.request_id = _tame(value)
        elif name == b"content-type":
            request.content_type = value
        elif name == b"content-length":
            request.length = value
        elif name == b"content-encoding":
            request.encoding = value.strip().lower()
        elif name == b"authorization":
            request.authorization = value
    if not request.request_id:
        request.request_id = os.urandom(16).hex()
    return request


def _tame(value: bytes) -> str:
    """Returns an id as it may stand in headers and logs; empty if it is none."""
    text = value.decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() and len(text) <= _LONGEST_ID else ""
