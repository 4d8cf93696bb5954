import json
import math
import tempfile
from pathlib import Path

import fsspec
import pytest

from stepkit.errors import StepError
from stepkit.outputs import Outputs


@pytest.fixture(name="memory")
def fixture_memory():
    files = fsspec.filesystem("memory")
    yield files
    if files.exists("/bucket"):
        files.rm("/bucket", recursive=True)


@pytest.fixture(autouse=True, name="temporary")
def fixture_temporary(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_nothing_is_visible_before_the_end(tmp_path):
    with Outputs() as outputs:
        folder = outputs.directory(str(tmp_path / "a/folder"))
        (folder / "x").write_text("1", encoding="utf-8")
        outputs.file(f"file://{tmp_path}/file").write_text("2", encoding="utf-8")
        outputs.parameter(str(tmp_path / "p"), 3)
        assert not [item for item in tmp_path.rglob("*") if item.name in ("folder", "file", "p")]
    assert sorted(str(item.relative_to(tmp_path)) for item in tmp_path.rglob("*")) == [
        "a",
        "a/folder",
        "a/folder/x",
        "file",
        "p",
    ]


def test_nothing_is_left_of_a_failure(tmp_path):
    with pytest.raises(ValueError, match="boo"), Outputs() as outputs:
        (outputs.directory(str(tmp_path / "folder")) / "x").write_text("1", encoding="utf-8")
        outputs.file(str(tmp_path / "file")).write_text("2", encoding="utf-8")
        outputs.parameter(str(tmp_path / "p"), 3)
        raise ValueError("boo")
    assert not list(tmp_path.iterdir())


def test_an_output_that_was_not_written_keeps_all_others_back(tmp_path):
    with pytest.raises(FileNotFoundError, match="but wrote nothing to it"), Outputs() as outputs:
        outputs.file(str(tmp_path / "one")).write_text("1", encoding="utf-8")
        outputs.file(str(tmp_path / "two"))
        outputs.parameter(str(tmp_path / "p"), 3)
    assert not list(tmp_path.iterdir())


def test_a_full_disk(tmp_path):
    # /dev/full refuses every byte, as a full disk does.
    with pytest.raises(OSError, match="No space left on device"), Outputs() as outputs:
        (outputs.directory(str(tmp_path / "folder")) / "x").write_text("1", encoding="utf-8")
        Path("/dev/full").write_text("2", encoding="utf-8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("base", ["local", "memory://bucket"])
def test_a_folder_is_replaced_whole(tmp_path, memory, base):
    uri = str(tmp_path / "folder") if base == "local" else f"{base}/folder"
    for name in ("old", "new"):
        with Outputs() as outputs:
            folder = outputs.directory(uri)
            (folder / "deep").mkdir()
            (folder / "deep" / name).write_text(name, encoding="utf-8")
    if base == "local":
        assert [item.name for item in tmp_path.rglob("*") if item.is_file()] == ["new"]
        assert (tmp_path / "folder/deep/new").read_text(encoding="utf-8") == "new"
        assert [item.name for item in tmp_path.iterdir()] == ["folder"]
    else:
        assert memory.find("/bucket") == ["/bucket/folder/deep/new"]
        assert memory.cat("/bucket/folder/deep/new") == b"new"


def test_remote_files_and_no_leftovers(memory, temporary):
    for text in ("one", "two"):
        with Outputs() as outputs:
            outputs.file("memory://bucket/deep/file").write_text(text, encoding="utf-8")
            (outputs.directory("memory://bucket/folder") / "x").write_text("1", encoding="utf-8")
            assert not memory.exists("/bucket/folder") or text == "two"
    assert memory.find("/bucket") == ["/bucket/deep/file", "/bucket/folder/x"]
    assert memory.cat("/bucket/deep/file") == b"two"
    assert not list(temporary.iterdir())


def test_a_remote_failure_uploads_nothing(memory, temporary):
    with pytest.raises(ValueError, match="boo"), Outputs() as outputs:
        outputs.file("memory://bucket/file").write_text("1", encoding="utf-8")
        raise ValueError("boo")
    assert not memory.exists("/bucket/file")
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (3, "3"), (3.0, "3"), (0.5, "0.5"), ("a b", "a b"), (["x"], '["x"]'), ({"a": 1}, '{"a": 1}')],
)
def test_parameters(tmp_path, value, text):
    with Outputs() as outputs:
        outputs.parameter(str(tmp_path / "deep/p"), value)
        outputs.parameter("", value)
    assert (tmp_path / "deep/p").read_text(encoding="utf-8") == text
    assert len(list(tmp_path.rglob("*"))) == 2


def test_parameters_come_last(tmp_path, monkeypatch):
    order = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, target: (order.append(target.name), replace(path, target)))
    with Outputs() as outputs:
        outputs.parameter(str(tmp_path / "p"), 3)
        outputs.file(str(tmp_path / "file")).write_text("1", encoding="utf-8")
    assert order == ["file", "p"]


