import http.server
import threading

import fsspec
import pytest

from stepkit import uris
from stepkit.errors import StepError


@pytest.fixture(name="memory")
def fixture_memory():
    files = fsspec.filesystem("memory")
    files.pipe({"/bucket/a/x.txt": b"one", "/bucket/a/deep/y.txt": b"two", "/bucket/bad.txt": b"\xff"})
    yield files
    files.rm("/bucket", recursive=True)


def test_what_is_remote(tmp_path):
    assert uris.is_remote("gs://a/b")
    assert uris.is_remote("s3://a")
    assert not uris.is_remote("file:///a/b")
    assert not uris.is_remote("a/b:c")
    assert str(uris.local_part("file:///a/b")) == "/a/b"
    assert uris.join("gs://a/", "b", "c") == "gs://a/b/c"
    assert uris.exists(str(tmp_path))
    assert not uris.exists(f"file://{tmp_path}/nope")


def test_remote_files(memory):
    assert memory.exists("/bucket/a")
    assert uris.exists("memory://bucket/a")
    assert not uris.exists("memory://bucket/b")
    assert uris.read_text("memory://bucket/a/x.txt", "schema") == "one"


@pytest.mark.parametrize("uri", ["memory://bucket/nope.txt", "{folder}/nope.txt", "{folder}"])
def test_reading_what_is_not_there(tmp_path, memory, uri):
    assert memory.exists("/bucket")
    with pytest.raises(StepError, match="^No schema at .*Check the path; relative ones start at "):
        uris.read_text(uri.format(folder=tmp_path), "schema")


def test_reading_what_is_no_text(memory):
    assert memory.exists("/bucket/bad.txt")
    with pytest.raises(
        StepError, match=r"The schema at 'memory://bucket/bad.txt' isn't UTF-8 text .* Save it as UTF-8"
    ):
        uris.read_text("memory://bucket/bad.txt", "schema")


def test_an_unknown_scheme():
    with pytest.raises(StepError, match="Can't open 'nosuch://x': .* Use a local path, gs://, s3://"):
        uris.exists("nosuch://x")


def test_local_copies(tmp_path, memory):
    assert memory.exists("/bucket/a")
    with uris.local_copy("memory://bucket/a/x.txt", "data") as path:
        assert path.read_text(encoding="utf-8") == "one"
    assert not path.exists()
    with uris.local_copy("memory://bucket/a", "data") as path:
        assert {str(file.relative_to(path)) for file in path.rglob("*.txt")} == {"x.txt", "deep/y.txt"}
    assert not path.exists()
    with uris.local_copy(f"file://{tmp_path}", "data") as path:
        assert path == tmp_path
    assert tmp_path.exists()
    with pytest.raises(StepError, match="No data at 'memory://bucket/b'"), uris.local_copy("memory://bucket/b", "data"):
        raise AssertionError


@pytest.fixture(name="no_access", autouse=True)
def fixture_no_access(monkeypatch):
    for name in uris.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(name="s3")
def fixture_s3():
    """An S3 server with one object; gives its port and what it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.headers["Host"], self.path, self.headers["Authorization"]))
            found = self.path == "/mlpipeline/v2/schema.pbtxt"
            body = b"one" if found else b"<Error><Code>NoSuchKey</Code></Error>"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_minio_is_s3_at_the_endpoint_and_with_the_credentials_of_the_environment(monkeypatch, s3, variable):
    port, asked = s3
    # A name, as in a cluster: the bucket has to be in the path, for no other name leads there.
    monkeypatch.setenv(variable, f"http://localhost:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    assert uris.read_text("minio://mlpipeline/v2/schema.pbtxt", "schema") == "one"
    ((host, path, authorization), *_) = asked
    assert (host, path) == (f"localhost:{port}", "/mlpipeline/v2/schema.pbtxt")
    assert "Credential=the-key/" in authorization


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ENDPOINT_URL": "http://minio:9000"}, "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ENDPOINT_URL": "http://minio:9000", "AWS_ACCESS_KEY_ID": "x"}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "store"}, "AWS_ENDPOINT_URL"),
    ],
)
def test_minio_without_access_is_refused_and_told_what_to_set(monkeypatch, given, missing):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StepError, match=f"Can't open 'minio://b/k': .* Set {missing} in the step's environment"):
        uris.filesystem("minio://b/k")
