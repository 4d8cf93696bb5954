"""Stores in local folders, and what is the same for all stores."""

import sys
from contextlib import contextmanager

import pytest
from support import component_stores
from support.component_stores import image_of, spec, write

from pipeyard.component_store import ComponentNotFoundError, ComponentStore, images_of, layout
from pipeyard.errors import PipeyardError


@pytest.fixture
def two(tmp_path):
    files, first, second = component_stores.two_versions()
    return write(tmp_path / "store", files), first, second


def test_newest_tag_and_digest(two):
    root, first, second = two
    store = ComponentStore([root])
    assert image_of(store.load_component("echo")) == "busybox:2"
    assert image_of(store.load_component("echo", tag="v1")) == "busybox:1"
    by_digest = store.load_component("echo", digest=f"sha256:{first}")
    assert (image_of(by_digest), by_digest.digest) == ("busybox:1", first)
    assert by_digest.location == str(root / f"echo/versions/sha256/{first}")
    several = store.load_components({"echo": second})
    assert image_of(several.echo) == "busybox:2"
    assert images_of(several) == {"echo": "busybox:2"}
    assert image_of(store.load_components({"echo": "v1"})["echo"]) == "busybox:1"


@pytest.mark.parametrize("pointer", ["{}", "sha256:{}\n", "../sha256/{}"])
def test_a_tag_may_name_a_digest(two, pointer):
    root, first, _ = two
    (root / "echo/versions/tags/stable").write_text(pointer.format(first))
    assert image_of(ComponentStore([root]).load_component("echo", tag="stable")) == "busybox:1"


def test_a_tag_may_be_a_link_as_in_git(two):
    root, first, _ = two
    (root / "echo/versions/tags/stable").symlink_to(f"../sha256/{first}")
    assert image_of(ComponentStore([root]).load_component("echo", tag="stable")) == "busybox:1"


def test_a_tag_that_names_what_is_not_there(two):
    root, *_ = two
    (root / "echo/versions/tags/stable").write_text("0" * 64)
    with pytest.raises(ComponentNotFoundError, match=r"tags/stable: names sha256:0{64}, which is not there"):
        ComponentStore([root]).load_component("echo", tag="stable")


def test_a_tampered_version_is_refused(two):
    root, first, _ = two
    file = root / "echo/versions/sha256" / first
    tampered = file.read_bytes().replace(b"busybox:1", b"evil:1")
    file.write_bytes(tampered)
    store = ComponentStore([root])
    with pytest.raises(
        ComponentNotFoundError, match=f"wrong digest: its content has sha256:{layout.digest_of(tampered)}"
    ):
        store.load_component("echo", digest=first)
    (root / "echo/versions/tags/stable").write_text(first)
    with pytest.raises(ComponentNotFoundError, match="wrong digest"):
        store.load_component("echo", tag="stable")


def test_beside_a_tampered_version_a_whole_one_is_taken_and_it_is_said(two, tmp_path, caplog):
    root, first, _ = two
    copy = write(
        tmp_path / "copy", {f"echo/versions/sha256/{first}": (root / f"echo/versions/sha256/{first}").read_bytes()}
    )
    (root / f"echo/versions/sha256/{first}").write_bytes(b"name: other")
    assert ComponentStore([root, copy]).load_component("echo", digest=first).location.startswith(str(copy))
    assert "wrong digest" in caplog.text


def test_a_checkout_has_the_version_that_it_is_at(tmp_path):
    root = write(tmp_path, {"echo/component.yaml": spec()})
    digest = layout.digest_of(spec())
    assert ComponentStore([root]).load_component("echo", digest=digest).digest == digest
    with pytest.raises(ComponentNotFoundError, match="component.yaml: wrong digest"):
        ComponentStore([root]).load_component("echo", digest="0" * 64)
    with pytest.raises(ComponentNotFoundError, match="There is a component 'echo' without tags: name none of them"):
        ComponentStore([root]).load_component("echo", tag="latest")


def test_digests_do_not_depend_on_line_ends(tmp_path):
    windows = spec().replace(b"\n", b"\r\n")
    assert layout.digest_of(windows) == layout.digest_of(spec())
    root = write(tmp_path, {layout.digest_path("echo", layout.digest_of(spec())): windows})
    assert ComponentStore([root]).load_component("echo", digest=layout.digest_of(spec()))


def test_folders_are_searched_in_order(tmp_path):
    first = write(tmp_path / "a", {"echo/component.yaml": spec(image="a")})
    second = write(tmp_path / "b", {"echo/component.yaml": spec(image="b"), "tell/component.yaml": spec("tell", "b")})
    store = ComponentStore([first, second])
    assert [image_of(store.load_component(name)) for name in ("echo", "tell")] == ["a", "b"]


