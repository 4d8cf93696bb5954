"""Packages in Cloud Storage: never overwritten, whole or not there, on good and on bad days."""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.api_core.exceptions import Forbidden
from google.cloud import storage as google_storage
from google.oauth2 import service_account
from servers.storage import BUCKET, storage

from pipeyard.deployment import pointers, uploads
from pipeyard.errors import PipeyardError
from pipeyard.packages import archives, packages
from pipeyard.system import bucket

TEXT = "pipelineInfo: {name: taxi}\nschemaVersion: 2.1.0\n"
PLACE = f"gs://{BUCKET}/packages"


@pytest.fixture
def server():
    with storage() as started:
        yield started


@pytest.fixture
def place(server):
    return bucket.connect(PLACE)


def _package(letter: str, text: str = TEXT, vertex: bytes | None = b"{}\n") -> packages.Package:
    described = archives.manifest("taxi", text, letter * 40, {}, b"")
    return packages.of_archive(archives.workflow(text, described), vertex=vertex)


def _before(earlier: str, later: str) -> bool:
    return earlier < later


def test_a_package_is_uploaded_once_and_named_by_latest(place):
    package = _package("a")
    first = uploads.upload(place, package, _before)
    assert first.uri == f"{PLACE}/taxi/{'a' * 40}-{package.content}/workflow.tar.gz"
    assert (first.created, first.latest) == (True, "a" * 40)
    assert place.read(f"taxi/{first.version}/workflow.tar.gz")[0] == package.files["workflow.tar.gz"]
    generation = place.read("taxi/latest.json")[1]
    named = pointers.read(place, "taxi/latest.json")
    assert named["files"] == dict(first.files)
    again = uploads.upload(place, package, _before)
    assert not again.created
    assert place.read("taxi/latest.json")[1] == generation  # nothing was written
    assert uploads.fetch(place, "taxi", named["version"]) == package


def test_the_same_content_of_a_later_commit_is_there_already(place):
    first = uploads.upload(place, _package("a"), _before)
    later = uploads.upload(place, _package("b"), _before)
    assert (later.created, later.version, later.latest) == (False, first.version, "b" * 40)
    assert uploads.latest(place, "taxi")["version"] == first.version


def test_what_is_there_with_other_content_is_never_overwritten(place):
    package = _package("a")
    path = f"taxi/{package.version}/vertex.json"
    place.keep(path, b'{"other": 1}\n', "application/json")
    with pytest.raises(PipeyardError, match="is there with other content, and is never overwritten"):
        uploads.upload(place, package, _before)
    assert place.read(path)[0] == b'{"other": 1}\n'
    assert uploads.latest(place, "taxi") is None


def test_latest_is_not_taken_back_by_a_build_that_ends_late(place):
    uploads.upload(place, _package("b", TEXT + "b: 1\n"), _before)
    late = uploads.upload(place, _package("a"), _before)
    assert (late.created, late.latest) == (True, "b" * 40)


def test_many_at_a_time_leave_one_package_and_a_whole_pointer(place):
    """Half of them of one commit, half of another."""
    made, failed = [], []

    def work(letter: str) -> None:
        try:
            made.append(uploads.upload(bucket.connect(PLACE), _package(letter, f"{TEXT}{letter}: 1\n"), _before))
        except PipeyardError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "abababab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len({each.uri for each in made}) == 2
    assert uploads.latest(place, "taxi")["commit"] == "b" * 40
    assert len(place.paths("taxi/")) == 5


def test_a_connection_that_is_cut_in_mid_upload_is_made_good(server, place):
    data = os.urandom(3 * bucket.CHUNK)
    server.network.cut(after=int(1.5 * bucket.CHUNK), times=2)
    stored = place.keep("taxi/large/workflow.tar.gz", data, "application/gzip")
    assert server.network.hurt >= 1
    assert place.read("taxi/large/workflow.tar.gz") == (data, stored.generation)


