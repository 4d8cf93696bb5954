"""Stores on a server that is private, slow, broken or gone, and the cache that does without it."""

import base64
import contextlib
import hashlib
import logging
import multiprocessing
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from support import component_stores
from support.component_stores import image_of, spec

from pipeyard.component_store import Basic, ComponentNotFoundError, ComponentStore, Token, layout
from pipeyard.errors import PipeyardError
from pipeyard_components.spec_cache import Cached, SpecCache

SECRET = "s3cr3t-t0k3n"


class Server:
    """An HTTP server of files, on the loopback.

    Attributes:
        files: what it serves, by path.
        faults: what it does instead, by path, once each: a status, "cut" (in the midst of the body), "drop" (before any
            answer), or a number of seconds to wait.
        required: the header and value without which it answers 401.
        moved: another server's URL that it redirects everything to.
        query: what it adds to that URL, as whoever signs URLs does.
        kind: of what it serves.
        asked: how often it was asked for each path.
        headers: those of the last request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list] = {}
        self.required: tuple[str, str] | None = None
        self.moved = self.query = self.kind = ""
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.lstrip("/").partition("?")[0]
        self.asked[path] += 1
        self.headers = dict(request.headers)
        fault = self.faults[path].pop(0) if self.faults.get(path) else None
        if fault == "drop":
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        if isinstance(fault, float):
            time.sleep(fault)
        body = self.files.get(path, b"")
        status = 200 if path in self.files else 404
        header, value = self.required or ("", None)
        if request.headers.get(header) != value:
            status, body = 401, b""
        if isinstance(fault, int):
            status, body = fault, b"broken"
        request.send_response(302 if self.moved else status)
        if self.moved:
            request.send_header("Location", f"{self.moved}/{path}{self.query}")
        if self.kind:
            request.send_header("Content-Type", self.kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        with contextlib.suppress(OSError):  # who asked may have given up
            request.wfile.write(body[: len(body) // 2] if fault == "cut" else body)

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()


@pytest.fixture
def server():
    started = Server()
    started.files, *_ = component_stores.two_versions()
    yield started
    started.close()


@pytest.fixture
def store(server, tmp_path):
    return ComponentStore(url_search_prefixes=[server.url], cache_dir=tmp_path / "cache", timeout=0.5)


FIRST = layout.digest_of(spec(image="busybox:1"))


def test_newest_tag_and_digest(store, server):
    assert image_of(store.load_component("echo")) == "busybox:2"
    assert image_of(store.load_component("echo", tag="v1")) == "busybox:1"
    loaded = store.load_component("echo", digest=FIRST)
    assert loaded.location == f"{server.url}/echo/versions/sha256/{FIRST}"
    server.files["echo/versions/tags/stable"] = (
        f"../sha256/{FIRST}".encode()
    )  # a link, as raw file servers of Git give it
    assert image_of(store.load_component("echo", tag="stable")) == "busybox:1"


@pytest.mark.parametrize("fault", [500, 503, 429, "cut", "drop", 0.8])
def test_a_passing_fault_is_overcome(store, server, fault):
    server.faults["echo/component.yaml"] = [fault]
    assert image_of(store.load_component("echo")) == "busybox:2"
    assert server.asked["echo/component.yaml"] == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (500, "500 Internal Server Error"),
        (403, "403 Forbidden: give this prefix credentials"),
        ("cut", "the answer broke off 4 times"),
        ("drop", "unreachable: .*without response"),
        (0.8, "timed out"),
    ],
)
def test_a_lasting_fault_is_told(store, server, fault, reason):
    server.faults["echo/component.yaml"] = [fault] * 9
    with pytest.raises(ComponentNotFoundError, match=f"{server.url}/echo/component.yaml: {reason}"):
        store.load_component("echo")
    assert server.asked["echo/component.yaml"] <= 4


def test_an_answer_that_never_ends_is_given_up(server, tmp_path):
    def drip(request):
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(200):
                request.wfile.write(b"#")
                time.sleep(0.05)

    server.answer = drip
    store = ComponentStore(url_search_prefixes=[server.url], cache_dir=tmp_path, timeout=0.1)
    with pytest.raises(ComponentNotFoundError, match="timed out: the answer took longer than 0.6 s"):
        store.load_component("echo")


def test_a_host_that_is_not_there(server, tmp_path):
    server.close()
    store = ComponentStore(
        [tmp_path],
        url_search_prefixes=[server.url],
        cache_dir=tmp_path / "cache",
        auth=Token("STORE_TOKEN"),
        timeout=0.5,
    )
    with pytest.raises(PipeyardError, match="'STORE_TOKEN' isn't set"):
        store.load_component("echo")
    store = ComponentStore([tmp_path], url_search_prefixes=[server.url], cache_dir=tmp_path / "cache", timeout=0.5)
    with pytest.raises(ComponentNotFoundError) as error:
        store.load_component("echo")
    assert f"looked for {tmp_path}/echo/component.yaml: not there\n" in str(error.value)
    assert f"looked for {server.url}/echo/component.yaml: unreachable: " in str(error.value)
    assert "Connection refused" in str(error.value)


def test_a_place_that_fails_is_passed_over_and_it_is_said(server, tmp_path, caplog):
    gone = Server()
    gone.close()
    store = ComponentStore(url_search_prefixes=[gone.url, server.url], cache_dir=tmp_path, timeout=0.5)
    assert image_of(store.load_component("echo")) == "busybox:2"
    assert f"{gone.url}/echo/component.yaml was passed over: unreachable" in caplog.text


def test_a_wrong_name_and_a_wrong_tag_are_told_from_the_index(store, server):
    with pytest.raises(ComponentNotFoundError) as error:
        store.load_component("eco")
    assert f"{server.url}/eco/component.yaml: 404 Not Found" in str(error.value)
    assert f"Names there are unknown: {server.url} (can't be listed: no index.json" in str(error.value)
    entry = layout.IndexEntry("Says it.", (FIRST,), {"v1": FIRST, "latest": FIRST})
    server.files["index.json"] = layout.write_index({"echo": entry, "tell": layout.IndexEntry()})
    with pytest.raises(ComponentNotFoundError, match="Did you mean 'echo'"):
        store.load_component("eco")
    with pytest.raises(ComponentNotFoundError, match="of its tags: Did you mean 'latest'"):
        store.load_component("echo", tag="lates")
    assert [(found.name, found.description) for found in store.search("says")] == [("echo", "Says it.")]


def test_a_tampered_version_is_refused_and_not_kept(store, server):
    path = layout.digest_path("echo", FIRST)
    whole = server.files[path]
    server.files[path] = whole.replace(b"busybox", b"evil")
    with pytest.raises(ComponentNotFoundError, match="wrong digest"):
        store.load_component("echo", digest=FIRST)
    server.files[path] = whole
    assert image_of(store.load_component("echo", digest=FIRST)) == "busybox:1"


AUTHS = [
    (Token("STORE_TOKEN"), ("Authorization", f"Bearer {SECRET}")),
    (Token("STORE_TOKEN", header="PRIVATE-TOKEN", scheme=""), ("PRIVATE-TOKEN", SECRET)),
    (Basic("ann", "STORE_TOKEN"), ("Authorization", f"Basic {base64.b64encode(f'ann:{SECRET}'.encode()).decode()}")),
    (("ann", SECRET), ("Authorization", f"Basic {base64.b64encode(f'ann:{SECRET}'.encode()).decode()}")),
]


@pytest.mark.parametrize(("auth", "required"), AUTHS)
def test_a_private_server(server, tmp_path, monkeypatch, caplog, auth, required):
    server.required = required
    monkeypatch.setenv("STORE_TOKEN", SECRET)
    store = ComponentStore(url_search_prefixes=[server.url], auth={server.url: auth}, cache_dir=tmp_path, timeout=0.5)
    with caplog.at_level(logging.DEBUG):
        assert store.load_component("echo")
        with pytest.raises(ComponentNotFoundError) as error:
            store.load_component("tell")
    assert SECRET not in f"{caplog.text}{error.value}"
    stranger = ComponentStore(url_search_prefixes=[server.url], cache_dir=tmp_path, timeout=0.5)
    with pytest.raises(ComponentNotFoundError, match="401 Unauthorized: give this prefix credentials"):
        stranger.load_component("echo")


def test_netrc(store, server, tmp_path, monkeypatch):
    server.required = AUTHS[2][1]
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login ann password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert store.load_component("echo")


@pytest.mark.parametrize(("auth", "required"), AUTHS[:2])
def test_credentials_stay_with_their_host(server, tmp_path, monkeypatch, auth, required):
    monkeypatch.setenv("STORE_TOKEN", SECRET)
    first = Server()
    first.moved = server.url
    store = ComponentStore(url_search_prefixes=[first.url], auth={first.url: auth}, cache_dir=tmp_path, timeout=0.5)
    assert store.load_component("echo")
    assert first.headers[required[0]] == required[1]
    assert required[0] not in server.headers
    first.close()


class _Own(requests.auth.AuthBase):
    """Credentials of a user's own class, in a header that nobody else knows."""

    def __call__(self, request):
        request.headers["X-Store-Key"] = SECRET
        return request


