"""Stores in buckets: gcsfs and s3fs against a server on the loopback that speaks what they need of both protocols."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import component_stores
import fsspec
import pytest
from component_stores import image_of

from pipeyard.component_store import ComponentNotFoundError, ComponentStore, layout
from pipeyard.errors import PipeyardError

BUCKET = "models"
# gcsfs asks for a bucket's kind over gRPC, with TLS, before its first request. It reads this when it is imported.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


class Bucket:
    """A bucket over HTTP, in the protocols of Google Cloud Storage (JSON) and S3 (XML): reading and listing."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {f"components/{path}": data for path, data in files.items()}
        self.denied = False
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name  # http.server's
                status, kind, body = bucket.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, target: str) -> tuple[int, str, bytes]:
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        google = "/storage/v1/" in url.path
        if self.denied:
            body = (
                b'{"error": {"code": 403, "message": "no"}}' if google else b"<Error><Code>AccessDenied</Code></Error>"
            )
            return 403, "application/json" if google else "application/xml", body
        name = url.path.partition("/o/")[2] if google else url.path.removeprefix(f"/{BUCKET}").lstrip("/")
        if not name:
            return self._list(google, query.get("prefix", ""), query.get("delimiter", ""))
        if unquote(name) in self.files:
            return 200, "application/octet-stream", self.files[unquote(name)]
        return 404, "application/xml", b"<Error><Code>NoSuchKey</Code></Error>"

    def _list(self, google: bool, prefix: str, delimiter: str) -> tuple[int, str, bytes]:
        below = sorted(path for path in self.files if path.startswith(prefix))
        keys = [path for path in below if not delimiter or delimiter not in path[len(prefix) :]]
        folders = sorted(
            {prefix + path[len(prefix) :].split(delimiter)[0] + delimiter for path in set(below) - set(keys)}
        )
        if google:
            items = [{"name": key, "bucket": BUCKET, "size": str(len(self.files[key]))} for key in keys]
            return 200, "application/json", json.dumps({"items": items, "prefixes": folders}).encode()
        contents = "".join(f"<Contents><Key>{key}</Key><Size>{len(self.files[key])}</Size></Contents>" for key in keys)
        prefixes = "".join(f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>" for each in folders)
        count = f"<KeyCount>{len(keys) + len(folders)}</KeyCount>"
        return 200, "application/xml", f"<ListBucketResult>{count}{contents}{prefixes}</ListBucketResult>".encode()

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    started = Bucket(component_stores.two_versions()[0])
    yield started
    started.close()


@pytest.fixture(params=["gs", "s3"])
def place(request, bucket):
    """A prefix, and fsspec's options to reach it."""
    if request.param == "gs":
        return f"gs://{BUCKET}/components", {"token": "anon", "endpoint_url": bucket.url}
    return f"s3://{BUCKET}/components", {"anon": True, "endpoint_url": bucket.url}


@pytest.fixture
def store(place, tmp_path):
    prefix, options = place
    return ComponentStore(url_search_prefixes=[prefix], auth={prefix: options}, cache_dir=tmp_path / "cache", timeout=2)


def test_versions(store, place):
    _, first, second = component_stores.two_versions()
    assert image_of(store.load_component("echo")) == "busybox:2"
    assert image_of(store.load_component("echo", tag="v1")) == "busybox:1"
    loaded = store.load_component("echo", digest=second)
    assert loaded.location == f"{place[0]}/echo/versions/sha256/{second}"
    assert image_of(store.load_components({"echo": f"sha256:{first}"}).echo) == "busybox:1"


def test_misses_name_what_there_is(store, place):
    with pytest.raises(
        ComponentNotFoundError,
        match="of its tags: Did you mean 'latest'? There are: 'latest', 'v1', 'v2'".replace("?", r"\?"),
    ):
        store.load_component("echo", tag="lates")
    with pytest.raises(ComponentNotFoundError) as error:
        store.load_component("eco")
    assert f"looked for {place[0]}/eco/component.yaml: not there" in str(error.value)
    assert "Did you mean 'echo'?" in str(error.value)
    assert [found.name for found in store.search("ec")] == ["echo"]


def test_what_was_published_since_is_seen(store, bucket):
    with pytest.raises(ComponentNotFoundError):
        store.load_component("tell")
    files = layout.publication("tell", component_stores.spec("tell"))
    bucket.files |= {f"components/{path}": data for path, data in files.items()}
    assert store.load_component("tell")
    assert [found.name for found in store.search()] == ["echo", "tell"]


def test_a_denied_bucket(store, bucket):
    bucket.denied = True
    with pytest.raises(
        ComponentNotFoundError, match=r"component.yaml: not permitted \((?s:.)*give fsspec's options with auth="
    ):
        store.load_component("echo")


def test_a_tampered_version_is_refused(store, bucket):
    _, first, _ = component_stores.two_versions()
    bucket.files[f"components/echo/versions/sha256/{first}"] += b"# more\n"
    with pytest.raises(ComponentNotFoundError, match="wrong digest"):
        store.load_component("echo", digest=first)


def test_offline(store, place, tmp_path):
    _, first, _ = component_stores.two_versions()
    store.load_component("echo", digest=first)
    offline = ComponentStore(url_search_prefixes=[place[0]], cache_dir=tmp_path / "cache", offline=True)
    assert offline.load_component("echo", digest=first).digest == first
    with pytest.raises(ComponentNotFoundError, match="not in the cache, and offline"):
        offline.load_component("echo", tag="v1")


def test_whatever_else_fsspec_knows(tmp_path):
    memory = fsspec.filesystem("memory")
    for path, data in component_stores.two_versions()[0].items():
        memory.pipe_file(f"/test-component-store/{path}", data)
    store = ComponentStore(url_search_prefixes=["memory://test-component-store"], cache_dir=tmp_path)
    assert image_of(store.load_component("echo", tag="v1")) == "busybox:1"
    with pytest.raises(ComponentNotFoundError, match="Did you mean 'echo'"):
        store.load_component("ecko")


def test_a_missing_library_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    loaded = sys.modules["fsspec.registry"]._registry  # pylint: disable=protected-access
    monkeypatch.delitem(loaded, "gs", raising=False)
    with pytest.raises(PipeyardError, match="gs://models/components needs gcsfs, which isn't installed"):
        ComponentStore(url_search_prefixes=["gs://models/components"], cache_dir=tmp_path)
