"""Publishing to component stores: whole, unchangeable by commit and digest, with channels that move."""

import json
import os
import re
import resource
import shutil
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from kfp.registry import RegistryClient
from servers.vertex import VertexServer
from support import component_stores, scratch_git, small_repository
from support.bucket_server import BUCKET, Bucket

from pipeyard.commands.release import command
from pipeyard.component_store import ComponentStore, layout
from pipeyard.errors import PipeyardError
from pipeyard.images import image_lock
from pipeyard.releases import publication, shipments
from pipeyard.releases.writable_places import NO_FILE, PlaceChanged, WritableBucket, WritableFolder
from pipeyard.repository.project import Project
from pipeyard_components.places import PlaceUnavailable


@dataclass(frozen=True)
class Made:
    """A release, and what it is published from."""

    release: publication.Release
    specs: dict[str, bytes]
    files: dict[str, bytes]

    def publish(self, place, *channels: str, rehearsal: bool = False, **options) -> publication.Ledger:
        ledger = publication.Ledger(place, rehearsal)
        publication.publish(ledger, self.release, self.specs, self.files)
        for channel in channels:
            publication.move(ledger, channel, self.release, **options)
        return ledger


def _made(project: Project, dist: Path) -> Made:
    shipped = shipments.collect(project, dist)
    return Made(publication.of(shipped.built.commit, shipped.specs, shipped.files), shipped.specs, shipped.files)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A repository with two commits; dist/ is of the second."""
    made = small_repository.make(tmp_path_factory.mktemp("shipped") / "repository")
    small_repository.build(made)
    shutil.copytree(made.root / "dist", made.root.parent / "dist-1")
    (made.root / "README").write_text("more\n", encoding="utf-8")
    scratch_git.commit(made.root, "second")
    small_repository.build(made, {"show": "other"})
    return made


@pytest.fixture(scope="module")
def second(project) -> Made:
    return _made(project, project.root / "dist")


@pytest.fixture(scope="module")
def first(project) -> Made:
    folder = project.root.parent / "clone"
    scratch_git.git(project.root, "clone", "--quiet", str(project.root), str(folder))
    scratch_git.git(folder, "checkout", "--quiet", "HEAD^")
    return _made(Project(folder), project.root.parent / "dist-1")


@pytest.fixture(params=["folder", "gs", "s3"])
def place(request, tmp_path):
    """A place to publish to, and how a ComponentStore is made of it."""
    if request.param == "folder":
        folder = tmp_path / "store"
        yield WritableFolder(folder), {"local_search_paths": [folder]}
        return
    if request.param == "gs":
        server = Bucket({})
        options = {"token": "anon", "endpoint_url": server.url}
    else:
        url = request.getfixturevalue("s3")
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"))
        options = {"key": "k", "secret": "s", "endpoint_url": url}
    prefix = f"{request.param}://{BUCKET}/components"
    made = WritableBucket(prefix, options, timeout=5)
    yield made, {"url_search_prefixes": [prefix], "auth": {prefix: options}, "cache_dir": tmp_path / "cache"}
    if request.param == "gs":
        server.close()
    else:
        made._filesystem[0].rm(f"{BUCKET}/components", recursive=True)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _commits_of_tags(folder: Path, tag: str, *made: Made) -> set[str]:
    """Commits whose specs the tag of some component holds."""
    found = set()
    for name in made[0].specs:
        spec = (folder / layout.tag_path(name, tag)).read_bytes()
        found |= {each.release.commit for each in made if each.specs[name] == spec}
    return found


def test_what_is_published_is_loaded_by_digest_commit_and_channel(place, first, second):
    target, how = place
    first.publish(target, "latest", "staging")
    second.publish(target, "latest")
    store = ComponentStore(**how)

    def image(**version):
        return component_stores.image_of(store.load_component("show", **version)).partition("@")[2]

    old, new = small_repository.digest("show"), small_repository.digest("other")
    assert image() == image(tag="latest") == image(tag=second.release.commit) == new
    assert image(tag="staging") == image(tag=first.release.commit) == old
    assert image(digest=first.release.components["show"]) == old
    assert [found.name for found in store.search("does")] == ["count", "show"]
    index = layout.read_index(target.read(layout.INDEX))
    assert index["show"].tags["latest"] == second.release.components["show"]
    assert index["show"].tags["staging"] == first.release.components["show"]
    assert len(index["show"].digests) == 2 and len(index["count"].digests) == 1
    for path, data in second.files.items():
        assert target.read(second.release.path(path)) == data


def test_again_writes_nothing(place, first):
    target, _ = place
    assert first.publish(target, "latest").written
    assert not first.publish(target, "latest").written


def test_writes_keep_their_condition(place):
    target, _ = place
    target.write("a", b"1", NO_FILE)
    with pytest.raises(PlaceChanged):
        target.write("a", b"2", NO_FILE)
    data, mark = target.look("a")
    target.write("a", b"2", mark)
    with pytest.raises(PlaceChanged):
        target.write("a", b"3", mark)
    assert (data, target.read("a")) == (b"1", b"2")
    target.write("a", b"4")
    assert target.read("a") == b"4"


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path):
    place = WritableFolder(tmp_path)
    place.write("a/b", b"1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        for over in (None, place.look("a/b")[1]):
            with pytest.raises(PlaceUnavailable):
                place.write("a/b", b"2" * 1000, over)
        with pytest.raises(PlaceUnavailable):
            place.write("a/c", b"2" * 1000, NO_FILE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _contents(tmp_path) == {"a/b": b"1"}


def test_what_a_killed_release_left_of_a_file_goes_with_the_next(tmp_path):
    place = WritableFolder(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.b.0123abcd.partial").write_bytes(b"1")
    place.write("a/b", b"2", NO_FILE)
    place.write("a/b", b"3")
    assert _contents(tmp_path) == {"a/b": b"3"}


def test_what_moves_is_not_kept_by_caches_on_the_way(first):
    server = Bucket({})
    target = WritableBucket(f"gs://{BUCKET}/components", {"token": "anon", "endpoint_url": server.url}, timeout=5)
    first.publish(target, "latest")
    fixed = {path for path, control in server.cache_control.items() if control is None}
    server.close()
    assert {path.split("/")[-2] for path in fixed if "/versions/" in path} == {"sha256"}
    assert {path.split("/")[2] for path in fixed if "/releases/" in path} == {"sha256"}
    assert "components/index.json" not in fixed


def test_a_rehearsal_names_what_the_real_thing_writes_and_writes_nothing(tmp_path, first):
    rehearsed = first.publish(WritableFolder(tmp_path / "store"), "latest", rehearsal=True)
    assert not (tmp_path / "store").exists()
    assert sorted(rehearsed.written) == sorted(first.publish(WritableFolder(tmp_path / "store"), "latest").written)


def test_other_content_of_a_released_commit_is_refused_with_what_differs(tmp_path, first, second):
    place = WritableFolder(tmp_path)
    first.publish(place, "latest")
    before = _contents(tmp_path)
    specs = {**first.specs, "show": second.specs["show"]}
    other = Made(publication.of(first.release.commit, specs, first.files), specs, first.files)
    with pytest.raises(PipeyardError, match=f"{first.release.commit} was released already, with other content: show. "):
        other.publish(place, "latest")
    assert _contents(tmp_path) == before


def test_a_channel_isn_t_moved_back_by_a_build_that_ends_late(tmp_path, first, second):
    place = WritableFolder(tmp_path)
    second.publish(place, "latest")
    moved = publication.move(
        first.publish(place), "latest", first.release, lambda commit: commit == second.release.commit
    )
    assert moved.now == moved.before == second.release.commit
    assert _commits_of_tags(tmp_path, "latest", first, second) >= {second.release.commit}
    assert (tmp_path / "show/component.yaml").read_bytes() == second.specs["show"]


class Cut:
    """A place that can't be written any more after some writes."""

    def __init__(self, place, writes: int) -> None:
        self._place = place
        self._left = writes
        self._lock = threading.Lock()

    def __getattr__(self, name):
        return getattr(self._place, name)

    def write(self, path, data, over=None):
        with self._lock:
            self._left -= 1
        if self._left < 0:
            raise PlaceUnavailable("no space left on device")
        self._place.write(path, data, over)


