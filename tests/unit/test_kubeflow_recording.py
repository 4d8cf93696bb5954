"""The tests' server answers a recording's requests as the real server of Kubeflow Pipelines did.

Alike are: status, content type, whether the body is JSON, the fields that it has with their kinds, and an error's gRPC
code. Texts, ids and numbers aren't compared; of a list its first element is.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from servers.kubeflow import KubeflowServer

RECORDED = Path(__file__).parents[1] / "servers/kubeflow/recorded/answers.jsonl"
# Fields that are whole documents, whose content isn't compared.
_DOCUMENTS = {"pipeline_spec", "workflow_manifest"}
_EARLIER = "the recorded server held more than a page of pipelines from earlier days"
_SECOND = "which of what was made within the same second comes first is chance on the real server: its ids are random"
# The reasons why a fresh server can't answer alike.
DIFFERENT = {
    "pipelines/list": _EARLIER,
    "pipelines/list page_size 0": _EARLIER,
    "pipelines/list sort_by name": _EARLIER,
    "pipelines/list sort_by display_name desc": _EARLIER,
    "pipelines/list sort_by created_at desc": _EARLIER,
    "pipelines/list sort_by id": _EARLIER,
    "versions/versions": _SECOND,
    "runs/list sort state": _SECOND,
    "runs/list all": "the recorded server held runs from earlier days, the first of them without a pipeline root",
}


class Replay:
    """Makes the recorded requests of one server, in order."""

    def __init__(self, url: str) -> None:
        self._base = f"{url}/apis/v2beta1/"
        self._kept: dict[str, Any] = {}

    def differences(self, entry: dict) -> list[str]:
        """Makes a request and returns how its answer differs from the recorded one."""
        real = entry["real"]
        status, kind, body = self._answer(entry)
        if isinstance(body, dict):
            self._kept |= {name: body.get(field) for name, field in entry.get("keep", {}).items()}
        if status != real["status"]:
            return [f"status {status}, recorded {real['status']}: {json.dumps(body)[:300]}"]
        found = []
        if kind != real["content_type"]:
            found.append(f"content type {kind}, recorded {real['content_type']}")
        if (body is None) == ("fields" in real):
            found.append("JSON" if body is not None else "no JSON")
        elif body is not None:
            found += _differing(dict(fields(body)), real["fields"])
        if status >= 400 and isinstance(body, dict) and body.get("code") != real.get("code"):
            found.append(f"code {body.get('code')}, recorded {real.get('code')}")
        return found

    def _answer(self, entry: dict) -> tuple[int, str, Any]:
        """Returns status, content type and JSON; 0 if there is no answer, None if it is no JSON."""
        content: dict[str, Any] = {}
        if "upload" in entry:
            file = entry["upload"]
            data = base64.b64decode(file["content"])
            content["files"] = {"uploadfile": (file["filename"], data, "application/octet-stream")}
        elif "raw" in entry:
            content = {"data": base64.b64decode(entry["raw"]), "headers": {"Content-Type": "application/json"}}
        elif "body" in entry:
            content["json"] = self._filled(entry["body"])
        url = requests.Request("GET", self._base, params=self._filled(entry.get("query") or {})).prepare().url
        # The path goes as it is recorded, also where it isn't the shortest.
        prepared = requests.Request(entry["method"], self._base, **content).prepare()
        prepared.url = self._base + self._filled(entry["path"]) + url[len(self._base) :]
        try:
            with requests.Session() as session:
                answer = session.send(prepared, timeout=30)
        except requests.ConnectionError:
            return 0, "", None
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        try:
            body = answer.json()
        except ValueError:
            body = None
        return answer.status_code, kind, body

    def _filled(self, value: Any) -> Any:
        """Puts what was kept of earlier answers in the place of `$NAME`."""
        if isinstance(value, str):
            return re.sub(r"\$(\w+)", lambda match: str(self._kept.get(match[1], match[0])), value)
        if isinstance(value, dict):
            return {key: self._filled(each) for key, each in value.items()}
        return [self._filled(each) for each in value] if isinstance(value, list) else value


def fields(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields the path of each field with the kind of its value."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from [(f"{path}.{key}", "SPEC")] if key in _DOCUMENTS else fields(each, f"{path}.{key}")
    elif isinstance(value, list):
        yield f"{path}[]", "list" if value else "empty"
        if value:
            yield from fields(value[0], f"{path}[0]")
    else:
        yield path, _kind(value)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null"}.get(value, str(value))
    if isinstance(value, int | float):
        return "number"
    if re.fullmatch(r"\d{4}-\d\d-\d\dT.*", value):
        return "timeZ" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value) else "time?"
    return "uuid" if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", value) else "str"


def _differing(found: dict[str, str], recorded: dict[str, str]) -> Iterator[str]:
    for path in sorted({*found, *recorded}):
        if found.get(path) != recorded.get(path):
            yield f"{path} is {found.get(path, 'absent')}, recorded {recorded.get(path, 'absent')}"


def entries() -> list[tuple[str, dict]]:
    """Returns the recorded requests, each by its section and label."""
    lines = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    return [(f"{each['section']}/{each['label']}", each) for each in lines]


def replayed(server: KubeflowServer) -> dict[int, tuple[str, list[str]]]:
    """Replays all, and returns the name and the differences of those that differ, by their number."""
    replay = Replay(server.url)
    found = {number: (name, replay.differences(entry)) for number, (name, entry) in enumerate(entries())}
    return {number: (name, differences) for number, (name, differences) in found.items() if differences}


@pytest.fixture(scope="module")
def fresh():
    with KubeflowServer() as server:
        return replayed(server)


def test_the_server_answers_as_recorded(fresh):
    unknown = [f"{name}: {'; '.join(told)}" for name, told in fresh.values() if name not in DIFFERENT]
    assert not unknown, "\n".join(["these answers differ from the recorded ones:", *unknown])


def test_each_reason_is_needed_and_none_is_for_a_server_that_is_laxer(fresh):
    assert {name for name, _ in fresh.values()} == set(DIFFERENT)
    assert len(fresh) == len(DIFFERENT) <= 15
    statuses = {name: entry["real"]["status"] for name, entry in entries()}
    assert {statuses[name] for name in DIFFERENT} == {200}


def test_303_requests_were_recorded_and_a_second_replay_counts_the_same(fresh):
    assert len(entries()) == 303
    with KubeflowServer() as server:
        again = replayed(server)
    assert again.keys() == fresh.keys()


def test_with_earlier_pipelines_and_runs_what_differed_for_them_is_alike():
    with KubeflowServer() as server:
        pipelines = [server.store.add_pipeline({"name": f"earlier-{number}"}) for number in range(20)]
        text = next(
            each["upload"] for _, each in entries() if each.get("upload", {}).get("filename") == "pipeline.yaml"
        )
        made = {"name": "earlier", "pipeline_id": pipelines[0]["pipeline_id"]}
        server.store.add_version(made, base64.b64decode(text["content"]))
        reference = {"pipeline_id": pipelines[0]["pipeline_id"]}
        config = {"parameters": {"epochs": 1}}
        server.store.add_run({"display_name": "e", "pipeline_version_reference": reference, "runtime_config": config})
        assert {name for name, _ in replayed(server).values()} == {"versions/versions"}


def test_a_difference_is_told_with_what_was_recorded():
    with KubeflowServer() as server:
        replay = Replay(server.url)
        real = {"status": 200, "content_type": "application/json", "fields": {".a": "str"}, "code": None}
        entry = {"method": "GET", "path": "healthz", "query": None, "real": real}
        assert ".a is absent, recorded str" in replay.differences(entry)
        assert ".tag_name is str, recorded absent" in replay.differences(entry)
        [told] = replay.differences({**entry, "real": {**real, "status": 404}})
        assert told.startswith("status 200, recorded 404")
        assert "no JSON" not in told
