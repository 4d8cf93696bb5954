"""What can't be compiled, and what is warned of."""

from pathlib import Path

import pytest

from pipeyard.compiling import compiler
from pipeyard.errors import PipeyardError


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
        (f"{ONE}\n@dsl.pipeline\ndef a(text: str = 'two\\nlines'): echo(text=text)", "'text' has several lines"),
    ],
)
def test_what_can_t_be_compiled_says_why(tmp_path, body, message):
    with pytest.raises(PipeyardError, match=message):
        compiler.compile_pipeline(_pipeline(tmp_path, body))


def test_large_values_are_warned_of(tmp_path):
    compiled = compiler.compile_pipeline(_pipeline(tmp_path, f"{ONE}\n@dsl.pipeline\ndef a(): echo(text='x' * 70_000)"))
    assert len(compiled.warnings) == 1
    assert "the step 'echo' is near the 96 KB that KFP can't start" in compiled.warnings[0]
    assert "70 KB of them are the input 'text'" in compiled.warnings[0]