def test_cut_short_anywhere_nothing_points_at_what_is_not_there_and_the_next_run_completes_it(tmp_path, first, second):
    whole = tmp_path / "whole"
    first.publish(WritableFolder(whole), "latest")
    writes = len(second.publish(WritableFolder(whole), "latest", "staging").written)
    for after in range(writes):
        folder = tmp_path / str(after)
        first.publish(WritableFolder(folder), "latest")
        with pytest.raises(PipeyardError, match="no space left on device. What is there already is whole"):
            second.publish(Cut(WritableFolder(folder), after), "latest", "staging")
        _check_whole(folder)
        second.publish(WritableFolder(folder), "latest", "staging")
        assert _contents(folder) == _contents(whole)


def _check_whole(folder: Path) -> None:
    """Everything that is named is there, and is what its name says."""
    files = _contents(folder)
    for path, data in files.items():
        if digest := layout.digest_in(path):
            assert layout.has_digest(data, digest)
        if "/versions/tags/" in path or path.endswith(layout.SPEC):
            name = path.split("/")[0]
            assert layout.digest_path(name, layout.digest_of(data)) in files
        if path.startswith(("releases/commits/", "releases/channels/")):
            release = publication.Release.model_validate_json(data)
            assert {release.path(each) for each in [*release.files, layout.RELEASE_FILE]} <= files.keys()
            assert {layout.digest_path(*each) for each in release.components.items()} <= files.keys()
    for name, entry in layout.read_index(files[layout.INDEX]).items():
        assert {layout.digest_path(name, each) for each in [*entry.digests, *entry.tags.values()]} <= files.keys()


