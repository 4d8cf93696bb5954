"""Versions of pipelines in Kubeflow Pipelines, against a server with the real one's rules."""

import threading

import pytest
from kubeflow_connections import connect
from servers.kubeflow import Fault, KubeflowServer, examples

from pipeyard import packaging
from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import pipelines


@pytest.fixture
def server():
    with KubeflowServer(largest_page=2) as started:
        yield started


@pytest.fixture
def connection(server):
    return connect(server)


@pytest.fixture
def package(tmp_path):
    """Makes a package of a commit (one letter, forty times) and of a pipeline that prints a text."""
    return lambda letter, content="one": examples.package(tmp_path, letter * 40, examples.pipeline(content=content))


def test_versions_of_one_pipeline(server, connection, package):
    first = pipelines.ensure_version(connection, package("a", "one"))
    second = pipelines.ensure_version(connection, package("b", "two"))
    assert [each["name"] for each in server.store.pipelines.values()] == ["taxi"]
    assert first.pipeline_id == second.pipeline_id
    assert [each["name"] for each in server.store.versions.values()] == [first.name, second.name]
    assert first.name.startswith("a" * 40 + "-") and first.created and second.created
    assert server.store.versions[second.version_id]["tags"]["commit"] == "b" * 40
    assert second.tags["commit"] == "b" * 40


def test_the_same_content_is_there_already_whichever_commit_it_is_of(server, connection, package):
    for text in ("one", "two", "three"):  # more than a page
        pipelines.ensure_version(connection, package("a", text))
    again = pipelines.ensure_version(connection, package("a", "three"))
    later = pipelines.ensure_version(connection, package("b", "three"))
    assert (again.created, later.created) == (False, False)
    assert again.version_id == later.version_id
    assert len(uploads(server)) == 3


def test_two_at_a_time_make_one_version(server, package):
    path = package("a")
    found = []

    def deploy():
        found.append(pipelines.ensure_version(connect(server), path))

    threads = [threading.Thread(target=deploy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.store.pipelines) == len(server.store.versions) == 1
    assert {each.version_id for each in found} == set(server.store.versions)
    assert len(found) == 4


def test_looking_for_versions_changes_nothing(server, connection, package):
    assert pipelines.find_version(connection, "taxi", "0" * 64) is None
    archive = package("a")
    made = pipelines.ensure_version(connection, archive)
    content = packaging.unpack(archive.read_bytes(), "it")[1]["pipeline_sha256"]
    before = len(server.requests)
    assert pipelines.find_version(connection, "taxi", content).version_id == made.version_id
    assert pipelines.find_version(connection, "taxi", "0" * 64) is None
    spec = pipelines.specification(connection, made)
    assert spec["pipeline_spec"]["pipelineInfo"]["name"] == "taxi"
    assert {each.split()[0] for each in server.requests[before:]} == {"GET"}


@pytest.mark.parametrize("cut", ["reading", "before", "after", "answering"])
def test_a_connection_that_breaks_in_an_upload_makes_no_second_version(server, connection, package, cut):
    server.faults.append(Fault("upload_version", cut=cut, times=2))
    made = pipelines.ensure_version(connection, package("a"))
    assert list(server.store.versions) == [made.version_id]


def test_a_damaged_package_and_a_server_that_is_gone_are_named(server, package, tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"x")
    connection = connect(server)
    with pytest.raises(PipeyardError, match="x.tar.gz is damaged"):
        pipelines.ensure_version(connection, tmp_path / "x.tar.gz")
    path = package("a")
    server.close()
    with pytest.raises(PipeyardError, match="can't be reached at .* .looking for the pipeline 'taxi'.*: .*refused"):
        pipelines.ensure_version(connection, path)


def test_what_the_server_refuses_is_told(server, connection, package):
    server.faults.append(Fault("names/taxi", status=403))
    with pytest.raises(
        PipeyardError, match="looking for the pipeline 'taxi' failed: 403 .*as the test wants it.*may not"
    ):
        pipelines.ensure_version(connection, package("a"))


def uploads(server):
    return [each for each in server.requests if "upload" in each]


# What the real server doesn't take


def test_a_version_s_tags_fit_and_hold_what_its_content_is_found_by(server, connection, package):
    archive = package("a")
    made = pipelines.ensure_version(connection, archive)
    content = packaging.unpack(archive.read_bytes(), "it")[1]["pipeline_sha256"]
    tags = server.store.versions[made.version_id]["tags"]
    assert tags == {"commit": "a" * 40, "content": content[:40]}
    assert all(len(key) <= 63 and len(value) <= 63 for key, value in tags.items())
    assert pipelines.find_version(connection, "taxi", content).version_id == made.version_id
    assert pipelines.find_version(connection, "taxi", content[:12] + "0" * 52) is None  # same name, other content


def test_a_version_that_was_made_with_the_former_tag_is_found(server, connection, package):
    archive = package("a")
    content = packaging.unpack(archive.read_bytes(), "it")[1]["pipeline_sha256"]
    made = pipelines.ensure_version(connection, archive)
    server.store.versions[made.version_id]["tags"] = {"commit": "a" * 40, "pipeline_sha256": content}
    again = pipelines.ensure_version(connection, package("b"))
    assert (again.version_id, again.created) == (made.version_id, False)
    server.store.versions[made.version_id]["tags"]["pipeline_sha256"] = content[:12] + "0" * 52
    assert pipelines.find_version(connection, "taxi", content) is None


def test_a_pipeline_that_the_server_has_in_another_case_is_named(server, connection, package):
    server.store.add_pipeline({"name": "Taxi"})
    with pytest.raises(PipeyardError, match="has a pipeline 'Taxi', which is the same name as 'taxi' to it"):
        pipelines.ensure_version(connection, package("a"))
    assert uploads(server) == []


def test_a_pipeline_s_name_that_does_not_fit_is_refused_before_anything_is_asked(server, connection, tmp_path):
    before = len(server.requests)
    for name, told in [("ü" * 70, "has 140 bytes; the server takes 128"), ("taxi\U0001f600", "answers 500")]:
        with pytest.raises(PipeyardError, match=told):
            pipelines.ensure_version(
                connection, examples.package(tmp_path / str(len(name)), "a" * 40, examples.pipeline(), name)
            )
    assert len(server.requests) == before