def test_credentials_of_any_class_stay_with_their_host(server, tmp_path):
    first = Server()
    first.moved = server.url
    store = ComponentStore(url_search_prefixes=[first.url], auth={first.url: _Own()}, cache_dir=tmp_path, timeout=0.5)
    assert store.load_component("echo")
    assert first.headers["X-Store-Key"] == SECRET
    assert "X-Store-Key" not in server.headers
    assert server.headers["User-Agent"] == first.headers["User-Agent"]
    first.close()


@pytest.mark.parametrize(
    ("required", "files", "kind", "reason"),
    [
        (None, {}, "", r"404 Not Found from {final}, where it was redirected to"),
        (
            ("X", "y"),
            {},
            "",
            "401 Unauthorized from {final}, .* gets no credentials of {first}: give its own URL as a pr",
        ),
        (None, {"echo/component.yaml": b"<html>"}, "text/html; charset=utf-8", "a page for people from {final}, where"),
    ],
)
def test_a_redirection_is_told_by_its_last_address(server, tmp_path, required, files, kind, reason):
    server.required, server.files, server.kind = required, files, kind
    first = Server()
    first.moved, first.query = server.url, f"?signature={SECRET}"
    store = ComponentStore(url_search_prefixes=[first.url], cache_dir=tmp_path, timeout=0.5)
    told = reason.format(final=f"{server.url}/echo/component.yaml", first=first.url)
    with pytest.raises(ComponentNotFoundError, match=f"looked for {first.url}/echo/component.yaml: {told}") as error:
        store.load_component("echo")
    assert SECRET not in str(error.value)
    first.close()