class Interrupted:
    """A place in which something else happens before the write of one file."""

    def __init__(self, place, path: str, happens: Callable[[], object]) -> None:
        self._place = place
        self._path, self._happens = path, happens

    def __getattr__(self, name):
        return getattr(self._place, name)

    def write(self, path, data, over=None):
        if path == self._path:
            self._path = ""
            self._happens()
        self._place.write(path, data, over)


@pytest.mark.parametrize(
    "at",
    [
        "releases/commits/{commit}",
        "releases/channels/latest",
        "show/versions/tags/latest",
        "count/component.yaml",
        "index.json",
    ],
)
def test_of_two_releases_at_a_time_the_channel_and_its_tags_are_one_s(place, first, second, at):
    target, _ = place
    at = at.format(commit=first.release.commit)
    first.publish(Interrupted(target, at, lambda: second.publish(target, "latest")), "latest")
    now = json.loads(target.read("releases/channels/latest"))
    index = layout.read_index(target.read(layout.INDEX))
    for name, digest in now["components"].items():
        for path in (layout.tag_path(name, "latest"), layout.spec_path(name)):
            assert layout.digest_of(target.read(path)) == digest
        assert index[name].tags["latest"] == digest
        assert {first.release.commit, second.release.commit} <= set(index[name].tags)


def test_of_two_contents_of_a_commit_at_a_time_the_first_stays(tmp_path, first, second):
    specs = {**first.specs, "show": second.specs["show"]}
    other = Made(publication.of(first.release.commit, specs, first.files), specs, first.files)
    claim = f"releases/commits/{first.release.commit}"
    with pytest.raises(PipeyardError, match="was released already, with other content: show"):
        first.publish(
            Interrupted(WritableFolder(tmp_path), claim, lambda: other.publish(WritableFolder(tmp_path))), "latest"
        )
    assert (tmp_path / claim).read_bytes() == other.release.content
    assert (tmp_path / layout.tag_path("show", first.release.commit)).read_bytes() == specs["show"]
    assert not (tmp_path / "releases/channels").exists()


def test_a_later_commit_that_gets_in_between_keeps_the_channel(tmp_path, first, second):
    channel = "releases/channels/latest"
    place = Interrupted(WritableFolder(tmp_path), channel, lambda: second.publish(WritableFolder(tmp_path), "latest"))
    first.publish(place, "latest", stays=lambda commit: commit == second.release.commit)
    assert publication.find(publication.Ledger(WritableFolder(tmp_path)), "latest") == second.release
    assert (tmp_path / "show/component.yaml").read_bytes() == second.specs["show"]


