"""A running server: answers, refusals, clients that do harm, and how it ends."""

import copy
import json
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from conftest import NAME, VERSION, Server, score, start

ROW = {"miles": 1.5, "area": 3, "Company Name": "abc", "tags.all": ["x"]}
V1, V2 = f"/v1/models/{NAME}:predict", f"/v2/models/{NAME}/infer"
FUZZED = 1000


def test_a_prediction_has_probability_class_and_threshold(client: httpx.Client) -> None:
    response = client.post(V1, json={"instances": [ROW, {"miles": -3}]}, headers={"x-request-id": "me"})
    assert response.status_code == 200
    assert (response.headers["x-model-version"], response.headers["x-request-id"]) == (VERSION, "me")
    yes, no = response.json()["predictions"]
    assert yes == {"probability": pytest.approx(score(1.5, 3, "abc", 1), abs=1e-6), "class": "tip", "threshold": 0.3}
    assert no == {"probability": pytest.approx(score(-3), abs=1e-6), "class": "no tip", "threshold": 0.3}
    assert response.json()["model_version"] == VERSION


def test_v2_answers_the_same(client: httpx.Client) -> None:
    inputs = [
        {"name": "miles", "shape": [2, 1], "datatype": "FP32", "data": [1.5, -3]},
        {"name": "area", "shape": [2], "datatype": "INT64", "data": [3, None]},
    ]
    for path in (V2, f"/v2/models/{NAME}/versions/{VERSION}/infer"):
        found = client.post(path, json={"inputs": inputs, "id": "me"}).json()
        assert (found["model_name"], found["model_version"], found["id"]) == (NAME, VERSION, "me")
        assert found["outputs"][0]["data"] == pytest.approx([score(1.5, 3), score(-3)], abs=1e-6)
        assert found["outputs"][1]["data"] == ["tip", "no tip"]


def test_what_it_says_of_itself(client: httpx.Client) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{NAME}/ready", "/v1/models", "/v2"):
        response = client.get(path)
        assert response.status_code == 200, path
        assert response.headers["x-model-version"] == VERSION
    described = client.get(f"/v1/models/{NAME}").json()
    assert described["columns"][2] == {"name": "miles", "type": "FLOAT", "shape": [1], "required": True}
    assert client.post(V1, json=described["example"]).status_code == 200
    metadata = client.get(f"/v2/models/{NAME}").json()
    assert {"name": "miles", "datatype": "FP32", "shape": [-1, 1]} in metadata["inputs"]
    assert metadata["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 1]}]
    operation = client.get("/openapi.json").json()["paths"]["/v1/models/{model_name}:predict"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    assert content["example"] == described["example"]
    assert content["schema"]["properties"]["instances"]["items"]["required"] == ["miles"]
    assert "process_resident_memory_bytes" in client.get("/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", f"/v1/models/{NAME}i:predict", 404, f"No model '{NAME}i' is served here. Did you mean '{NAME}'?"),
        ("POST", "/v2/models/other/infer", 404, "No model 'other' is served here"),
        ("POST", f"/v1/models/{NAME}/versions/8:predict", 404, "Version '8' of 'taxi' isn't served here"),
        ("POST", f"/v1/models/{NAME}:predikt", 404, f"Did you mean '{V1}'"),
        ("GET", V1, 405, "asked by POST"),
        ("POST", "/metrics", 405, "read by GET"),
        ("POST", f"/v2/repository/models/{NAME}/unload", 404, "There is nothing at"),
        ("GET", "/docs", 404, "There is nothing at"),
    ],
)
def test_a_place_that_isnt_there(client: httpx.Client, method: str, path: str, status: int, message: str) -> None:
    response = client.request(method, path, json={"instances": [ROW]} if method == "POST" else None)
    assert response.status_code == status
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (b'{"instances": [{"miles": "far"}]}', {}, 400, "'miles' of instance 0 is the text 'far'"),
        (b'{"instances": [{"area": 1}]}', {}, 400, "lacks the column 'miles'"),
        (b'{"instances": [{"milez": 1}]}', {}, 400, "Did you mean 'miles'?"),
        (b'{"instances": [{"miles": NaN}]}', {}, 400, "'miles' of instance 0 is NaN"),
        (b'{"instances": [{"miles": 1}', {}, 400, "The body isn't JSON"),
        (b"", {}, 400, "The body is empty"),
        (b"miles=1", {"content-type": "application/x-www-form-urlencoded"}, 415, "send JSON"),
        (b"{}", {"content-encoding": "gzip"}, 415, "Compressed bodies"),
        (json.dumps({"instances": [ROW] * 51}).encode(), {}, 413, "51 rows; 50 are taken at once"),
        (b" " * 100_001, {}, 413, "The body has 100001 bytes; 100000 are taken"),
    ],
)
def test_a_bad_body(client: httpx.Client, content: bytes, headers: dict[str, str], status: int, message: str) -> None:
    response = client.post(V1, content=content, headers={"content-type": "application/json", **headers})
    assert response.status_code == status
    assert message in response.json()["error"]


