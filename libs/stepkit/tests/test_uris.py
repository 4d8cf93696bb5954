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