def test_hyphens_underscores_and_groups(tmp_path):
    files = {f"{name}/component.yaml": spec() for name in ["my_step", "io/read-csv", "net/read-csv", "io/write"]}
    store = ComponentStore([write(tmp_path, files)])
    loaded = store.load_components("my-step", "io/read-csv", "net/read_csv", "io/write")
    assert list(loaded) == ["my-step", "io/read-csv", "net/read_csv", "io/write"]
    assert loaded.my_step is loaded["my-step"] is loaded["my_step"]
    assert loaded.write is loaded["io/write"]
    assert loaded["io/read_csv"] is not loaded["net/read-csv"]
    with pytest.raises(PipeyardError, match="may be 'io/read-csv' or 'net/read_csv'"):
        _ = loaded["read_csv"]


def test_a_wrong_tag_and_a_wrong_digest_name_those_there_are(two):
    root, first, second = two
    with pytest.raises(ComponentNotFoundError) as error:
        ComponentStore([root]).load_component("echo", tag="lates")
    assert f"looked for {root}/echo/versions/tags/lates: not there" in str(error.value)
    assert "There is a component 'echo'; of its tags: Did you mean 'latest'? There are: 'latest', 'v1', 'v2'." in str(
        error.value
    )
    with pytest.raises(ComponentNotFoundError) as error:
        ComponentStore([root]).load_component("echo", digest="0" * 64)
    assert repr(first) in str(error.value)
    assert repr(second) in str(error.value)


def test_every_place_is_named_with_its_reason(tmp_path):
    (tmp_path / "empty").mkdir()
    store = ComponentStore([tmp_path / "empty", tmp_path / "absent"])
    with pytest.raises(ComponentNotFoundError) as error:
        store.load_component("echo")
    assert [(each.location, str(each.error)) for each in error.value.tried] == [
        (str(tmp_path / "empty/echo/component.yaml"), "not there"),
        (str(tmp_path / "absent/echo/component.yaml"), f"the folder {tmp_path / 'absent'} doesn't exist"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "../echo"}, "no component name"),
        ({"name": "/echo"}, "no component name"),
        ({"name": "echo/"}, "no component name"),
        ({"name": "a/../../echo"}, "no component name"),
        ({"name": ""}, "no component name"),
        ({"name": "echo", "tag": "../../x"}, "is no tag"),
        ({"name": "echo", "digest": "abc"}, "is no digest"),
        ({"name": "echo", "digest": "0" * 64, "tag": "v1"}, "Drop the tag"),
    ],
)
def test_wrong_arguments(two, arguments, message):
    with pytest.raises(PipeyardError, match=message):
        ComponentStore([two[0]]).load_component(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs local_search_paths or url_search_prefixes"),
        ({"local_search_paths": "components"}, r"write \['components'\]"),
        ({"local_search_paths": ["gs://bucket"]}, "Give it in url_search_prefixes"),
        ({"url_search_prefixes": ["components"]}, "Give a local folder in local_search_paths"),
        ({"url_search_prefixes": ["nosuch://bucket"]}, "nosuch://bucket can't be a place"),
    ],
)
def test_stores_that_cannot_be(arguments, message):
    with pytest.raises(PipeyardError, match=message):
        ComponentStore(**arguments)


def test_what_is_no_component_says_where_it_is(tmp_path):
    files = {
        "a/component.yaml": b"a: [",
        "b/component.yaml": b"name: b\n",
        "c/component.yaml": b"\xff",
        "d/component.yaml": b"\n",
    }
    store = ComponentStore([write(tmp_path, files)])
    for name, message in {
        "a": "isn't a component that kfp",
        "b": "has no implementation.container",
        "c": "isn't UTF-8",
    }.items():
        with pytest.raises(PipeyardError, match=f"{tmp_path}/{name}/component.yaml:? .*{message}"):
            store.load_component(name)
    with pytest.raises(ComponentNotFoundError, match="d/component.yaml: empty"):
        store.load_component("d")


def test_a_file_of_any_name(tmp_path):
    store = ComponentStore([write(tmp_path, {"steps/echo.yml": spec()})])
    assert store.load_component_from_file(tmp_path / "steps/echo.yml").location == str(tmp_path / "steps/echo.yml")
    with pytest.raises(ComponentNotFoundError, match="No component at .*/tell.yml: not there"):
        store.load_component_from_file(tmp_path / "steps/tell.yml")