def test_a_redirection_to_a_host_that_is_gone_names_it(server, tmp_path):
    first = Server()
    first.moved = server.url
    server.close()
    store = ComponentStore(url_search_prefixes=[first.url], cache_dir=tmp_path, timeout=0.5)
    with pytest.raises(
        ComponentNotFoundError, match=f"Connection refused from {server.url}/echo/component.yaml, where"
    ):
        store.load_component("echo")
    first.close()


def test_a_redirection_in_a_circle_and_one_to_no_url_are_told(server, tmp_path):
    server.moved = server.url
    store = ComponentStore(url_search_prefixes=[server.url], cache_dir=tmp_path, timeout=0.5)
    with pytest.raises(ComponentNotFoundError, match="unreachable: Exceeded 30 redirects"):
        store.load_component("echo")
    server.moved = "ftp://127.0.0.1"
    with pytest.raises(ComponentNotFoundError, match="No connection adapters were found"):
        store.load_component("echo")


def test_credentials_for_several_hosts_or_in_the_clear_are_refused():
    with pytest.raises(PipeyardError, match="would go to 2 hosts"):
        ComponentStore(url_search_prefixes=["https://a.test/x", "https://b.test"], auth=Token("STORE_TOKEN"))
    with pytest.raises(PipeyardError, match="Use https://"):
        ComponentStore(url_search_prefixes=["http://a.test/x"], auth=Token("STORE_TOKEN"))
    with pytest.raises(PipeyardError) as error:
        ComponentStore(url_search_prefixes=[f"https://ann:{SECRET}@a.test/x"])
    assert SECRET not in str(error.value)


