"""The catalog that a release brings: what releases say of versions, and who uses them."""

import json
import posixpath
import re

import pytest
from kfp import compiler, components, dsl
from support import catalog_examples, component_stores
from support.catalog_examples import READ

from pipeyard.catalog import published_catalog, stored_components
from pipeyard.catalog.catalog_stores import CatalogStore
from pipeyard.images import image_lock
from pipeyard.releases import publication
from pipeyard.releases.publication import Ledger
from pipeyard.releases.writable_places import WritableFolder
from pipeyard_components import layout

COMMITS = ("1" * 40, "2" * 40)
SPECS = [{"read": READ, "echo": component_stores.spec(image=f"reg/echo@sha256:{digit * 64}")} for digit in "ab"]


def files_of(commit, specs, tmp_path):
    @dsl.pipeline(name="daily")
    def daily(uri: str):
        components.load_component_from_text(specs["read"].decode())(source_uri=uri)

    compiler.Compiler().compile(daily, str(tmp_path / "pipeline.yaml"))
    image = {"repository": "reg/read", "tag": commit, "content_tag": "src", "source": "1", "bytes": 123_400_000}
    lock = image_lock.Lock(commit=commit, bases={}, images={"read": {**image, "digest": "sha256:1"}})
    return {
        image_lock.FILE: lock.text().encode(),
        "image-users.json": b'{"read": "65532"}',
        "provenance.intoto.json": b"{}",
        "sboms/read.cdx.json": b"{}",
        "pipelines/daily/pipeline.yaml": (tmp_path / "pipeline.yaml").read_bytes(),
    }


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    made = []
    for commit, specs in zip(COMMITS, SPECS, strict=True):
        of = files_of(commit, specs, folder)
        made.append((publication.of(commit, specs, of), specs, of))
    return made


def release(place, made, channel="latest"):
    ledger = Ledger(place)
    publication.publish(ledger, *made)
    publication.move(ledger, channel, made[0])
    return ledger


def stock_of(place):
    return stored_components.read([CatalogStore("x", "x")], ledger_of=lambda _: Ledger(place, rehearsal=True))


def test_a_version_has_what_its_release_says(tmp_path, releases):
    place = WritableFolder(tmp_path)
    release(place, releases[0], "stable")
    release(place, releases[1])
    echo, read = stock_of(place).components
    (version,) = read.versions
    told = version.released
    assert (told.image_bytes, told.user, told.commit) == (123_400_000, "65532", COMMITS[1])
    assert version.channels == ["latest", "stable"]
    assert [(each.pipeline, each.channels, each.digest) for each in read.uses] == [
        ("daily", ("latest", "stable"), layout.digest_of(READ))
    ]
    assert echo.uses == () and echo.current.released.image_bytes is None
    assert [each.digest for each in echo.versions] == [layout.digest_of(each["echo"]) for each in SPECS]


def test_it_is_published_with_links_into_the_store_and_once(tmp_path, releases):
    place = WritableFolder(tmp_path)
    ledger = release(place, releases[0])
    assert published_catalog.publish(ledger, str(tmp_path)) == []
    written = list(ledger.written)
    assert written[-1] == f"{published_catalog.FOLDER}/catalog.json"
    published_catalog.publish(ledger, str(tmp_path))
    assert ledger.written == written
    folder = f"{published_catalog.FOLDER}/components/components"
    page = place.read(f"{folder}/read.html").decode()
    for file in ("sboms/read.cdx.json", "provenance.intoto.json"):
        link = re.search(rf'href="([^"]*{file})"', page)[1]
        assert posixpath.normpath(f"{folder}/{link}") == releases[0][0].path(file)
    assert "123 MB compressed" in page and "runs as 65532" in page and "daily" in page
    assert [each.name for each in stock_of(place).components] == ["echo", "read"]  # the catalog is none


def test_of_two_at_a_time_the_newest_state_stays(tmp_path, releases):
    place = WritableFolder(tmp_path)
    release(place, releases[0])

    class Overtaken(WritableFolder):
        overtaken = False

        def write(self, path, data, over=None):
            if path.endswith("index.html") and not self.overtaken:
                self.overtaken = True
                published_catalog.publish(release(place, releases[1]), "x")
            super().write(path, data, over)

    slow = Overtaken(tmp_path)
    published_catalog.publish(Ledger(slow), "x")
    assert slow.overtaken
    page = place.read(f"{published_catalog.FOLDER}/components/components/echo.html").decode()
    assert all(layout.digest_of(each["echo"]) in page for each in SPECS)
    ledger = Ledger(place)
    published_catalog.publish(ledger, "x")
    assert ledger.written == []


def test_a_damaged_file_of_a_release_is_named_and_the_rest_is_shown(tmp_path, releases):
    place = WritableFolder(tmp_path)
    release(place, releases[0])
    (tmp_path / releases[0][0].path(image_lock.FILE)).write_text("{}", encoding="utf-8")
    stock = stock_of(place)
    assert [each.name for each in stock.components] == ["echo", "read"]
    assert len(stock.problems) == 1 and image_lock.FILE in stock.problems[0]


def test_an_index_that_leads_out_of_the_store_reads_nothing_there(tmp_path):
    entry = {"description": "", "digests": ["../../x"], "tags": {"../../y": "", "ok": "not a digest"}}
    index = {"format": 1, "components": {"../evil": entry, "echo": entry}}
    component_stores.write(
        tmp_path,
        {**layout.publication("echo", catalog_examples.spec("echo")), "index.json": json.dumps(index).encode()},
    )
    stock = stock_of(WritableFolder(tmp_path))
    assert [(each.name, len(each.versions)) for each in stock.components] == [("echo", 1)]
    assert len(stock.problems) == 1 and "'../evil' is no component name" in stock.problems[0]
