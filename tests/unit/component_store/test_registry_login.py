"""Logging in to container registries that give tokens, and who is told nothing."""

import base64
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from support.component_stores import spec

from pipeyard.component_store import Basic, ComponentNotFoundError, ComponentStore, Token, layout
from pipeyard.images import references, registry
from pipeyard_components import oci_layout, registry_login
from pipeyard_components.oci_layout import Artifact

_ARTIFACT = Artifact(oci_layout.COMPONENT, {layout.SPEC: spec()})


@dataclass
class TokenRegistry:
    """A registry with one component, `echo`, which only takes tokens of its own.

    Attributes:
        realm: where it says that tokens are to be had; itself by default.
        scopes: that tokens were asked for.
        logins: headers `Authorization` that came with those questions.
        elsewhere: where it sends those who ask for blobs, if anywhere.
    """

    realm: str = ""
    elsewhere: str = ""
    scopes: list[str] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    host: str = ""

    def answer(self, path: str, authorization: str | None) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(path)
        if url.path == "/token":
            self.scopes += parse_qs(url.query)["scope"]
            self.logins.append(authorization)
            return 200, {}, b'{"token": "granted"}'
        self.authorizations.append(authorization)
        if authorization not in {"Bearer granted", "Bearer mine"}:
            realm = self.realm or f"http://{self.host}/token"
            return 401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="here"'}, b""
        if self.elsewhere and "/blobs/" in url.path:
            return 307, {"Location": f"{self.elsewhere}{url.path}"}, b""
        return 200, {}, _ARTIFACT.manifest if "/manifests/" in url.path else spec()


@pytest.fixture
def here() -> Iterator[TokenRegistry]:
    yield from _serving("127.0.0.1")


@pytest.fixture
def there() -> Iterator[TokenRegistry]:
    yield from _serving("127.0.0.2")


def _serving(address: str) -> Iterator[TokenRegistry]:
    found = TokenRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = found.answer(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer((address, 0), Handler) as server:
        found.host = f"{address}:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture(autouse=True)
def _logged_in_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("SECRET", "mine")


def _store(registry: TokenRegistry, tmp_path, auth=None) -> ComponentStore:
    return ComponentStore(url_search_prefixes=[f"oci://{registry.host}/specs"], auth=auth, cache_dir=tmp_path / "cache")


def test_a_token_is_had_once_and_only_for_reading(here, tmp_path):
    store = _store(here, tmp_path, Basic("ann", "SECRET"))
    assert store.load_component("echo", tag="v1").digest == layout.digest_of(spec())
    login = "Basic " + base64.b64encode(b"ann:mine").decode()
    assert (here.scopes, here.logins) == (["repository:specs/echo:pull"], [login])
    assert here.authorizations[:2] == [None, "Bearer granted"], "nothing is sent before it is asked for"


def test_nobody_in_particular_gets_a_token_too(here, tmp_path):
    assert _store(here, tmp_path).load_component("echo")
    assert here.logins == [None]


def test_a_token_of_ones_own_is_sent_as_it_is(here, tmp_path):
    assert _store(here, tmp_path, Token("SECRET")).load_component("echo")
    assert here.scopes == []
    assert "Bearer mine" in here.authorizations


def test_the_toolchain_asks_for_leave_to_push(here):
    client = registry.Registry(lambda host: ("ann", "mine") if host == here.host else None)
    assert client.manifest(references.parse(f"{here.host}/specs/echo:v1")).body == _ARTIFACT.manifest
    assert here.scopes == ["repository:specs/echo:pull,push"]


def test_who_is_redirected_to_is_told_nothing(here, there, tmp_path):
    here.elsewhere = f"http://{there.host}"
    store = _store(here, tmp_path, Basic("ann", "SECRET"))
    with pytest.raises(ComponentNotFoundError, match=f"which gets no credentials of http://{here.host}"):
        store.load_component("echo")
    assert set(there.authorizations) == {None} and there.logins == []


def test_a_login_never_crosses_the_network_readable(here, tmp_path):
    here.realm = "http://tokens.example.com/token"
    with pytest.raises(ComponentNotFoundError, match="401 Unauthorized: log in"):
        _store(here, tmp_path, Basic("ann", "SECRET")).load_component("echo")


def test_netrc_counts_where_docker_has_no_login(here, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login bo password sesame\n", encoding="utf-8")
    assert _store(here, tmp_path).load_component("echo")
    assert here.logins == ["Basic " + base64.b64encode(b"bo:sesame").decode()]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("docker.io", "https://registry-1.docker.io/v2"),
        ("eu-docker.pkg.dev", "https://eu-docker.pkg.dev/v2"),
        ("localhost:5000", "http://localhost:5000/v2"),
        ("[::1]:5000", "http://[::1]:5000/v2"),
        ("127.example.com", "https://127.example.com/v2"),
    ],
)
def test_only_this_machine_is_asked_without_encryption(host, url):
    assert registry_login.api_of(host) == url


def test_without_the_library_there_is_no_docker_login(monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    assert registry_login.docker_login("registry.example.com") is None