def test_a_host_that_only_begins_alike_gets_no_credentials(server, tmp_path, monkeypatch):
    monkeypatch.setenv("STORE_TOKEN", SECRET)
    auth = {server.url[:-1]: Token("STORE_TOKEN")}
    ComponentStore(url_search_prefixes=[server.url], auth=auth, cache_dir=tmp_path).load_component("echo")
    assert "Authorization" not in server.headers


def test_a_url_by_itself(store, server):
    url = f"{server.url}/echo/component.yaml"
    assert store.load_component_from_url(url).location == url
    with pytest.raises(ComponentNotFoundError, match="wrong digest"):
        store.load_component_from_url(url, digest=FIRST)


def _offline(server, tmp_path):
    return ComponentStore(url_search_prefixes=[server.url], cache_dir=tmp_path / "cache", offline=True)


def test_a_digest_is_read_once_and_a_tag_again(store, server):
    path = layout.digest_path("echo", FIRST)
    for _ in range(3):
        store.load_component("echo", digest=FIRST)
        store.load_component("echo", tag="v1")
    assert (server.asked[path], server.asked["echo/versions/tags/v1"]) == (1, 3)


def test_offline_gives_what_was_read(store, server, tmp_path):
    store.load_component("echo", tag="v1")
    store.load_component("echo", digest=FIRST)
    server.close()
    offline = _offline(server, tmp_path)
    assert image_of(offline.load_component("echo", tag="v1")) == "busybox:1"
    assert image_of(offline.load_component("echo", digest=FIRST)) == "busybox:1"
    with pytest.raises(ComponentNotFoundError, match="component.yaml: not in the cache, and offline"):
        offline.load_component("echo")


def test_a_broken_cache_is_not_believed(store, server, tmp_path):
    store.load_component("echo", digest=FIRST)
    (kept,) = (tmp_path / "cache/sha256").iterdir()
    kept.write_bytes(kept.read_bytes()[:10])
    with pytest.raises(ComponentNotFoundError, match="not in the cache, and offline"):
        _offline(server, tmp_path).load_component("echo", digest=FIRST)
    assert image_of(store.load_component("echo", digest=FIRST)) == "busybox:1"
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == kept.name


def test_a_cache_that_cannot_be_written_is_done_without(server, tmp_path, caplog):
    (tmp_path / "file").touch()
    store = ComponentStore(url_search_prefixes=[server.url], cache_dir=tmp_path / "file/cache")
    assert store.load_component("echo")
    assert "can't be kept in the cache" in caplog.text


def _fill(folder, barrier, number):
    cache = SpecCache(folder)
    barrier.wait()
    for turn in range(50):
        cache.put("https://a.test/x", f"{number} {turn}\n".encode() * 1000)
        seen = cache.get("https://a.test/x")
        assert seen is not None
        assert len(set(seen.splitlines())) == 1


def test_processes_share_a_cache(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_fill, args=(tmp_path, barrier, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert not list(tmp_path.rglob("*.partial"))


def test_what_is_no_text_is_not_kept(tmp_path):
    class Binary:
        def location(self, path):
            return f"https://a.test/{path}"

        def read(self, _path):
            return b"\xff\xfe"

    cache = SpecCache(tmp_path)
    assert Cached(Binary(), cache, offline=False).read("x") == b"\xff\xfe"
    assert cache.get("https://a.test/x") is None