def test_many_at_a_time_are_as_one_after_the_other(tmp_path, first, second):
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda made: made.publish(WritableFolder(tmp_path), "latest"), [first, second] * 3))
    _check_whole(tmp_path)
    now = publication.find(publication.Ledger(WritableFolder(tmp_path)), "latest")
    assert now in (first.release, second.release)
    for name, digest in now.components.items():
        assert layout.digest_of((tmp_path / layout.tag_path(name, "latest")).read_bytes()) == digest


def test_a_store_that_was_there_before_keeps_its_components(tmp_path, first):
    files, digest, _ = component_stores.two_versions()
    component_stores.write(tmp_path, files)
    first.publish(WritableFolder(tmp_path))
    index = layout.read_index((tmp_path / layout.INDEX).read_bytes())
    assert list(index) == ["count", "echo", "show"]
    assert digest in index["echo"].digests


def test_a_damaged_store_is_named(tmp_path, first):
    first.publish(WritableFolder(tmp_path), "latest")
    (tmp_path / layout.digest_path("show", first.release.components["show"])).write_bytes(b"name: evil\n")
    with pytest.raises(PipeyardError, match="versions/sha256/.* has other content than this, and it may never change"):
        first.publish(WritableFolder(tmp_path), "latest")
    with pytest.raises(PipeyardError, match="versions/sha256/.* has another digest than its name says"):
        publication.move(publication.Ledger(WritableFolder(tmp_path)), "staging", first.release)
    (tmp_path / layout.digest_path("show", first.release.components["show"])).write_bytes(first.specs["show"])
    (tmp_path / layout.INDEX).write_text("[]", encoding="utf-8")
    with pytest.raises(PipeyardError, match="isn't an index of components.*Remove the file: it is made anew"):
        publication.move(publication.Ledger(WritableFolder(tmp_path)), "other", first.release)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("images.lock.json", None, "images.lock.json is missing: no images were built. Run `pipeyard build`"),
        ("whole/workflow.tar.gz", None, "workflow.tar.gz is missing. Run `pipeyard compile whole`"),
        ("whole/workflow.tar.gz", b"no archive", "workflow.tar.gz is damaged: (?s:.*)Run `pipeyard compile` again"),
        ("whole/pipeline.yaml", b"other: 1\n", "workflow.tar.gz has other content"),
        ("components/show/component.yaml", b"name: show\n", "has no implementation.container.image: it was changed"),
        (
            "components/show/component.yaml",
            b"implementation: {container: {image: dev/show:dev}}\n",
            "it was changed. Run `pipeyard build` again",
        ),
        ("sboms/show.cdx.json", None, "show.cdx.json is missing. Run `pipeyard build`"),
        ("sboms/show.cdx.json", b"{}", "is damaged. Run `pipeyard build` again"),
        ("sboms/show.cdx.json", b'{"metadata": {"component": {"version": "1"}}}', "are of other images"),
    ],
)
def test_what_does_not_belong_together_is_not_released(tmp_path, project, file, change, message):
    folder = tmp_path / "dist"
    shutil.copytree(project.root / "dist", folder)
    if change is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(change)
    with pytest.raises(PipeyardError, match=message):
        shipments.collect(project, folder)


def test_another_commit_s_build_or_package_is_not_released(tmp_path, project):
    with pytest.raises(PipeyardError, match=r"images.lock.json was built from \w+, but \w+ is checked out"):
        shipments.collect(project, project.root.parent / "dist-1")
    folder = tmp_path / "dist"
    shutil.copytree(project.root / "dist", folder)
    shutil.copytree(project.root.parent / "dist-1/whole", folder / "whole", dirs_exist_ok=True)
    with pytest.raises(PipeyardError, match=r"workflow.tar.gz has other content .*Run `pipeyard compile whole` again"):
        shipments.collect(project, folder)


