"""Compare-and-swap of small objects: the same behaviour of a file and of an object in Cloud Storage."""

import threading

import pytest
from google.cloud import storage as storage_client
from servers.storage import BUCKET, storage

from pipeyard.errors import PipeyardError
from pipeyard.system import bucket, conditional_store
from pipeyard.system.conditional_store import VersionChanged


@pytest.fixture(scope="module")
def served():
    with storage():
        yield f"gs://{BUCKET}/conditional"


@pytest.fixture(params=["a file", "an object"])
def object_at(request, tmp_path, served):
    """Returns a function that gives an object by name, each time with a connection of its own."""
    place = str(tmp_path) if request.param == "a file" else served
    return lambda name: conditional_store.object_at(place, f"{request.node.name}/{name}", 10)


def _increment(content):
    number = int(content or b"0") + 1
    return str(number).encode(), number


def test_what_is_absent_is_created_by_one_writer_alone(object_at):
    one, other = object_at("n.json"), object_at("n.json")
    (content, version), (_, same) = one.read(), other.read()
    assert content is None
    one.write(b"1", version)
    with pytest.raises(VersionChanged):
        other.write(b"2", same)
    assert one.read()[0] == b"1"


def test_a_write_over_what_somebody_else_wrote_is_refused(object_at):
    one, other = object_at("n.json"), object_at("n.json")
    one.write(b"1", one.read()[1])
    version = one.read()[1]
    other.write(b"2", other.read()[1])
    with pytest.raises(VersionChanged):
        one.write(b"3", version)
    assert one.read()[0] == b"2"


def test_an_empty_object_is_not_an_absent_one(object_at):
    one = object_at("n.json")
    absent = one.read()[1]
    one.write(b"", absent)
    assert one.read()[0] == b""
    with pytest.raises(VersionChanged):
        object_at("n.json").write(b"1", absent)


def test_parts_are_in_a_folder_of_the_object_s_name(object_at):
    one = object_at("deep/n.json")
    one.part("0a").write(b"1", one.part("0a").read()[1])
    assert object_at("deep/n/0a").read()[0] == b"1"
    assert str(one.part("0a")).endswith("/deep/n/0a")
    assert one.read()[0] is None


def test_an_update_that_changes_nothing_writes_nothing(object_at):
    one = object_at("n.json")
    assert conditional_store.update(one, lambda content: (content, "kept"), "") == "kept"
    assert one.read()[0] is None
    one.write(b"1", one.read()[1])
    version = one.read()[1]
    assert conditional_store.update(one, lambda content: (content, "kept"), "") == "kept"
    assert one.read() == (b"1", version)


def test_whoever_is_slower_reads_again_and_nothing_is_lost(object_at):
    seen = []

    def change(content):
        seen.append(content)
        if len(seen) == 1:  # somebody else is quicker
            conditional_store.update(object_at("n.json"), _increment, "")
        return _increment(content)

    assert conditional_store.update(object_at("n.json"), change, "", lambda _: None) == 2
    assert seen == [None, b"1"]
    assert object_at("n.json").read()[0] == b"2"


def test_every_increment_of_many_at_once_counts(object_at):
    results = []

    def work():
        one = object_at("n.json")
        results.extend(conditional_store.update(one, _increment, "") for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(1, 13))
    assert object_at("n.json").read()[0] == b"12"


def test_constant_changes_by_others_are_given_up_with_what_to_do(object_at):
    waits = []

    def change(content):
        conditional_store.update(object_at("n.json"), _increment, "")
        return _increment(content)

    with pytest.raises(PipeyardError, match=r"n\.json was changed by others 12 times in a row\. Do it again\."):
        conditional_store.update(object_at("n.json"), change, "Do it again.", waits.append)
    assert object_at("n.json").read()[0] == b"12"
    assert len(waits) == 11
    assert all(wait <= 4 for wait in waits) and sum(waits) > 0


def test_other_errors_are_raised_at_once(object_at):
    calls = []

    def change(_content):
        calls.append(1)
        raise PipeyardError("damaged")

    with pytest.raises(PipeyardError, match="^damaged$"):
        conditional_store.update(object_at("n.json"), change, "")
    assert calls == [1]


def test_a_write_whose_answer_was_lost_counts_as_written_and_that_of_another_writer_does_not(served, monkeypatch):
    one = conditional_store.object_at(served, "lost.json", 10)
    send = storage_client.Blob.upload_from_file

    def send_twice(blob, stream, **options):
        send(blob, stream, **options)
        stream.seek(0)
        send(blob, stream, **options)

    version = one.read()[1]
    with monkeypatch.context() as lossy:
        lossy.setattr(storage_client.Blob, "upload_from_file", send_twice)
        one.write(b"{}", version)
    assert one.read()[0] == b"{}"
    with pytest.raises(VersionChanged):
        one.write(b"{}", version)


def test_an_object_of_a_connected_bucket_is_the_same_as_by_its_place(served):
    conditional_store.object_in(bucket.connect(served), "same.json").write(b"1", bucket.NO_OBJECT)
    assert conditional_store.object_at(served, "same.json", 10).read()[0] == b"1"
