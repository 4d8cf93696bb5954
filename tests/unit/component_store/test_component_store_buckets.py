"""Stores in buckets: gcsfs and s3fs against a server on the loopback that speaks what they need of both protocols."""

import sys
from collections.abc import Iterator

import fsspec
import pytest
from support import component_stores
from support.bucket_server import BUCKET, Bucket
from support.component_stores import image_of

from pipeyard.component_store import ComponentNotFoundError, ComponentStore, layout
from pipeyard.errors import PipeyardError


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
    loaded = sys.modules["fsspec.registry"]._registry
    monkeypatch.delitem(loaded, "gs", raising=False)
    with pytest.raises(PipeyardError, match="gs://models/components needs gcsfs, which isn't installed"):
        ComponentStore(url_search_prefixes=["gs://models/components"], cache_dir=tmp_path)
