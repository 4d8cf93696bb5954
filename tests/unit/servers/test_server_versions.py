"""What the server's version can't do of a pipeline, and how the version is read."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Optional

import pytest
import yaml
from kfp import compiler, dsl

from pipeyard import settings
from pipeyard.ir import derivation
from pipeyard.servers.kubeflow import connection, server_versions

PAGE = Path(__file__).parents[3] / "docs/kubeflow.md"
IMAGE = "host.io/i@sha256:1"
LEFT_OUT = "an argument that is left out, outside of `if`/`isPresent`"
PRESENT = "`if`/`isPresent` in a component's command"
OF_ARTIFACT = "`if`/`isPresent` of an artifact"
CONCAT = "`concat` in a component's command"
STATUS = "the final status in an exit handler"
COLLECTED = "what a loop's steps made, collected (`dsl.Collected`)"
LITERALS = "`Literal` parameters (IR: `literals`)"
DOWNLOADS = "an importer that downloads to the workspace (IR: `downloadToWorkspace`)"
WORKSPACE = "a workspace (`dsl.PipelineConfig(workspace=...)`)"
TTL = "how long workflows are kept (`dsl.PipelineConfig(ttl_seconds_after_...)`)"
DEADLINE = "`deadline` of a whole run"
RETRIES = "`retries` of a step"
LOOPED = "`retries` of a step in a loop"


def _step(*arguments: object) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=IMAGE, command=["c"], args=list(arguments))


@dsl.container_component
def plain(n: int):
    return _step("--n", n)


@dsl.container_component
def defaulted(n: int = 1):
    return _step("--n", n)


@dsl.container_component
def perhaps(n: Optional[int] = None):  # noqa: UP045  # kfp reads no other form
    return _step(dsl.IfPresentPlaceholder(input_name="n", then=["--n", n]))


@dsl.container_component
def perhaps_data(data: dsl.Input[dsl.Dataset] = None):
    return _step(dsl.IfPresentPlaceholder(input_name="data", then=["--data", data.path]))


@dsl.container_component
def joined(n: int):
    return _step(dsl.ConcatPlaceholder(["--n=", n]))


@dsl.container_component
def number(n: int, out: dsl.OutputPath(int)):
    return _step(n, out)


@dsl.container_component
def data(out: dsl.Output[dsl.Dataset]):
    return _step(out.path)


@dsl.container_component
def told(status: dsl.PipelineTaskFinalStatus):
    return _step(status)


@dsl.container_component
def total(numbers: list):
    return _step(numbers)


@dsl.pipeline(name="p")
def modest():
    plain(n=1)


@dsl.pipeline(name="p")
def leaves_out():
    defaulted()
    defaulted(n=2)


@dsl.pipeline(name="p")
def present():
    perhaps()


@dsl.pipeline(name="p")
def artifact_present():
    perhaps_data(data=data().outputs["out"])


@dsl.pipeline(name="p")
def artifact_absent():
    perhaps_data()


@dsl.pipeline(name="p")
def concatenated():
    joined(n=1)


@dsl.pipeline(name="p")
def handled():
    with dsl.ExitHandler(told()):
        plain(n=1)


@dsl.pipeline(name="p")
def collected():
    with dsl.ParallelFor([1, 2]) as item:
        made = number(n=item)
    total(numbers=dsl.Collected(made.outputs["out"]))


@dsl.pipeline(name="p", pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")))
def workspace():
    plain(n=1)


@dsl.pipeline(name="p", pipeline_config=dsl.PipelineConfig(ttl_seconds_after_finished=60))
def kept():
    plain(n=1)


@dsl.pipeline(name="p", pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")))
def downloads():
    dsl.importer(artifact_uri="gs://a", artifact_class=dsl.Dataset, download_to_workspace=True)


@pytest.fixture
def warned(tmp_path):
    """Returns what is lacking of a pipeline on a server, with what is affected."""

    def go(name: str, pipeline, deadline=None, retries=None) -> dict[str, str]:
        path = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        text = derivation.derive(path.read_text(encoding="utf-8"), deadline, retries or {})
        told = server_versions.warnings(name, text)
        whats = {each.what: each for each in server_versions.DIFFERENCES}
        found = {what: line for line in told for what in whats if f": {what}; {whats[what].instead}. " in line}
        assert len(found) == len(told)
        return {what: line.rpartition("Affected: ")[2] for what, line in found.items()}

    return go


@pytest.mark.parametrize(
    ("pipeline", "what", "affected", "lacking", "having"),
    [
        (leaves_out, LEFT_OUT, "defaulted", ["2.17.0"], ["2.16.1", "2.17.1"]),
        (present, PRESENT, "perhaps", ["2.5.0", "2.16.1"], ["2.17.0", "2.17.2"]),
        (artifact_present, OF_ARTIFACT, "perhaps-data", ["2.17.0"], ["2.17.1"]),
        (concatenated, CONCAT, "joined", ["2.5.0", "2.17.3"], []),
        (handled, STATUS, "told", ["2.5.0"], ["2.14.0"]),
        (collected, COLLECTED, "total", ["2.5.0"], ["2.14.3", "v2.17.0"]),
        (downloads, DOWNLOADS, "importer", ["2.14.6"], ["2.15.0"]),
        (workspace, WORKSPACE, "the pipeline", ["2.5.0"], ["2.14.0"]),
        (kept, TTL, "the pipeline", ["2.16.1"], ["2.17.0"]),
    ],
)
def test_what_a_pipeline_needs_is_named_on_servers_that_lack_it(warned, pipeline, what, affected, lacking, having):
    for name in lacking:
        assert warned(name, pipeline)[what] == affected, name
    for name in having:
        assert what not in warned(name, pipeline), name


def test_a_field_of_the_ir_that_is_newer_than_the_server_is_told(tmp_path):
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(modest, str(path))
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    spec["components"]["comp-plain"]["inputDefinitions"]["parameters"]["n"]["literals"] = [1, 2]
    (told,) = server_versions.warnings("2.15.2", yaml.safe_dump(spec))
    assert told == (
        f"the server, 2.15.2, can't do this (before 2.16.0): {LITERALS}; the server refuses the pipeline: `unknown "
        "template format`. Affected: the pipeline"
    )
    assert server_versions.warnings("2.16.0", yaml.safe_dump(spec)) == []


def test_a_deadline_and_retries_need_a_server_that_keeps_them(warned):
    assert warned("2.16.1", modest, deadline=60.0) == {DEADLINE: "the pipeline"}
    assert warned("2.17.0", modest, deadline=60.0) == {}
    assert warned("2.3.0", modest, retries={"plain": 1}) == {RETRIES: "plain"}
    assert warned("2.17.1", modest, retries={"plain": 1}) == {}
    assert warned("2.17.3", collected, retries={"*": 1})[LOOPED] == "for-loop-2/number"


def test_nothing_is_said_of_a_pipeline_that_any_server_runs(warned):
    for name in ("2.5.0", "2.17.0", "dev_local", ""):
        assert warned(name, modest) == {}
    assert OF_ARTIFACT not in warned("2.17.0", artifact_absent)


@pytest.mark.parametrize("name", ["", "dev_local", "unknown", "master", "2.17", "release-2.17"])
def test_an_unknown_version_is_said_with_all_that_depends_on_it(tmp_path, name):
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(leaves_out, str(path))
    (told,) = server_versions.warnings(name, path.read_text(encoding="utf-8"))
    how = f"calls its version {name!r}, which is no release" if name else "doesn't tell its version"
    assert told.startswith(f"the server {how}. Some servers can't do this (from 2.17.0 before 2.17.1): ")


@pytest.mark.parametrize(
    ("name", "version"), [("2.17.0", (2, 17, 0)), ("v2.16.1", (2, 16, 1)), ("2.17.0-rc.1", (2, 17, 0)), ("dev", None)]
)
def test_names_of_versions_are_read(name, version):
    assert server_versions.parse(name) == version


def test_the_page_has_the_table():
    assert f"\n{server_versions.table()}\n" in PAGE.read_text(encoding="utf-8"), (
        f"Put this into {PAGE.name}:\n{server_versions.table()}"
    )


@pytest.fixture
def answering():
    """A server that answers healthz; returns a connection to it, and what it was asked."""
    started = []

    def go(status: int, body: bytes, content_type: str = "application/json"):
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        started.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        place = settings.Environment(name="dev", target="kfp", host=host, bucket="gs://abc", pipeline_root="gs://abc/r")
        return connection.connect(place), asked

    yield go
    for server in started:
        server.shutdown()
        server.server_close()


def test_the_version_is_read_from_healthz_as_it_was_recorded(answering):
    said = {"commit_sha": "0" * 40, "tag_name": "2.17.0", "multi_user": False, "pipeline_store": "database"}
    server, asked = answering(200, json.dumps(said).encode())
    assert server_versions.read(server) == "2.17.0"
    assert asked == ["/apis/v2beta1/healthz"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"{}"),
        (200, b"[]"),
        (200, b'{"tag_name": null}'),
        (200, b"<html>login</html>"),
        (404, b'{"code": 5, "message": "Not Found"}'),
        (500, b""),
        (403, b""),
    ],
)
def test_a_version_that_cant_be_read_fails_nothing(answering, status, body):
    server, asked = answering(status, body)
    assert server_versions.read(server) == ""
    assert len(asked) == 1
