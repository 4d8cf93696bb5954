"""Limits, faults and tokens, with a model that does what a test says."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest
from conftest import NAME, VERSION, FakeModel
from model_server.front import Front, Limits
from model_server.metrics import Metrics, score_bounds
from prometheus_client import CollectorRegistry, generate_latest

ONE = {"instances": [{"miles": 5}]}
PREDICT = f"/v1/models/{NAME}:predict"


class Asked:
    """An application in this process, and what it said."""

    def __init__(self, limits: Limits | None = None, tokens: tuple[bytes, ...] = ()) -> None:
        self.model = FakeModel()
        self.said: list[str] = []
        self.metrics = Metrics((NAME, VERSION), self.model.answers.names, score_bounds())
        registry = self.registry = CollectorRegistry()
        registry.register(self.metrics)

        def others() -> Any:
            raise AssertionError("isn't asked for")

        self.front = Front(
            self.model,
            NAME,
            VERSION,
            limits or Limits(),
            self.metrics,
            lambda: generate_latest(registry),
            others,
            ONE,
            tokens,
            say=self.said.append,
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.front), base_url="http://here")

    async def ask(self, body: Any = None, **options: Any) -> httpx.Response:
        return await self.client.post(PREDICT, json=body or ONE, **options)

    def counted(self) -> dict[str, float]:
        """Returns requests by status."""
        samples = [each for metric in self.registry.collect() for each in metric.samples]
        return {each.labels["status"]: each.value for each in samples if each.name == "pipeyard_requests_total"}

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"model": NAME, "version": VERSION, **labels})

    def until_asked(self) -> Coroutine[Any, Any, bool]:
        return asyncio.to_thread(self.model.is_asked.wait, 30)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def slow(limits: Limits) -> Asked:
    """An application whose model waits to be let go, and that knows it to be slow: it is asked in threads."""
    asked = Asked(limits)
    asked.model.may_answer.clear()
    asked.front._pace = 1.0
    return asked


def test_more_requests_than_are_taken_at_once_are_told_to_come_back() -> None:
    async def test() -> None:
        asked = slow(Limits(concurrency=1))
        first = asyncio.create_task(asked.ask())
        await asked.until_asked()
        second = await asked.ask()
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        assert "1 requests are in work already" in second.json()["error"]
        asked.model.may_answer.set()
        assert (await first).status_code == 200
        assert (await asked.ask()).status_code == 200
        assert asked.counted() == {"200": 2, "429": 1}

    run(test)


def test_a_model_that_takes_too_long() -> None:
    async def test() -> None:
        asked = slow(Limits(timeout=0.05))
        late = await asked.ask()
        assert (late.status_code, late.json()["error"]) == (504, "There was no answer within 0.05 s. Send fewer rows.")
        asked.model.may_answer.set()
        assert asked.counted() == {"200": 0, "504": 1}

    run(test)


def test_a_slow_model_doesnt_keep_others_waiting() -> None:
    async def test() -> None:
        asked = slow(Limits())
        waiting = asyncio.create_task(asked.ask())
        await asked.until_asked()
        assert (await asked.client.get("/v2/health/ready")).json() == {"ready": True}
        asked.model.may_answer.set()
        assert (await waiting).status_code == 200

    run(test)


def test_a_fault_of_the_model_is_a_500_that_tells_nothing_but_the_request() -> None:
    async def test() -> None:
        asked = Asked()
        found = await asked.ask({"instances": [{"miles": 13}]}, headers={"x-request-id": "abc"})
        assert found.status_code == 500
        assert found.json()["error"] == "The server failed at request 'abc': RuntimeError. See its log."
        assert "RuntimeError: unlucky" in asked.said[0]
        assert (await asked.ask()).status_code == 200

    run(test)


def test_micro_batches_answer_each_request_its_own_rows() -> None:
    async def test() -> None:
        asked = Asked(Limits(batch_rows=4, batch_delay=30))
        rows = [[1], [2, 3], [4]]
        found = await asyncio.gather(
            *(asked.ask({"instances": [{"miles": n, "tags.all": ["x"] * n} for n in each]}) for each in rows)
        )
        answers = [[p["probability"] for p in response.json()["predictions"]] for response in found]
        assert answers == [pytest.approx([n / 10 for n in each]) for each in rows]
        assert asked.model.asked == [4]

    run(test)


def test_one_bad_request_of_a_batch_fails_alone() -> None:
    async def test() -> None:
        asked = Asked(Limits(batch_rows=2, batch_delay=30))
        bad, *good = await asyncio.gather(asked.ask({"instances": [{"mile": 1}]}), asked.ask(), asked.ask())
        assert [bad.status_code, *(each.status_code for each in good)] == [400, 200, 200]
        both = await asyncio.gather(asked.ask({"instances": [{"miles": 13}]}), asked.ask())
        assert [each.status_code for each in both] == [500, 200]

    run(test)


def test_a_token_is_asked_for_by_all_but_health() -> None:
    async def test() -> None:
        asked = Asked(tokens=(b"old", b"new"))
        for authorization in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic old"}):
            refused = await asked.ask(headers=authorization)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert (await asked.client.get("/metrics", headers=authorization)).status_code == 401
        for token in ("old", "new"):
            assert (await asked.ask(headers={"authorization": f"Bearer {token}"})).status_code == 200
        assert (await asked.client.get("/v2/health/live")).json() == {"live": True}
        assert asked.model.asked == [1, 1]

    run(test)


def test_while_it_drains_it_answers_but_isnt_ready() -> None:
    async def test() -> None:
        asked = Asked()
        asked.front.draining = True
        assert (await asked.client.get("/v2/health/ready")).status_code == 503
        assert (await asked.client.get(f"/v2/models/{NAME}/ready")).json() == {"name": NAME, "ready": False}
        answered = await asked.ask()
        assert (answered.status_code, answered.headers["connection"]) == (200, "close")

    run(test)


@pytest.mark.parametrize(("sent", "kept"), [("a-1", True), ("x" * 129, False), ("ü", False), ("", False)])
def test_a_request_s_id_is_given_back_or_made(sent: str, kept: bool) -> None:
    async def test() -> None:
        asked = Asked()
        found = (await asked.ask(headers={"x-request-id": sent.encode()})).headers["x-request-id"]
        assert found == sent if kept else re.fullmatch("[0-9a-f]{32}", found)

    run(test)


def test_a_body_that_ends_too_late_or_never_is_a_408() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"instances": ['
        await asyncio.sleep(30)

    async def test() -> None:
        asked = Asked(Limits(timeout=0.05))
        sent: list[Any] = []
        chunks = endless()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": await anext(chunks), "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": []}
        await asked.front(scope, receive, send)
        assert sent[0]["status"] == 408
        assert (b"connection", b"close") in sent[0]["headers"]
        assert "within 0.05 s" in json.loads(sent[1]["body"])["error"]

    run(test)


def test_latencies_are_of_answers_and_scores_of_rows() -> None:
    async def test() -> None:
        asked = Asked()
        await asked.ask({"instances": [{"miles": 1}, {"miles": 9}]})
        await asked.ask({"instances": []})
        assert asked.value("pipeyard_request_seconds_count") == 1
        scores = [
            asked.value("pipeyard_scores_bucket", output="probabilities", le=le) for le in ("0.05", "0.15", "+Inf")
        ]
        assert scores == [0, 1, 2]
        assert asked.value("pipeyard_rows_total") == 2
        assert "pipeyard_rows_total" in (await asked.client.get("/metrics")).text

    run(test)