def executor_input(folder: Path) -> str:
    artifact = {"name": "metrics", "type": {"schemaTitle": "system.Metrics"}, "uri": "s3://x/metrics"}
    outputs = {
        "outputFile": str(folder / "kfp/executor_output.json"),
        "artifacts": {"metrics": {"artifacts": [artifact]}},
    }
    return json.dumps({"outputs": outputs})


def test_metadata(tmp_path):
    with Outputs(executor_input(tmp_path)) as outputs:
        outputs.metadata("metrics", {"auc": 0.5})
        outputs.metadata("metrics", {"rows": 3})
        outputs.metadata("undeclared", {"x": 1})
    written = json.loads((tmp_path / "kfp/executor_output.json").read_text(encoding="utf-8"))
    (artifact,) = written["artifacts"]["metrics"]["artifacts"]
    assert artifact["metadata"] == {"auc": 0.5, "rows": 3}
    assert artifact["uri"] == "s3://x/metrics"
    assert list(written["artifacts"]) == ["metrics"]


@pytest.mark.parametrize("text", ["", "{{$}}", "{{$.json_escape[1]}}", "{}"])
def test_unresolved_executor_input(tmp_path, text):
    with Outputs(text) as outputs:
        outputs.metadata("metrics", {"auc": 0.5})
        outputs.file(str(tmp_path / "file")).write_text("1", encoding="utf-8")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_no_metadata_after_a_failure(tmp_path):
    with pytest.raises(ValueError, match="boo"), Outputs(executor_input(tmp_path)) as outputs:
        outputs.metadata("metrics", {"auc": 0.5})
        raise ValueError("boo")
    assert not list(tmp_path.iterdir())


def test_metadata_that_the_launcher_refuses_fails_the_step_before_anything_is_published(tmp_path):
    given = executor_input(tmp_path)
    with pytest.raises(StepError, match="output 'metrics' has nan at 'auc'"), Outputs(given) as outputs:
        outputs.file(str(tmp_path / "file")).write_text("1", encoding="utf-8")
        outputs.parameter(str(tmp_path / "p"), 3)
        outputs.metadata("metrics", {"auc": math.nan})
    assert not list(tmp_path.iterdir())


def test_a_parameter_that_the_launcher_refuses_fails_the_step_before_anything_is_published(tmp_path):
    with pytest.raises(StepError, match="The output 'loss' has nan"), Outputs() as outputs:
        outputs.file(str(tmp_path / "file")).write_text("1", encoding="utf-8")
        outputs.parameter(str(tmp_path / "loss"), math.nan)
    assert not list(tmp_path.iterdir())


def test_only_fields_of_an_artifact_that_every_launcher_knows_are_written(tmp_path):
    given = json.loads(executor_input(tmp_path))
    (artifact,) = given["outputs"]["artifacts"]["metrics"]["artifacts"]
    artifact |= {"artifactId": "7", "customPath": "/x", "metadata": {"of": "before"}}
    with Outputs(json.dumps(given)) as outputs:
        outputs.metadata("metrics", {"auc": 0.5})
    (written,) = json.loads((tmp_path / "kfp/executor_output.json").read_text())["artifacts"]["metrics"]["artifacts"]
    assert written == {"name": "metrics", "uri": "s3://x/metrics", "metadata": {"auc": 0.5}}


@pytest.mark.parametrize("fails", [False, True])
def test_metadata_of_an_earlier_attempt_does_not_outlive_the_start(tmp_path, fails):
    with Outputs(executor_input(tmp_path)) as outputs:
        outputs.metadata("metrics", {"auc": 0.5})
    try:
        with Outputs(executor_input(tmp_path)) as outputs:
            outputs.file(str(tmp_path / "file")).write_text("1", encoding="utf-8")
            if fails:
                raise ValueError("boo")
    except ValueError:
        pass
    assert not (tmp_path / "kfp/executor_output.json").exists()


@pytest.mark.parametrize("base", ["local", "memory://bucket"])
@pytest.mark.parametrize("before", ["file", "folder"])
def test_what_an_earlier_attempt_left_is_gone_whatever_it_was(tmp_path, memory, base, before):
    root = str(tmp_path) if base == "local" else base
    with Outputs() as outputs:
        if before == "file":
            outputs.file(f"{root}/x").write_text("old", encoding="utf-8")
        else:
            (outputs.directory(f"{root}/x") / "old").write_text("old", encoding="utf-8")
    with Outputs() as outputs:
        if before == "file":
            (outputs.directory(f"{root}/x") / "new").write_text("new", encoding="utf-8")
        else:
            outputs.file(f"{root}/x").write_text("new", encoding="utf-8")
    wanted = "x/new" if before == "file" else "x"
    if base == "local":
        assert [str(item.relative_to(tmp_path)) for item in tmp_path.rglob("*") if item.is_file()] == [wanted]
    else:
        assert memory.find("/bucket") == [f"/bucket/{wanted}"]