def test_a_huge_body_is_refused_while_it_is_sent(server: Server, client: httpx.Client) -> None:
    chunks = (b" " * 65536 for _ in range(200))
    response = client.post(V1, content=chunks, headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert "larger than 100000 bytes" in response.json()["error"]
    assert server.process.poll() is None


def test_slow_clients_are_sent_away(server: Server) -> None:
    start_of_body = b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n{" % V1.encode()
    with (
        socket.create_connection(("127.0.0.1", server.port), 20) as body,
        socket.create_connection(("127.0.0.1", server.port), 20) as headers,
    ):
        body.sendall(start_of_body)
        headers.sendall(b"POST / HTTP/1.1\r\nhost:")
        answer = body.makefile("rb").read()
        assert b" 408 " in answer.splitlines()[0]
        assert b"wasn't whole within 1 s" in answer
        assert headers.recv(1000) == b""


def test_fuzzed_bodies_do_no_harm(server: Server, client: httpx.Client) -> None:
    generator = random.Random(17)
    unharmed: list[int] = []
    ended = threading.Event()

    def ask_on() -> None:
        with server.client() as other:
            while not ended.is_set():
                unharmed.append(other.post(V1, json={"instances": [ROW]}).status_code)

    thread = threading.Thread(target=ask_on)
    thread.start()
    statuses: dict[int, int] = {}
    try:
        for number in range(FUZZED):
            response = client.post(
                (V1, V2)[number % 2], content=fuzzed(generator), headers={"content-type": "application/json"}
            )
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
            if response.status_code != 200:
                assert response.json()["error"]
    finally:
        ended.set()
        thread.join()
    assert all(status < 500 for status in statuses), statuses
    assert statuses[400] > FUZZED / 2
    assert set(unharmed) == {200}
    assert "Traceback" not in server.errors.read_text(encoding="utf-8")


def fuzzed(generator: random.Random) -> bytes:
    """Returns a body that is damaged somewhere: in its bytes, or in what it says."""
    rows = [copy.deepcopy(ROW) for _ in range(generator.randint(1, 3))]
    inputs = [{"name": "miles", "shape": [2], "datatype": "FP32", "data": [1, 2]}]
    body: Any = generator.choice([{"instances": rows}, {"inputs": inputs}])
    if generator.random() < 0.5:
        content = bytearray(json.dumps(body).encode())
        for _ in range(generator.randint(1, 8)):
            place = generator.randrange(len(content))
            content[place : place + generator.randint(0, 3)] = generator.randbytes(generator.randint(0, 3))
        return bytes(content)
    for _ in range(generator.randint(1, 3)):
        place: Any = body
        while isinstance(place, dict | list) and place:
            key = generator.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if generator.random() < 0.4 or not isinstance(place[key], dict | list):
                place[key] = strange(generator)
                break
            place = place[key]
    return json.dumps(body).encode()


def strange(generator: random.Random) -> Any:
    return generator.choice(
        [None, True, 0, -1, 1.5, 2**63, 10**400, float("nan"), float("inf"), 1e308, "", "NaN", "\x00", "\ud800",
         "x" * 999, [], {}, [[]], [None], {"a": 1}, [[[[[[1]]]]]], {"b64": "AA=="}, "FP32",
         [2, 1], [-1], [0], [10**18, 10**18]]
    )  # fmt: skip


def test_at_the_end_all_is_answered_and_logged(model: Path, tmp_path: Path) -> None:
    server = start(model, tmp_path, "--log-rate=1", "--log-without=area", "--batch-rows=8", "--drain-seconds=0.2")
    with server.client() as client:
        for number in range(3):
            assert client.post(V1, json={"instances": [ROW]}, headers={"x-request-id": str(number)}).status_code == 200
        # A request whose body isn't whole yet when the signal comes.
        with socket.create_connection(("127.0.0.1", server.port), 20) as late:
            body = json.dumps({"instances": [ROW]}).encode()
            late.sendall(b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (V1.encode(), len(body)))
            late.sendall(body[:5])
            assert client.get("/v2/health/ready").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            while is_ready(client):
                pass
            late.sendall(body[5:])
            answer = late.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert server.process.wait(20) == 0
    assert "Traceback" not in server.errors.read_text(encoding="utf-8")
    table = pq.read_table(server.logs)
    assert table.num_rows == 4
    assert "area" not in table.column_names
    assert set(table["_request_id"].to_pylist()) > {"0", "1", "2"}


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/v2/health/ready").status_code == 200
    except httpx.TransportError:  # it doesn't listen any more
        return False


def test_help_is_quick_and_loads_nothing() -> None:
    code = (
        "import sys, model_server.cli as c; c.parser(); sys.exit({'tensorflow', 'uvicorn'} & set(sys.modules) != set())"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
