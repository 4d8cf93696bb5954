"""Serving under load, with Envoy: shares, shifts; and nothing left of it in the end."""

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import requests
from served_folders import ROOT

from pipeyard.serving import start_serving
from pipeyard.serving.served_processes import is_alive
from rollout import desired
from rollout.policy import DIRECT, SHADOW


def _ask(served, **headers: str) -> requests.Response:
    return requests.post(f"{served.url}/v1/models/taxi:predict", json={"instances": [{}]}, headers=headers, timeout=10)


def _supervisor(served) -> int:
    return served.state["supervisor"]["pid"]


def test_it_is_served_once(served):
    with ThreadPoolExecutor(2) as two:
        again = list(two.map(lambda _: served.pipeyard("start"), range(2)))
    assert {each.stdout.partition("\n")[0] for each in again} == {"Served: version 3 of taxi. Ask it:"}
    assert len([each for each in served.processes() if "envoy" in each.name()]) == 1
    refused = served.pipeyard("start", "--port", "1", check=False)
    assert refused.returncode == 1
    assert f"is served at {served.url} already" in refused.stderr
    # The command that it prints.
    command = again[0].stdout.splitlines()[1].strip()
    answer = json.loads(subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout)
    assert answer["model_version"] in ("3", "4")


def test_the_split_is_as_wanted_and_a_key_stays(served):
    command = [sys.executable, "-m", "support.http_load", f"{served.url}/v1/models/taxi:predict", "--requests", "20000"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT / "tests")
    load = json.loads(done.stdout)
    assert load["failed"] == {}
    assert abs(load["answered"]["4"] / 20000 - 0.10) < 0.01, load
    print(f"split {load['answered']}, {20000 / load['seconds']:.0f} requests/s")
    for key in range(20):
        versions = {_ask(served, **{"x-routing-key": f"user-{key}"}).headers["x-model-version"] for _ in range(5)}
        assert len(versions) == 1
    assert len({_ask(served).headers["x-model-version"] for _ in range(100)}) == 2


def test_a_header_pins_a_version(served):
    for version in ("3", "4"):
        answers = {_ask(served, **{"x-model-version": version}).headers["x-model-version"] for _ in range(10)}
        assert answers == {version}
    unknown = _ask(served, **{"x-model-version": "9"})
    assert unknown.status_code == 404
    assert "one of: 3, 4" in unknown.json()["error"]
    other = requests.post(f"{served.url}/v1/models/taxy:predict", timeout=10)
    assert (other.status_code, other.headers["content-type"]) == (404, "application/json")
    assert "models: taxi" in other.json()["error"]
    assert _ask(served, **{"x-request-id": "mine"}).headers["x-request-id"] == "mine"


def test_shifts_fail_no_request(served):
    load = served.load()
    for number in range(20):
        weight = (50, 20, 90, 10)[number % 4]
        served.change(lambda before, weight=weight: desired.shift(before, 4, weight))
        served.wait_for_shares(v3=100 - weight, v4=weight)
    told = load.end()
    assert told["failed"] == {}, told
    assert min(told["answered"].values()) > 50


def _is_mirrored(model: dict) -> bool:
    return model["in_force"] and model["versions"].get("7", {}).get("mirrored", False)


def test_a_shadow_gets_copies_and_direct_takes_over(served):
    served.push(6)
    served.push(7)
    served.stage(6, DIRECT)
    served.wait_for_shares(v6=100)
    served.stage(7, SHADOW)
    served.wait(lambda: _is_mirrored(served.state["models"]["taxi"]), "version 7 gets no copies")
    port = served.state["models"]["taxi"]["versions"]["7"]["port"]

    def asked() -> int:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        lines = [line for line in text.splitlines() if line.startswith("pipeyard_requests_total")]
        return sum(int(line.rpartition(" ")[2]) for line in lines)

    before = asked()
    answers = Counter(_ask(served).headers["x-model-version"] for _ in range(50))
    assert answers == {"6": 50}
    served.wait(lambda: asked() == before + 50, "not each request was copied")
    load = served.load()
    served.stage(7, DIRECT)
    served.wait_for_shares(v7=100)
    served.wait(lambda: len(served.processes()) == 2, "version 6 still runs")
    assert load.end()["failed"] == {}


def test_operators_see_it_and_decide_with_the_token_alone(served):
    served.stage(3)
    served.wait_for_shares(v7=90, v3=10)
    url = served.state["operators_url"]
    page = requests.get(url, timeout=10)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text and "https://" not in page.text
    assert requests.get(f"{url}/state.json", timeout=10).json()["models"]["taxi"]["candidate"] == 3
    assert requests.get(url, headers={"host": "elsewhere.example"}, timeout=10).status_code == 403
    asked = {"model": "taxi", "version": 3}
    assert requests.post(f"{url}/rollback", json=asked, headers={"x-token": "guess"}, timeout=10).status_code == 403
    token = served.folder.token.read_text().strip()
    done = requests.post(f"{url}/rollback", json=asked, headers={"x-token": token}, timeout=10)
    assert done.json() == {"stable": 7, "candidate": None}
    again = requests.post(f"{url}/promote", json=asked, headers={"x-token": token}, timeout=10)
    assert (again.status_code, "can't be promoted" in again.json()["error"]) == (400, True)
    served.wait_for_shares(v7=100)


def test_the_page_shows_and_decides_in_a_browser(served, browser):
    served.stage(6)
    served.wait_for_shares(v7=90, v6=10)
    url = served.state["operators_url"]
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_selector("text=Roll back version 6")
    assert page.inner_text("h2") == "taxi"
    rows = [row.split("\t")[:3] for row in page.inner_text("table").splitlines()[1:]]
    assert rows == [["6", "canary", "10%"], ["7", "stable", "90%"]]
    page.fill("#token", served.folder.token.read_text().strip())
    page.click("text=Roll back version 6")
    page.wait_for_selector("text=Version 6 was rolled back")
    assert "version 7 of taxi is stable" in page.inner_text("#said")
    assert {each.removeprefix(url) for each in asked} <= {"/", "/state.json", "/rollback", "/favicon.ico"}
    page.close()
    served.wait_for_shares(v7=100)


def test_what_can_t_start_is_told(served):
    served.push(8, fails=True)
    served.stage(8)
    served.wait(lambda: served.state["models"]["taxi"]["decided"]["version"] == 8, "version 8 isn't given up")
    assert "has ended by itself" in served.state["models"]["taxi"]["decided"]["reasons"][0]
    told = served.pipeyard("logs", "taxi/8")
    assert "this model can't be loaded" in told.stdout
    assert "version 7: ready, 100% of requests" in served.pipeyard("status").stdout


def test_stop_leaves_logs_alone(served):
    keeper = psutil.Process(psutil.Process(_supervisor(served)).ppid())
    assert served.pipeyard("stop").stdout == "Stopped.\n"
    assert not is_alive(keeper)
    assert served.processes() == []
    assert {path.name for path in served.folder.own.iterdir()} == {"logs"}
    assert served.pipeyard("stop").stdout == "Nothing is served.\n"
    assert served.pipeyard("logs", "--remove").returncode == 0
    assert not start_serving.is_served(served.folder)
