import hashlib

from stepkit import digest


def test_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert digest.of_file(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
    assert digest.of_tree(tmp_path / "x") == digest.of_file(tmp_path / "x")


def test_a_tree_goes_by_names_and_contents(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep/x").write_text("1")
        (tmp_path / name / "y").write_text("2")
    first = digest.of_tree(tmp_path / "one")
    assert first == digest.of_tree(tmp_path / "two")
    (tmp_path / "two/y").rename(tmp_path / "two/z")
    assert first != digest.of_tree(tmp_path / "two")
    (tmp_path / "two/z").rename(tmp_path / "two/y")
    (tmp_path / "two/y").write_text("3")
    assert first != digest.of_tree(tmp_path / "two")
    assert digest.of_tree(tmp_path / "one", ["y"]) == digest.of_tree(tmp_path / "two", ["y"]) != first
