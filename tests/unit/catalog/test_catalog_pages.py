"""The catalog's pages, as text: what they say, and that nothing in a store gets out of its place."""

import html
import json
import re
import runpy

import pytest
from click.testing import CliRunner
from support import catalog_examples, component_stores
from support.catalog_examples import EVIL, READ, TRAIN_1, TRAIN_2

from pipeyard.catalog import catalog_pages, catalog_stores, snippets, stored_components
from pipeyard.commands.catalog import command
from pipeyard.component_store import layout
from pipeyard.errors import PipeyardError
from pipeyard_components import interfaces


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    component_stores.write(root / "ours", catalog_examples.ours())
    component_stores.write(root / "theirs", catalog_examples.theirs())
    return root


@pytest.fixture(scope="module")
def stock(places):
    return stored_components.read(catalog_stores.of([str(places / "ours"), f"others={places / 'theirs'}"]))


@pytest.fixture(scope="module")
def pages(stock):
    return {path: data.decode() for path, data in catalog_pages.render(stock).items()}


def shown(page: str) -> str:
    """Returns a page's text, without tags, with single spaces."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page[page.index("<body>") :], flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_each_component_of_each_store_has_a_page(pages, stock):
    assert set(pages) == {
        "index.html",
        "connections.html",
        "components/ours/count_words.html",
        "components/ours/io/keep.html",
        "components/ours/read.html",
        "components/ours/train.html",
        "components/others/read.html",
        "components/others/train.html",
        "components/others/wicked.html",
    }
    assert stock.problems == ()
    index = json.loads(re.search(r'id="index">(.*?)</script>', pages["index.html"], re.DOTALL)[1])
    train = next(each for each in index["components"] if each["page"] == "components/ours/train.html")
    assert train["takes"] == [["examples", "Examples", "Dataset"], ["steps", "Integer", "Integer"]]
    assert train["gives"] == [["model", "Model", "Model"]] and train["version"] == "2.0.0" and train["state"] == ""


def test_a_page_has_interface_versions_what_changed_and_why_not_to_use_one(pages):
    text = shown(pages["components/ours/train.html"])
    assert "steps required Integer How many" in text
    assert "examples required Examples Dataset Rows" in text
    assert "breaking input steps is new, and has to be given" in text
    assert "breaking input rate is gone" in text
    assert "Deprecated: It reads everything twice." in text
    assert f"sha256:{layout.digest_of(TRAIN_1)}" in text and f"sha256:{layout.digest_of(TRAIN_2)}" in text
    assert text.index("2.0.0 newest") < text.index("1.4.0 v1 deprecated")
    assert "Examples comes from read ours , read others" in text
    keep = pages["components/ours/io/keep.html"]
    assert 'href="../../../index.html"' in keep


def test_domains_and_units_are_said():
    interface = interfaces.read(TRAIN_1.decode(), "train")
    assert catalog_pages._domain(interface.inputs["rate"]) == "> 0; \N{LESS-THAN OR EQUAL TO} 1"


def test_the_same_name_elsewhere_is_said_and_whether_it_is_the_same(pages):
    assert "1 component of this name elsewhere: train of others (the same)" in shown(
        pages["components/ours/train.html"]
    )
    assert "read of ours (with other content)" in shown(pages["components/others/read.html"])


def test_what_connects_to_what_is_told_by_artifacts(pages):
    text = shown(pages["connections.html"])
    assert "Examples read examples , read examples train examples , train examples" in text
    assert "String" not in text.split("Taken by")[1].split()[0]


def test_nothing_that_a_store_says_gets_out_of_its_place(pages):
    for path, page in pages.items():
        assert "<script>window" not in page and "<img" not in page, path
        assert page.count("<style") == page.count("</style") == 1, path
        scripts = re.findall(r"<script\b[^>]*>", page)
        assert scripts == (['<script type="application/json" id="index">', "<script>"] if path == "index.html" else [])
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
        assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
        assert ("script-src" in policy) == (path == "index.html")
        assert not re.search(r'(?:href|src)="(?!\.\./|#|[\w/%.-]+\.html|data:,)', page), path
    assert html.unescape(pages["components/others/wicked.html"]).count(EVIL) > 8


def test_the_same_stores_give_the_same_bytes(stock, pages):
    again = stored_components.read(stock.stores)
    assert {path: data.decode() for path, data in catalog_pages.render(again).items()} == pages


def test_the_snippet_runs(stock, tmp_path, monkeypatch):
    train = next(each for each in stock.components if each.name == "train" and each.store.name == "ours")
    text = snippets.python(train.store, "train", train.current.digest, train.current.interface)
    assert f'digest="sha256:{layout.digest_of(TRAIN_2)}"' in text
    (tmp_path / "use.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("use.py")
    compiled = (tmp_path / "pipeline.yaml").read_text(encoding="utf-8")
    assert "name: use-train" in compiled and "reg/one@sha256:1" in compiled


@pytest.mark.parametrize(
    ("name", "inputs", "has_pipeline"),
    [
        ("read", [{"name": "Source URI", "type": "String"}], True),
        ("read", [{"name": "class", "type": "String"}], False),
        ("read", [{"name": "a b", "type": "String"}, {"name": "a_b", "type": "String"}], False),
        ("store", [], True),
        ("9to5", [], True),
    ],
)
def test_a_snippet_is_python_whatever_things_are_called(name, inputs, has_pipeline):
    interface = interfaces.read(catalog_examples.spec(name, inputs=inputs).decode(), name)
    store = catalog_stores.CatalogStore('gs://b/"; import os', "b")
    text = snippets.python(store, name, "0" * 64, interface)
    compile(text, "snippet", "exec")
    assert 'url_search_prefixes=["gs://b/\\"; import os"]' in text
    assert ("@dsl.pipeline" in text) == has_pipeline
    assert text.count("store = ") == 1


def test_many_makers_are_named_in_part_and_the_search_has_all(tmp_path):
    files = {}
    for number in range(20):
        files |= layout.publication(f"read_{number:02}", READ.replace(b'"read"', f'"read_{number:02}"'.encode()))
    component_stores.write(tmp_path, files | layout.publication("train", TRAIN_2))
    pages = catalog_pages.render(stored_components.read(catalog_stores.of([str(tmp_path)])))
    page = pages[f"components/{catalog_stores.of([str(tmp_path)])[0].name}/train.html"].decode()
    assert 'href="../../index.html#gives=Examples">all 20</a>' in page and "read_11</a>" in page
    assert "read_12</a>" not in page


def test_versions_without_numbers_stand_as_they_were_published(tmp_path):
    specs = [component_stores.spec(image=f"busybox:{n}") for n in (3, 1, 2)]
    entry = layout.IndexEntry("Says it.", tuple(map(layout.digest_of, specs)), {"latest": layout.digest_of(specs[2])})
    files = {layout.digest_path("echo", layout.digest_of(each)): each for each in specs}
    component_stores.write(tmp_path, {**files, layout.INDEX: layout.write_index({"echo": entry})})
    (echo,) = stored_components.read(catalog_stores.of([str(tmp_path)])).components
    assert [each.interface.images[""] for each in echo.versions] == ["busybox:3", "busybox:1", "busybox:2"]
    assert echo.current.tags == ("latest",)


def test_the_newest_versions_are_shown_and_the_others_counted(tmp_path):
    count = stored_components.MOST_VERSIONS + 3
    specs = [component_stores.spec(image=f"busybox:{n}") for n in range(count)]
    entry = layout.IndexEntry("", tuple(map(layout.digest_of, specs)))
    files = {layout.digest_path("echo", layout.digest_of(each)): each for each in specs}
    component_stores.write(tmp_path, {**files, layout.INDEX: layout.write_index({"echo": entry})})
    (echo,) = stored_components.read(catalog_stores.of([str(tmp_path)])).components
    assert echo.older == 3 and len(echo.versions) == count - 3
    assert echo.current.interface.images[""] == f"busybox:{count - 1}"


def test_files_that_refer_to_a_version_are_followed_as_git_servers_give_them(tmp_path):
    old, new = component_stores.spec(image="busybox:1"), component_stores.spec(image="busybox:2")
    files = {layout.digest_path("echo", layout.digest_of(each)): each for each in (old, new)}
    files["echo/component.yaml"] = files["echo/versions/tags/v2"] = f"versions/sha256/{layout.digest_of(new)}".encode()
    component_stores.write(tmp_path, files)
    stock = stored_components.read(catalog_stores.of([str(tmp_path)]))
    (echo,) = stock.components
    assert stock.problems == () and len(echo.versions) == 2
    assert (echo.current.digest, echo.current.tags) == (layout.digest_of(new), ("v2",))


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(tmp_path):
    digest = layout.digest_of(READ)
    files = {
        **layout.publication("echo", component_stores.spec()),
        "broken/component.yaml": b"name: [",
        layout.digest_path("bent", digest): READ + b"tampered",
        "bent/versions/states.json": b"[",
    }
    component_stores.write(tmp_path, files)
    stock = stored_components.read(catalog_stores.of([str(tmp_path)]))
    assert [each.name for each in stock.components] == ["echo"]
    told = "\n".join(stock.problems)
    assert f"bent/versions/sha256/{digest} has another digest than its name says" in told
    assert "broken" in told and "isn't YAML" in told and "states.json" in told
    page = catalog_pages.render(stock)["index.html"].decode()
    assert "Not shown" in page and "has another digest than its name says" in page


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "./a"], r"The store .*/a is given twice"),
        (["x=a", "x=b"], r"Two stores are called 'x'"),
        (["https://ann:secret@example.com/c"], r"at https://example.com is given with a login(?!.*secret)"),
        (["gs://bucket/c?token=secret"], r"given with a login, a query or a fragment(?!.*secret)"),
    ],
)
def test_stores_that_make_no_catalog_are_refused(given, message):
    with pytest.raises(PipeyardError, match=message):
        catalog_stores.of(given)


def test_names_of_stores_are_unique_and_folders_can_be_called_so():
    found = catalog_stores.of(["gs://one/components", "s3://two/components/", "https://example.com", "gs://b/9.1"])
    assert [each.name for each in found] == ["components", "components-2", "example-com", "store-9-1"]
    assert [each.links for each in found] == ["", "", "https://example.com", ""]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"There are no components that can be read in .*Give a folder or URL with NAME/component\.yaml"),
        ({"broken/component.yaml": b"["}, r"no components that can be read in .*broken.*isn't YAML"),
        ({"index.json": b"[]", "a/component.yaml": READ}, r"index\.json isn't an index of components"),
    ],
)
def test_a_store_without_components_is_an_error_and_nothing_is_written(tmp_path, files, message):
    component_stores.write(tmp_path / "store", files)
    (tmp_path / "store").mkdir(exist_ok=True)
    done = CliRunner().invoke(
        command, ["build", "--store", str(tmp_path / "store"), "--output", str(tmp_path / "catalog")]
    )
    assert isinstance(done.exception, PipeyardError)
    assert re.search(message, str(done.exception), re.DOTALL)
    assert not (tmp_path / "catalog").exists()


def test_the_repository_s_own_components_are_the_default(tmp_path):
    done = CliRunner().invoke(command, ["build", "--output", str(tmp_path / "catalog")])
    assert done.exit_code == 0, done.output
    (page,) = (tmp_path / "catalog").glob("components/*/train.html")
    text = shown(page.read_text(encoding="utf-8"))
    assert "TransformedExamples comes from transform" in text
    assert "Pipelines that use it chicago_taxi" in text
