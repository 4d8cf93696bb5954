"""What is made of Prometheus' answers: windows of whole processes, and no evidence where there is none."""

import contextlib
import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from deploy.prometheus import Prometheus, to_reading, window

from stepkit.errors import StepError


def series(version: int, pod: str, requests: int, failed: int = 0, slow: int = 0) -> list[dict[str, Any]]:
    """Returns the series of a pod as an instant query gives them."""
    labels = {"model": "taxi", "version": str(version), "pod": pod}
    values = [
        ({"__name__": "pipeyard_requests_total", "status": "200"}, requests - failed),
        ({"__name__": "pipeyard_requests_total", "status": "500"}, failed),
        ({"__name__": "pipeyard_requests_total", "status": "499"}, 7),
        ({"__name__": "pipeyard_request_seconds_bucket", "le": "0.01"}, requests - slow),
        ({"__name__": "pipeyard_request_seconds_bucket", "le": "+Inf"}, requests),
        ({"__name__": "pipeyard_scores_bucket", "output": "tip", "le": "0.5"}, requests // 2),
        ({"__name__": "pipeyard_scores_bucket", "output": "tip", "le": "+Inf"}, requests),
    ]
    return [{"metric": {**labels, **more}, "value": [1.0, str(value)]} for more, value in values]


def between(before: list[dict[str, Any]], after: list[dict[str, Any]], version: int = 3) -> Any:
    return window(to_reading(before, 10.0).get(version, {}), to_reading(after, 40.0).get(version, {}), version, 10, 40)


def test_what_all_pods_of_a_version_did_is_added_up() -> None:
    before = [*series(3, "a", 100), *series(3, "b", 50, 5), *series(4, "c", 9)]
    after = [*series(3, "a", 160, slow=10), *series(3, "b", 90, 8), *series(4, "c", 30)]
    found = between(before, after)
    assert (found.alive, found.start, found.end, found.version) == (True, 10, 40, 3)
    assert (found.requests, found.errors) == (100, 3)
    assert found.latency == {0.01: 90, math.inf: 100}
    assert found.scores == {"tip": {0.5: 50, math.inf: 100}}
    assert between(before, after, 4).requests == 21


def test_pods_that_come_and_go_do_not_count() -> None:
    found = between([*series(3, "a", 100), *series(3, "gone", 70)], [*series(3, "a", 130), *series(3, "new", 900)])
    assert (found.alive, found.requests) == (True, 30)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], series(3, "a", 5)),
        (series(3, "a", 5), []),
        (series(3, "a", 5), series(3, "b", 9)),
        ([*series(3, "a", 50), *series(3, "b", 5)], [*series(3, "a", 20), *series(3, "b", 90)]),
        (series(3, "a", 50, 9), series(3, "a", 60, 2)),
    ],
    ids=["not yet", "no more", "another pod", "one started again", "as many again since it started again"],
)
def test_a_version_that_was_down_is_no_evidence(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    assert not between(before, after).alive


@pytest.mark.parametrize(
    "result", [[{"metric": {"__name__": "x"}, "value": [0, "1"]}], [{"metric": {"version": "3"}}], [3]]
)
def test_series_that_are_no_model_server_s(result: list[Any]) -> None:
    with pytest.raises(ValueError, match="a series isn't a model server's"):
        to_reading(result, 1.0)


@contextlib.contextmanager
def prometheus(*answers: tuple[int, Any]) -> Iterator[tuple[str, list[str]]]:
    """Serves answers one after another, the last for ever; gives the URL and what was asked, with its token."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(f"{self.path} {self.headers.get('authorization', '')}".strip())
            code, value = left.pop(0) if len(left) > 1 else left[0]
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(code)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}", asked
    finally:
        httpd.shutdown()
        httpd.server_close()


def success(result: list[dict[str, Any]]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def test_the_end_of_a_window_is_the_beginning_of_the_next_and_failures_are_repeated(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    counts = [[*series(3, "a", number * 10), *series(4, "b", number)] for number in (1, 4, 9)]
    with prometheus((200, success(counts[0])), (503, {}), *((200, success(each)) for each in counts[1:])) as (
        url,
        asked,
    ):
        source = Prometheus(url, str(tmp_path / "token"), pause=0.0)
        first = source.observe("taxi", 3, 4, 10.0, 40.0)
        second = source.observe("taxi", 3, 4, 40.0, 70.0)
    assert [(each.version, each.requests) for each in (*first, *second)] == [(3, 30), (4, 3), (3, 50), (4, 5)]
    assert asked == ["/api/v1/query Bearer secret"] * 4


@pytest.mark.parametrize("answer", [(400, {}), (200, b"no JSON"), (200, {"status": "error", "error": "no"})])
def test_where_it_does_not_answer_a_window_is_no_evidence_and_before_a_deployment_an_error(
    answer: tuple[int, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with prometheus(answer) as (url, _):
        source = Prometheus(url, pause=0.0)
        assert not any(each.alive for each in source.observe("taxi", 3, 4, 10.0, 40.0))
        assert "doesn't answer, the window is no evidence" in capsys.readouterr().err
        with pytest.raises(StepError, match="doesn't answer .* Check the option 'prometheus' of --serving-options"):
            source.reach()
