"""Component stores in a real OCI registry, which wants a login and keeps its blobs elsewhere."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests
from faulty_proxy import FaultyProxy
from kfp import compiler, dsl
from sandbox import registry as registries
from sandbox.registry import Registry
from support import component_stores
from support.component_stores import spec

from pipeyard.catalog import catalog_stores, stored_components
from pipeyard.component_store import Basic, ComponentNotFoundError, ComponentStore, layout
from pipeyard.errors import PipeyardError
from pipeyard.releases import publication, withdrawals
from pipeyard.releases.publication import Ledger
from pipeyard_components import Locks
from pipeyard_components.version_states import YANKED, VersionState

USER, PASSWORD = "ann", "open sesame"
# `htpasswd -nbB ann "open sesame"`, with the least cost.
LOGINS = f"{USER}:$2b$04$xXAztIp1I65EwFJ8fkM3g.JMM66HJuok4prvkGeljRXxio9tMMycq"


@dataclass
class Blobs:
    """A server of the registry's files, as a cloud's storage is one.

    Attributes:
        folder: what it serves.
        broken: so many answers to come are 503.
        credentials: headers `Authorization` that came.
    """

    folder: Path = Path()
    broken: int = 0
    asked: Counter = field(default_factory=Counter)
    credentials: list[str | None] = field(default_factory=list)

    def answer(self, path: str, authorization: str | None) -> tuple[int, bytes]:
        self.credentials.append(authorization)
        self.asked[path.rsplit("/", 2)[-2]] += 1
        if self.broken:
            self.broken -= 1
            return 503, b""
        return 200, (self.folder / path.lstrip("/")).read_bytes()


@pytest.fixture(scope="module")
def blobs() -> Iterator[tuple[Blobs, str]]:
    found = Blobs()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = found.answer(self.path.partition("?")[0], self.headers.get("Authorization"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.2", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield found, f"http://127.0.0.2:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def private(_installed: None, blobs: tuple[Blobs, str]) -> Iterator[Registry]:
    with registries.running(LOGINS, blobs[1]) as found:
        blobs[0].folder = found.folder / "data"
        yield found


@pytest.fixture(scope="module", autouse=True)
def _logged_in(private: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("docker")
    _docker_login(folder, private.host)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", str(folder))
        yield


def _docker_login(folder: Path, *hosts: str) -> None:
    folder.mkdir(exist_ok=True)
    entry = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    (folder / "config.json").write_text(json.dumps({"auths": dict.fromkeys(hosts, entry)}), encoding="utf-8")


@dsl.container_component
def hello():
    return dsl.ContainerSpec(image="busybox", command=["echo"])


@dsl.pipeline(name="hello")
def pipeline():
    hello()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path.read_bytes()


@pytest.fixture(scope="module")
def address(private: Registry) -> str:
    return f"oci://{private.host}/acme/specs"


@dataclass(frozen=True)
class Published:
    """Two releases of one store: what was published."""

    old: publication.Release
    new: publication.Release
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def published(_logged_in: None, address: str, compiled: bytes) -> Published:
    found = []
    files = {"pipelines/hello/pipeline.yaml": compiled, "pipelines/hello/vertex.json": b"{}", "sboms/echo.json": b"{}"}
    for number, commit in enumerate(("a" * 40, "b" * 40), 1):
        ledger = Ledger(publication.open_store(address))
        specs = {"echo": spec(image=f"busybox:{number}"), "other": spec("other")}
        release = publication.of(commit, specs, files)
        publication.publish(ledger, release, specs, files)
        publication.move(ledger, "latest", release)
        found.append(release)
    return Published(*found, files)


def test_what_is_published_is_loaded_by_name_digest_commit_and_channel(address, published, private, blobs, tmp_path):
    store = ComponentStore(url_search_prefixes=[address], cache_dir=tmp_path / "cache")
    old = published.old.components["echo"]
    assert component_stores.image_of(store.load_component("echo")) == "busybox:2"
    assert component_stores.image_of(store.load_component("echo", tag="latest")) == "busybox:2"
    assert component_stores.image_of(store.load_component("echo", tag="a" * 40)) == "busybox:1"
    loaded = store.load_component("echo", digest=old)
    assert (loaded.digest, loaded.location) == (old, f"{address}/echo@sha256:{old}")
    assert {found.name for found in store.search()} == {"echo", "other"}

    # One digest: of the specification, in the index, and of the registry's blob.
    path = address.removeprefix(f"oci://{private.host}/")
    url = f"http://{private.host}/v2/{path}/echo/blobs/sha256:{old}"
    answer = requests.head(url, auth=(USER, PASSWORD), timeout=5)
    assert answer.status_code == 307
    assert answer.headers["Location"].startswith(blobs[1])
    index = layout.read_index(publication.open_to_read(address).read(layout.INDEX))
    assert old in index["echo"].digests
    assert set(blobs[0].credentials) == {None}, "the storage got the registry's credentials"


def test_artifacts_are_those_that_other_clients_pull(address, published, private):
    path = address.removeprefix(f"oci://{private.host}/")

    def manifest(repository: str, tag: str) -> dict:
        url = f"http://{private.host}/v2/{path}/{repository}/manifests/{tag}"
        headers = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        answer = requests.get(url, headers=headers, auth=(USER, PASSWORD), timeout=5)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == headers["Accept"]
        return answer.json()

    component = manifest("echo", "latest")
    assert component["artifactType"] == "application/vnd.dev.pipeyard.component.v1"
    (layer,) = component["layers"]
    assert layer["mediaType"] == "application/vnd.dev.pipeyard.component.v1+yaml"
    assert layer["digest"] == f"sha256:{published.new.components['echo']}"
    layers = manifest("releases", "b" * 40)["layers"]
    files = {each["annotations"]["org.opencontainers.image.title"]: each for each in layers}
    assert files.keys() == {"release.json", *published.files}
    assert files["release.json"]["digest"] == f"sha256:{published.new.digest}"
    for name, data in published.files.items():
        assert files[name]["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert manifest("releases/hello", "latest")["artifactType"] == "application/vnd.dev.pipeyard.pipeline.v1"


def test_a_compiled_pipeline_is_pulled_and_is_the_same(published, address, compiled, tmp_path):
    store = ComponentStore(url_search_prefixes=[address], cache_dir=tmp_path / "cache")
    digest = hashlib.sha256(compiled).hexdigest()
    for reference in ("hello:latest", f"hello:{'a' * 40}", f"hello@sha256:{digest}"):
        loaded = store.load_component_from_url(f"{address}/releases/{reference}", digest=digest)
        assert loaded.text.encode() == compiled
    with pytest.raises(ComponentNotFoundError, match=r"releases/hello:lates: 404 Not Found"):
        store.load_component_from_url(f"{address}/releases/hello:lates")
    with pytest.raises(ComponentNotFoundError, match="write NAME:TAG or NAME@sha256:DIGEST"):
        store.load_component_from_url(f"{address}/releases/hello")


def test_a_catalog_is_made_of_it(published, address):
    stock = stored_components.read(catalog_stores.of([address]))
    assert stock.problems == ()
    assert {each.name for each in stock.components} == {"echo", "other"}


def test_a_release_is_made_once_and_never_becomes_another(address, published):
    specs = {"echo": spec(image="busybox:1"), "other": spec("other")}
    ledger = Ledger(publication.open_store(address))
    publication.publish(ledger, published.old, specs, published.files)
    assert ledger.written == []
    changed = {**specs, "echo": spec(image="busybox:3")}
    with pytest.raises(PipeyardError, match=r"released already, with other content: echo"):
        publication.publish(ledger, publication.of("a" * 40, changed, published.files), changed, published.files)
    assert publication.find(ledger, "latest") == published.new
    for release, image in [(published.old, "busybox:1"), (published.new, "busybox:2")]:
        publication.move(ledger, "latest", release)
        assert component_stores.image_of(ComponentStore(url_search_prefixes=[address]).load_component("echo")) == image


def test_a_lock_pins_verifies_and_works_offline(address, published, tmp_path):
    locks = Locks(tmp_path / "components.lock", cache_dir=tmp_path / "cache")
    found = locks.add(address, f"echo@{'a' * 40}")
    assert (found.digest, found.images) == (f"sha256:{published.old.components['echo']}", ("busybox:1",))
    assert locks.verify() == []
    offline = Locks(locks.path, offline=True, cache_dir=tmp_path / "cache")
    assert component_stores.image_of(offline.load_components("echo").echo) == "busybox:1"
    withdrawals.withdraw(Ledger(publication.open_store(address)), "echo", "a" * 40, VersionState(YANKED, "It lies."))
    assert [problem for problem in locks.verify() if "was yanked: It lies." in problem]


def test_without_a_login_nothing_is_read_and_the_remedy_is_said(published, address, private, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    nobody = ComponentStore(url_search_prefixes=[address], cache_dir=tmp_path / "cache")
    with pytest.raises(ComponentNotFoundError, match=f"401 Unauthorized: log in .docker login {private.host}"):
        nobody.load_component("echo")
    with pytest.raises(PipeyardError, match="401 Unauthorized"):
        publication.open_to_read(address).read(layout.INDEX)
    monkeypatch.setenv("REGISTRY_PASSWORD", PASSWORD)
    auth = {f"oci://{private.host}": Basic(USER, "REGISTRY_PASSWORD")}
    named = ComponentStore(url_search_prefixes=[address], auth=auth, cache_dir=tmp_path / "cache")
    assert component_stores.image_of(named.load_component("echo")) == "busybox:2"
    monkeypatch.setenv("REGISTRY_PASSWORD", "sesame")
    wrong = ComponentStore(url_search_prefixes=[address], auth=auth, cache_dir=tmp_path / "other")
    with pytest.raises(ComponentNotFoundError, match="401 Unauthorized"):
        wrong.load_component("echo")


def test_a_blob_that_is_gone_or_another_is_refused(published, address, private, tmp_path):
    lost = spec("lost", image="busybox:lost")
    digest = layout.digest_of(lost)
    place = publication.open_store(address)
    place.write(layout.digest_path("lost", digest), lost)
    place.write(layout.tag_path("lost", "v1"), lost)
    store = ComponentStore(url_search_prefixes=[address], cache_dir=tmp_path / "cache")
    blob = private.folder / "data/docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"
    blob.write_bytes(lost.replace(b"busybox:lost", b"busybox:evil"))
    for version in ({"tag": "v1"}, {"digest": digest}):
        with pytest.raises(ComponentNotFoundError, match="wrong digest: its content has sha256:"):
            store.load_component("lost", **version)
    blob.unlink()
    for version in ({"tag": "v1"}, {"digest": digest}):
        with pytest.raises(ComponentNotFoundError, match=f"no blob sha256:{digest[:12]} .404 Not Found"):
            store.load_component("lost", **version)
    with pytest.raises(ComponentNotFoundError, match=r"of its tags: Did you mean 'latest'"):
        store.load_component("echo", tag="latets")


def test_a_passing_fault_is_overcome(published, address, private, blobs, tmp_path, monkeypatch):
    with FaultyProxy(private.host).serving() as proxy:
        _docker_login(tmp_path / "docker", proxy.host)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
        proxy.break_down("manifests fail", times=2)
        publication.open_store(address.replace(private.host, proxy.host)).write(layout.tag_path("shaky", "v1"), spec())
        assert proxy.happened == 2
    monkeypatch.undo()
    blobs[0].broken = 2
    store = ComponentStore(url_search_prefixes=[address], cache_dir=tmp_path / "cache")
    assert store.load_component("shaky", tag="v1").digest == layout.digest_of(spec())
    assert blobs[0].broken == 0


def test_an_image_is_not_taken_for_a_component_nor_overwritten(address, private):
    place = publication.open_store(address)
    path = address.removeprefix(f"oci://{private.host}/")
    place.write(layout.tag_path("echo", "v1"), spec())  # so that the repository has a blob for the image
    image = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": f"sha256:{layout.digest_of(spec())}",
            "size": len(spec()),
        },
        "layers": [],
    }
    url = f"http://{private.host}/v2/{path}/echo/manifests/v2"
    headers = {"Content-Type": image["mediaType"]}
    assert requests.put(url, json.dumps(image), headers=headers, auth=(USER, PASSWORD), timeout=5).status_code == 201
    ledger = Ledger(place)
    with pytest.raises(PipeyardError, match="can't be written: .*config.v1.json, which is an image"):
        ledger.write(layout.tag_path("echo", "v2"), spec())
    with pytest.raises(ComponentNotFoundError, match="which is an image"):
        ComponentStore(url_search_prefixes=[address]).load_component("echo", tag="v2")


@pytest.mark.parametrize(
    ("path", "data", "message"),
    [
        (layout.tag_path("Echo", "v1"), spec(), "no repository of a registry can be called 'Echo'"),
        (layout.tag_path("echo", "_index"), spec(), "tags that begin with '_' are the store's own"),
        (
            layout.digest_path("echo", layout.digest_of(spec())),
            spec().replace(b"\n", b"\r\n"),
            "it has Windows' line ends",
        ),
    ],
)
def test_what_a_registry_cannot_have_is_refused(private, path, data, message):
    ledger = Ledger(publication.open_store(f"oci://{private.host}/acme/refused"))
    with pytest.raises(PipeyardError, match=message):
        ledger.write(path, data)