def test_search_by_names_and_by_the_index(tmp_path):
    files = {
        f"{name}/component.yaml": spec(name) for name in ["train", "train-big", "io/read_csv", "io/read_sql", "retrain"]
    }
    files[".git/component.yaml"] = spec()
    files["empty/README"] = b""
    store = ComponentStore([write(tmp_path, files)])
    assert [found.name for found in store.search("train")] == ["train", "train-big", "retrain"]
    assert [found.name for found in store.search("Read CSV")] == ["io/read_csv"]
    assert [found.name for found in store.search()] == ["io/read_csv", "io/read_sql", "retrain", "train", "train-big"]
    assert store.search("big")[0].description == "Says it."
    assert store.search("big")[0].location == str(tmp_path / "train-big")
    assert store.search("database") == []
    index = layout.write_index(
        {"io/read_sql": layout.IndexEntry("Reads from a database."), "gone": layout.IndexEntry("A database.")}
    )
    write(tmp_path, {"index.json": index})
    assert [(found.name, found.description) for found in store.search("database")] == [
        ("io/read_sql", "Reads from a database.")
    ]


_accesses: list[list[tuple[str, str]]] = []  # of who watches now


def _watch(event, arguments):
    if _accesses and event in {"open", "os.scandir", "os.listdir"}:
        _accesses[-1].append((event, str(arguments[0])))


@contextmanager
def _accesses_below(root):
    """Collects what is opened and listed below a folder, whoever does it."""
    if not hasattr(_watch, "added"):
        sys.addaudithook(_watch)  # stays for the process's life
        _watch.added = True
    accesses: list[tuple[str, str]] = []
    _accesses.append(accesses)
    try:
        yield accesses
    finally:
        _accesses.pop()
        accesses[:] = [access for access in accesses if access[1].startswith(str(root))]


def test_searching_many_components_opens_no_file_of_theirs(tmp_path):
    for number in range(300):
        folder = tmp_path / f"step-{number}"
        (folder / ".venv/lib").mkdir(parents=True)
        (folder / "component.yaml").touch()
    with _accesses_below(tmp_path) as accesses:
        assert len(ComponentStore([tmp_path]).search("step 1")) == sum("1" in str(number) for number in range(300))
    assert sorted(accesses) == [("open", str(tmp_path / "index.json")), ("os.scandir", str(tmp_path))]


def test_publication_is_written_version_first_and_read_back(tmp_path):
    files = layout.publication("io/echo", spec(), ["latest"])
    digest = layout.digest_of(spec())
    assert list(files) == [
        f"io/echo/versions/sha256/{digest}",
        "io/echo/versions/tags/latest",
        "io/echo/component.yaml",
    ]
    store = ComponentStore([write(tmp_path, files)])
    for version in [{}, {"tag": "latest"}, {"digest": digest}]:
        assert store.load_component("io/echo", **version).digest == digest


def test_the_index_is_read_as_written():
    entries = {"b": layout.IndexEntry("Does b.", ("0" * 64,), {"v1": "0" * 64}), "a": layout.IndexEntry()}
    assert layout.read_index(layout.write_index(entries)) == entries
    assert layout.write_index(entries) == layout.write_index(dict(reversed(entries.items())))
    for wrong in [b"<html>", b"[]", b'{"format": 2, "components": {}}', b'{"format": 1}']:
        with pytest.raises(ValueError, match="index"):
            layout.read_index(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tag": 5}, "tag=5 isn't text. Write it in quotes: tag='5'"),
        ({"tag": 1.0}, "tag=1.0 isn't text. Write it in quotes: tag='1.0'"),
        ({"tag": True}, "tag=True isn't text"),
        ({"digest": 12}, "digest=12 isn't text. Write it in quotes: digest='12'"),
    ],
)
def test_versions_are_text(two, arguments, message):
    with pytest.raises(PipeyardError, match=message):
        ComponentStore([two[0]]).load_component("echo", **arguments)


@pytest.mark.parametrize("wanted", [{"echo": 5}, {"echo": 1.5}, {"echo": True}])
def test_versions_of_several_are_text(two, wanted):
    with pytest.raises(PipeyardError, match="The version .* isn't text. Write it in quotes: '"):
        ComponentStore([two[0]]).load_components(wanted)


@pytest.mark.parametrize("wanted", [5, ["echo"], None])
def test_names_of_several_are_text_or_mappings(two, wanted):
    with pytest.raises(PipeyardError, match="is no component name"):
        ComponentStore([two[0]]).load_components(wanted)


@pytest.mark.parametrize("url", [5, None, b"https://a.test/x.yaml"])
def test_a_url_is_text(two, url):
    with pytest.raises(PipeyardError, match="is no URL"):
        ComponentStore([two[0]]).load_component_from_url(url)


def test_search_paths_and_prefixes_are_text():
    with pytest.raises(PipeyardError, match="5 is no folder"):
        ComponentStore([5])
    with pytest.raises(PipeyardError, match="5 is no URL prefix"):
        ComponentStore(url_search_prefixes=[5])
