"""Versions of pipelines in Kubeflow Pipelines, through kfp's own client."""

import threading
import warnings

import pytest
from kubeflow_server import KubeflowServer, Refused

from pipeyard import packaging
from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import pipelines


@pytest.fixture
def server():
    started = KubeflowServer()
    yield started
    started.close()


@pytest.fixture
def client(server):
    return _client(server.url)


def _client(url):
    import kfp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return kfp.Client(host=url)


@pytest.fixture
def package(tmp_path):
    """Makes a package of a commit (one letter, forty times) and a compiled pipeline."""

    def make(letter: str, text: str = "pipelineInfo: {name: taxi}\nschemaVersion: 2.1.0\n"):
        described = packaging.manifest("taxi", text, letter * 40, {}, b"")
        path = tmp_path / f"{letter}-{len(text)}.tar.gz"
        path.write_bytes(packaging.workflow(text, described))
        return path

    return make


def test_versions_of_one_pipeline(server, client, package):
    first = pipelines.ensure_version(client, package("a", "one: 1\n"))
    second = pipelines.ensure_version(client, package("b", "two: 22\n"))
    assert [each["name"] for each in server.pipelines.values()] == ["taxi"]
    assert first.pipeline_id == second.pipeline_id
    assert [each["name"] for each in server.versions.values()] == [first.name, second.name]
    assert first.name.startswith("a" * 40 + "-") and first.created and second.created
    assert server.versions[second.version_id]["tags"]["commit"] == "b" * 40


def test_the_same_content_is_there_already_whichever_commit_it_is_of(server, client, package):
    for text in ("one: 1\n", "two: 22\n", "three: 333\n"):  # more than a page
        pipelines.ensure_version(client, package("a", text))
    again = pipelines.ensure_version(client, package("a", "three: 333\n"))
    later = pipelines.ensure_version(client, package("b", "three: 333\n"))
    assert (again.created, later.created) == (False, False)
    assert again.version_id == later.version_id
    assert server.uploads == 3


def test_two_at_a_time_make_one_version(server, package):
    path = package("a")
    found = []

    def deploy():
        found.append(pipelines.ensure_version(_client(server.url), path))

    threads = [threading.Thread(target=deploy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.pipelines) == len(server.versions) == 1
    assert {each.version_id for each in found} == set(server.versions)
    assert len(found) == 4


def test_a_damaged_package_and_a_server_that_is_gone_are_named(server, client, package, tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"x")
    with pytest.raises(PipeyardError, match="x.tar.gz is damaged"):
        pipelines.ensure_version(client, tmp_path / "x.tar.gz")
    path = package("a")
    server.close()
    with pytest.raises(PipeyardError, match="Kubeflow Pipelines can't be reached .looking for the pipeline 'taxi'"):
        pipelines.ensure_version(client, path)


def test_what_the_server_refuses_is_told(server, client, package, monkeypatch):
    monkeypatch.setattr(server, "pipeline_named", _refuse)
    with pytest.raises(PipeyardError, match="looking for the pipeline 'taxi' failed: 500 .*the database is locked"):
        pipelines.ensure_version(client, package("a"))


def _refuse(name):
    raise Refused(500, f"{name}: the database is locked")