def test_pages_are_told_to_be_pages(place):
    target, _ = place
    target.write("releases/catalog/index.html", b"<p>", NO_FILE)
    target.write("releases/catalog/index.html", b"<p>1</p>")
    assert target.read("releases/catalog/index.html") == b"<p>1</p>"
    if isinstance(target, WritableBucket):
        about = target._do("info", "releases/catalog/index.html")
        assert (about.get("contentType") or about.get("ContentType")) == "text/html; charset=utf-8"


def _run(project: Project, *arguments: str, **options):
    return CliRunner().invoke(command, [*arguments, "--project", str(project.root)], **options)


def test_the_command_publishes_rehearses_and_goes_back(tmp_path, project, first, second):
    store = str(tmp_path / "store")
    done = _run(project, store, "--channel", "latest", "--dry-run", "--json")
    told = json.loads(done.stdout)
    assert len(set(told["written"])) == len(told["written"])
    assert told["dry_run"] and "releases/channels/latest" in told["written"] and not (tmp_path / "store").exists()
    done = _run(project, store, "--channel", "latest", "--dry-run")
    assert "would write show/versions/tags/latest\n" in done.stdout
    assert not (tmp_path / "store").exists()
    done = _run(project, store, "--channel", "latest", "--channel", "staging")
    assert done.exit_code == 0, done.output
    assert re.search(rf"wrote \d+ files to {store}$", done.stdout, re.MULTILINE)
    assert f"latest is {second.release.commit} (was new)" in done.stdout
    assert "catalog: releases/catalog/index.html\n" in done.stdout
    assert second.release.components["show"] in (
        tmp_path / "store/releases/catalog/components/components/show.html"
    ).read_text(encoding="utf-8")
    assert "aren't signed" in done.stderr
    assert "everything was there already" in _run(project, store, "--channel", "latest").stdout
    first.publish(WritableFolder(tmp_path / "store"))
    done = _run(project, store, "--channel", "latest", "--existing", first.release.commit)
    assert f"latest is {first.release.commit} (was {second.release.commit})" in done.stdout
    assert (tmp_path / "store/show/component.yaml").read_bytes() == first.specs["show"]
    assert (tmp_path / "store/show/versions/tags/staging").read_bytes() == second.specs["show"]
    done = _run(project, store, "--channel", "latest", "--existing", "staging", "--json")
    assert json.loads(done.stdout)["channels"] == [
        {"channel": "latest", "before": first.release.commit, "now": second.release.commit}
    ]


def test_what_build_and_compile_make_is_what_is_released(tmp_path):
    repository = small_repository.Repository(tmp_path)
    store = tmp_path / "store"
    for message in ("first", "second"):  # the second changes no component
        repository.write("README.md", message)
        repository.commit(message)
        for done in (repository.build(), repository.compile(), repository.release(store, "--channel", "latest")):
            assert done.exit_code == 0, done.exception
    repository.registry.close()
    found = ComponentStore(local_search_paths=[store]).load_components("count", "show")
    for name in found:
        assert repository.in_registry(component_stores.image_of(found[name]))
        entry = layout.read_index((store / layout.INDEX).read_bytes())[name]
        assert len(entry.digests) == 1  # so pipelines that pin it keep KFP's cache
        assert len(entry.tags) == 3
    release = publication.find(publication.Ledger(WritableFolder(store)), "latest")
    assert release.commit == repository.head
    package = "whole/workflow.tar.gz"
    assert (store / release.path(f"pipelines/{package}")).read_bytes() == (
        repository.root / "dist" / package
    ).read_bytes()
    bom = json.loads((store / release.path("sboms/count.cdx.json")).read_bytes())
    assert component_stores.image_of(found.count).endswith(bom["metadata"]["component"]["version"])


def test_the_command_sees_in_history_which_commit_is_later(tmp_path, project, first, second):
    clone = Project(project.root.parent / "clone")
    store = str(tmp_path / "store")
    shutil.copytree(project.root.parent / "dist-1", tmp_path / "dist")
    second.publish(WritableFolder(tmp_path / "store"), "latest")
    done = _run(clone, store, "--channel", "latest", "--output", str(tmp_path / "dist"))
    assert f"latest stays at {second.release.commit}, which comes after {first.release.commit}" in done.stdout
    assert (tmp_path / "store" / layout.tag_path("show", first.release.commit)).exists()


