"""Component store, compiling, locks, README tables."""

from pathlib import Path

import pytest

from pipeyard import ir
from pipeyard.checks import readmes
from pipeyard.compiling import compiler
from pipeyard.component_store import ComponentStore
from pipeyard.errors import PipeyardError
from pipeyard.ir import derivation
from pipeyard.repository import project, uv_locks

ROOT = Path(__file__).parents[2]


def test_components_by_attribute_and_item():
    loaded = ComponentStore(local_search_paths=[ROOT / "components"]).load_components("extract", "train")
    assert list(loaded) == ["extract", "train"]
    assert loaded.extract is loaded["extract"]
    with pytest.raises(AttributeError, match="'trian' was not loaded. Did you mean 'train'"):
        _ = loaded.trian


def test_a_missing_component_says_where_it_was_looked_for():
    with pytest.raises(PipeyardError) as error:
        ComponentStore(local_search_paths=[ROOT / "components"]).load_component("tran")
    assert f"looked for {ROOT}/components/tran/component.yaml" in str(error.value)
    assert "'train'" in str(error.value)


def _pipeline(folder: Path, body: str) -> Path:
    (folder / "pipeline.py").write_text(f"from kfp import dsl, components\n{body}")
    return folder


ONE = """
echo = components.load_component_from_text('''
name: echo
inputs: [{name: text, type: String}]
implementation: {container: {image: i, command: [echo], args: [{inputValue: text}]}}
''')
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "defines 0 pipelines"),
        (
            f"{ONE}\n@dsl.pipeline\ndef a(): echo(text='1')\n@dsl.pipeline\ndef b(): echo(text='2')",
            "defines 2 pipelines",
        ),
        ("import nothing_like_it", "can't be imported: ModuleNotFoundError"),
        ("1 +", "can't be imported: SyntaxError"),
        (
            f"{ONE}\n@dsl.pipeline\ndef a(): echo(text='x' * 140_000)",
            "'echo' can't be started on KFP: .* 140 KB as JSON",
        ),
        (
            f"{ONE}\n@dsl.pipeline\ndef a(text: str):\n    echo(text=text).set_env_variable('A', text)",
            "pipeline.py:9, `@dsl.pipeline`, at the task 'echo', can't be imported: TypeError",
        ),
        (
            f"{ONE}\n@dsl.pipeline\ndef a():\n    echo(text=1 / 0)",
            r"pipeline.py:11, `echo\(text=1 / 0\)`, can't be imported: ZeroDivisionError",
        ),
        ("\n1 +", r"pipeline.py:3 can't be imported: SyntaxError"),
        (
            f"{ONE}\n@dsl.pipeline\ndef a():\n  with dsl.ParallelFor([dict(x=1)]) as i: echo(text=f'{{i.x}}')",
            "pipeline.py: no backend can run it: for-loop-2: kfp wrote no value",
        ),
    ],
)
def test_what_can_t_be_compiled_says_why(tmp_path, body, message):
    with pytest.raises(PipeyardError, match=message):
        compiler.compile_pipeline(_pipeline(tmp_path, body))


@pytest.mark.parametrize(
    "default", ["two\nlines", "a\rkey: [v", "t\u2028u\x85v", "\n\n# schemaVersion: 9\n", "x\x0cy\x0bz"]
)
def test_line_breaks_in_defaults_come_through(tmp_path, default):
    body = f"{ONE}\n@dsl.pipeline\ndef a(text: str = {default!r}, o: dict = {{'sql': {default!r}}}): echo(text=text)"
    compiled = compiler.compile_pipeline(_pipeline(tmp_path, body))
    for text in (compiled.text, compiled.shipped(), derivation.derive(compiled.text, 60.0, {"*": 1})):
        declared = ir.parse(text).spec.root.input_definitions.parameters
        assert declared["text"].default_value.string_value == default
        assert declared["o"].default_value.struct_value["sql"] == default


def test_large_values_are_warned_of(tmp_path):
    compiled = compiler.compile_pipeline(_pipeline(tmp_path, f"{ONE}\n@dsl.pipeline\ndef a(): echo(text='x' * 70_000)"))
    assert len(compiled.warnings) == 1
    assert "the step 'echo' is near the 96 KB that KFP can't start" in compiled.warnings[0]
    assert "70 KB of them are the input 'text'" in compiled.warnings[0]


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


def test_readme_tables_are_written_between_their_markers(tmp_path):
    folder = tmp_path / "components" / "demo"
    folder.mkdir(parents=True)
    (tmp_path / "pipelines").mkdir()
    (folder / "component.yaml").write_text(
        "name: demo\ndescription: Shows | tells.\n"
        "inputs:\n"
        "- {name: a, type: Integer, default: '3', optional: true, description: x | y}\n"
        "- {name: b, type: Dataset}\n"
        "outputs: [{name: c, type: Model, description: z}]\n"
    )
    (folder / "README.md").write_text("# demo\n<!-- interface:begin -->\nold\n<!-- interface:end -->\nend\n")
    (tmp_path / "README.md").write_text("<!-- components:begin --><!-- components:end -->")
    wanted = readmes.expected(project.find(tmp_path))
    text = wanted[folder / "README.md"]
    assert "| `a` | Integer | `3` | x \\| y |" in text
    assert "| `b` | Dataset | required |  |" in text
    assert "| `c` | Model | z |" in text
    assert "old" not in text
    assert text.endswith("\nend\n")
    assert "| [demo](components/demo) | Shows \\| tells. |" in wanted[tmp_path / "README.md"]


def test_source_digest_counts_what_decides_the_result(tmp_path):
    import shutil

    shutil.copytree(
        ROOT / "components/summarize", tmp_path / "components/summarize", ignore=shutil.ignore_patterns(".venv")
    )
    shutil.copytree(ROOT / "libs", tmp_path / "libs", ignore=shutil.ignore_patterns(".venv"))

    def digest() -> str:
        return project.Component(tmp_path / "components/summarize").source_digest

    first = digest()
    (tmp_path / "components/summarize/README.md").write_text("other words")
    (tmp_path / "components/summarize/tests/test_new.py").write_text("")
    assert digest() == first
    digests = {first}
    for name in (
        "components/summarize/uv.lock",
        "components/summarize/component.yaml",
        "libs/stepkit/src/stepkit/cli.py",
    ):
        with (tmp_path / name).open("a") as stream:
            stream.write("\n# changed\n")
        digests.add(digest())
    assert len(digests) == 4
