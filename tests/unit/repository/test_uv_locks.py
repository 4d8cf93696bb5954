"""Locks name no package index."""

from pathlib import Path

from pipeyard.repository import uv_locks

ROOT = Path(__file__).parents[3]


def test_locks_lose_their_index_and_keep_their_hashes():
    lock = (
        'source = { registry = "https://index.example/simple" }\n'
        'sdist = { url = "https://files.example/a/b/x-1.tar.gz", hash = "sha256:00" }\n'
        '    { url = "https://files.example/a/x-1-py3-none-any.whl", hash = "sha256:11" },\n'
        'source = { editable = "../../libs/stepkit" }\n'
    )
    stripped = uv_locks.without_index(lock)
    assert "https" not in stripped
    assert '{ path = "x-1-py3-none-any.whl", hash = "sha256:11" }' in stripped
    assert 'source = { editable = "../../libs/stepkit" }' in stripped
    assert uv_locks.without_index(stripped) == stripped


def test_every_committed_lock_is_without_index():
    for folder in uv_locks.projects(ROOT):
        text = (folder / "uv.lock").read_text()
        assert uv_locks.without_index(text) == text, folder