def test_an_upload_that_never_gets_through_ends_in_bounded_time_and_can_be_repeated(server):
    place = bucket.connect(PLACE, patience=3)
    data = os.urandom(2 * bucket.CHUNK)
    server.network.cut(after=256 * 1024, times=1000)
    started = time.monotonic()
    with pytest.raises(PipeyardError, match=r"Cloud Storage can't be reached .*run the same command again"):
        place.keep("taxi/x/workflow.tar.gz", data, "application/gzip")
    assert time.monotonic() - started < 10
    server.network.cut(after=0, times=0)
    assert place.read("taxi/x/workflow.tar.gz") is None
    assert place.keep("taxi/x/workflow.tar.gz", data, "application/gzip").created


def test_a_server_that_hangs_or_is_gone_is_named_in_bounded_time(server):
    place = bucket.connect(PLACE, patience=1.5)
    server.network.hold()
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(PipeyardError, match="can't be reached"):
            uploads.latest(place, "taxi")
        assert time.monotonic() - started < 6
        server.network.close()


def test_a_bucket_that_is_missing_and_one_that_is_none_are_told(server):
    with pytest.raises(PipeyardError, match="there is no such bucket. Create it, or correct `bucket`"):
        uploads.latest(bucket.connect("gs://nowhere"), "taxi")
    with pytest.raises(PipeyardError, match="there is no such bucket"):
        uploads.upload(bucket.connect("gs://nowhere/x"), _package("a"), _before)
    with pytest.raises(PipeyardError, match="isn't gs://BUCKET"):
        bucket.connect("s3://acme")


def test_who_may_use_objects_alone_can_upload(place, monkeypatch):
    def forbidden(**_):
        raise Forbidden("no storage.buckets.get")

    monkeypatch.setattr(google_storage.Bucket, "exists", lambda self, **_: forbidden())
    assert uploads.latest(place, "taxi") is None
    assert uploads.upload(place, _package("a"), _before).created


def test_a_damaged_pointer_is_told(place):
    place.write("taxi/latest.json", b"{", bucket.NO_OBJECT)
    with pytest.raises(PipeyardError, match="latest.json is damaged"):
        uploads.latest(place, "taxi")


def test_a_pointer_that_others_change_all_the_time_is_told(place, monkeypatch):
    def changed(*_):
        raise bucket.PreconditionFailed

    monkeypatch.setattr(place, "write", changed)
    waits = []
    with pytest.raises(PipeyardError, match="taxi/latest.json was changed by others 12 times in a row. Run the same"):
        pointers.move(place, "taxi/latest.json", {"commit": "a"}, _before, waits.append)
    assert len(waits) == 11


def test_without_credentials_it_says_how_to_get_some(monkeypatch, tmp_path):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(PipeyardError, match="no credentials .*gcloud auth application-default login"):
        bucket.connect(PLACE)


@pytest.fixture
def key_of_a_skewed_clock():
    """A service account whose tokens' server finds them to be of another time."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            said = b'{"error": "invalid_grant", "error_description": "Check your iat and exp values in the JWT claim."}'
            self.send_response(400)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    yield service_account.Credentials.from_service_account_info(
        {
            "client_email": "builder@acme.test",
            "private_key": pem.decode(),
            "token_uri": f"http://127.0.0.1:{httpd.server_port}/token",
        },
        scopes=["https://www.googleapis.com/auth/devstorage.read_write"],
    )
    httpd.shutdown()
    httpd.server_close()


def test_a_clock_that_is_off_is_told_and_no_secret_is(server, key_of_a_skewed_clock):
    client = google_storage.Client(
        project="acme", credentials=key_of_a_skewed_clock, client_options={"api_endpoint": server.url}
    )
    place = bucket.Bucket(PLACE, client, patience=2)
    for call in (lambda: uploads.latest(place, "taxi"), lambda: uploads.upload(place, _package("a"), _before)):
        with pytest.raises(PipeyardError, match="weren't taken .*invalid_grant.*this machine's clock is off") as caught:
            call()
        assert "PRIVATE KEY" not in str(caught.value)


def test_a_damaged_package_is_named():
    with pytest.raises(PipeyardError, match="workflow.tar.gz is damaged"):
        packages.of_archive(b"x")
    lacking = archives.workflow(TEXT, json.loads("{}"))
    with pytest.raises(PipeyardError, match="workflow.tar.gz is damaged: KeyError"):
        packages.of_archive(lacking)
