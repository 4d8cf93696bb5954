"""A catalog's folder, and the server that shows it."""

import contextlib
import http.client
import shutil
import threading

import pytest

from pipeyard.catalog import catalog_folder, catalog_server
from pipeyard.errors import PipeyardError

PAGES = {"index.html": b"<p>one</p>", "components/a/b.html": b"b"}


@pytest.fixture
def folder(tmp_path):
    catalog_folder.write(tmp_path / "catalog", PAGES)
    return tmp_path / "catalog"


def contents(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_catalog_is_replaced_by_another(folder):
    catalog_folder.write(folder, {"index.html": b"<p>two</p>"})
    assert contents(folder) == {"index.html", "catalog.json"}
    assert (folder / "index.html").read_bytes() == b"<p>two</p>"
    assert [path.name for path in folder.parent.iterdir()] == ["catalog"]


def test_an_empty_folder_is_taken(tmp_path):
    catalog_folder.write(tmp_path, PAGES)
    assert contents(tmp_path) == {*PAGES, "catalog.json"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "catalog.json").unlink(), r"is no catalog.*Give another --output"),
        (lambda folder: (folder / "catalog.json").write_text("[]"), r"is no catalog"),
        (lambda folder: (folder / "catalog.json").write_text('{"format": 2, "files": {}}'), r"of format 2"),
        (lambda folder: (folder / "mine.txt").touch(), r"has files that aren't the catalog's: mine\.txt"),
        (lambda folder: (shutil.rmtree(folder), folder.touch()), r"is no catalog"),
    ],
)
def test_nothing_but_a_catalog_is_replaced(folder, spoil, message):
    spoil(folder)
    before = contents(folder.parent)
    with pytest.raises(PipeyardError, match=message):
        catalog_folder.write(folder, {"index.html": b"two"})
    assert contents(folder.parent) == before


def test_what_cannot_be_written_leaves_the_old_one(folder):
    with pytest.raises(OSError):
        catalog_folder.write(folder, {"index.html": b"two", "index.html/below": b""})
    assert (folder / "index.html").read_bytes() == b"<p>one</p>" and contents(folder) == {*PAGES, "catalog.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["catalog"]


@contextlib.contextmanager
def serving(folder):
    with catalog_server.listening(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def ask(port, path, method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())


def test_the_server_has_the_catalog_s_files_and_no_others(folder):
    (folder.parent / "secret").write_text("s", encoding="utf-8")
    with serving(folder) as port:
        status, body, headers = ask(port, "/?x")
        assert (status, body) == (200, PAGES["index.html"])
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert ask(port, "/components/a/b.html")[1] == b"b"
        assert ask(port, "/components/a/b.html", "HEAD")[:2] == (200, b"")
        for path in ("/../secret", "/%2e%2e/secret", "/components/", "/catalog.json", "//etc/passwd", "/nothing"):
            assert ask(port, path)[0] == 404, path
        assert ask(port, "/", host=f"evil.example:{port}")[0] == 403
        catalog_folder.write(folder, {"index.html": b"two"})
        assert ask(port, "/")[1] == b"two"


def test_a_port_has_one_server(folder):
    with serving(folder) as port, pytest.raises(PipeyardError, match=rf"Port {port} of 127.0.0.1 can't be had.*--port"):
        catalog_server.listening(folder, port)


def test_what_is_no_catalog_is_not_served(tmp_path):
    with pytest.raises(PipeyardError, match=r"is no catalog.*pipeyard catalog build"):
        catalog_server.listening(tmp_path, 0)