def test_the_command_publishes_to_s3(project, second, s3, monkeypatch):
    urllib.request.urlopen(urllib.request.Request(f"{s3}/{BUCKET}", method="PUT"))
    for name, value in {"AWS_ENDPOINT_URL": s3, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setitem(os.environ, name, value)
    done = _run(project, f"s3://{BUCKET}/command", "--channel", "latest", "--json")
    assert done.exit_code == 0, done.output
    found = ComponentStore(url_search_prefixes=[f"s3://{BUCKET}/command"]).load_component("show", tag="latest")
    assert found.digest == second.release.components["show"]


def test_pipelines_and_components_go_to_a_repository_of_format_kfp_too(tmp_path, project, second):
    with VertexServer() as server:
        arguments = (str(tmp_path / "store"), "--kfp-repository", server.repository)
        rehearsed = _run(project, *arguments, "--dry-run", "--json")
        assert set(json.loads(rehearsed.stdout)["templates"].values()) == {""} and not server.templates
        done = _run(project, *arguments, "--channel", "latest", "--json")
        assert done.exit_code == 0, done.output
        uploaded = json.loads(done.stdout)["templates"]
        assert {*uploaded.values()} == {f"{server.repository}/{version}" for version in server.templates}
        client = RegistryClient(server.repository)
        pipeline = next(path for path in second.files if path.endswith("pipeline.yaml"))
        package = yaml.safe_load(second.files[pipeline])["pipelineInfo"]["name"]
        for tag in ("latest", second.release.commit):
            got = client.download_pipeline(package, tag=tag, file_name=str(tmp_path / "got.yaml"))
            assert Path(got).read_bytes() == second.files[pipeline]
        show = ComponentStore(url_search_prefixes=[server.repository], cache_dir=tmp_path / "cache")
        loaded = show.load_component_from_url(uploaded["show"], digest=uploaded["show"].rpartition("/")[2])
        assert component_stores.image_of(loaded).endswith(small_repository.digest("other"))
        before = dict(server.templates)
        done = _run(project, *arguments, "--existing", "latest", "--channel", "staging")
        assert f"template {uploaded['show']}" in done.stdout
        assert server.templates == before and server.tags["show/staging"] == server.tags["show/latest"]
        server.faults = [403]
        done = _run(project, *arguments)
        assert done.exit_code == 1 and "Artifact Registry Writer" in str(done.exception)


def test_a_store_of_specs_is_not_where_the_images_are(project):
    lock = image_lock.read(project.root / "dist" / image_lock.FILE)
    place = lock.images["show"].repository.removesuffix("/show")
    done = _run(project, f"oci://{place}")
    assert done.exit_code == 1
    assert f"a path of its own beside them: oci://{place}/specs" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["oci://registry.example.com"], "names no place in a registry. Write oci://HOST/PATH"),
        (["STORE", "--kfp-repository", "https://eu-docker.pkg.dev/p/r"], "is of format docker, and templates need one"),
        (["STORE", "--kfp-repository", "eu-kfp.pkg.dev/p/r"], "is no repository of format KFP"),
        (["https://example.com/components"], "can be read from, but not published to"),
        (["moon://x"], "can't be a place of components"),
        (["STORE", "--existing", "latest", "--channel", "a", "--sign"], "nothing to --scan or --sign"),
        (["STORE", "--existing", "latest"], "say which with --channel"),
        (["STORE", "--channel", "a b"], "'a b' is no tag"),
        (["STORE", "--channel", "c" * 40], "could be a commit or a digest"),
        (["STORE", "--channel", "latest", "--existing", "d" * 40], "has no release of a commit, and no channel, 'dddd"),
    ],
)
def test_mistakes_are_named(tmp_path, project, arguments, message):
    done = _run(project, *(each.replace("STORE", str(tmp_path / "store")) for each in arguments))
    assert done.exit_code != 0
    assert message in f"{done.exception} {done.output}"
    assert not (tmp_path / "store").exists()
