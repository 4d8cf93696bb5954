"""What can't be compiled, and what is warned of."""

from pathlib import Path

import pytest

from pipeyard import ir
from pipeyard.compiling import compiler
from pipeyard.errors import PipeyardError
from pipeyard.ir import derivation


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
        (
            f"{ONE}\n@dsl.pipeline\ndef a(a: int = 1):\n  with dsl.ParallelFor([dict(x='a', y='b')]) as i:\n    "
            "with dsl.If(a == 1): echo(text=i.y)\n    "
            "with dsl.If(i.x == 'a'): echo(text=f'{i.x}-{i.y}')",
            r"at the task 'echo(-2)?', can't be imported: AssertionError: [^\n]* not found. kfp loses the fields",
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
