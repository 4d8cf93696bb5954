"""Commands parse, call one function, and print."""

import ast
from pathlib import Path

import pytest

COMMANDS = sorted((Path(__file__).parents[2] / "build/pipeyard/commands").glob("*.py"))
# Lines, without the docstring, which is the command's help.
MOST = 40


def _callbacks(text):
    """Yields functions that click calls: what is decorated with `command`, `group`, or a group's `command`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            called = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
            if any(isinstance(each, ast.Attribute) and each.attr in ("command", "group") for each in called):
                yield node


def _length(function):
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_bodies_of_commands_are_short(path):
    long = {each.name: _length(each) for each in _callbacks(path.read_text()) if _length(each) > MOST}
    assert not long, f"{path.name}: move what isn't parsing or printing to the room that it belongs to"


def test_every_command_is_looked_at():
    found = {path.stem for path in COMMANDS if any(_callbacks(path.read_text()))}
    assert {"run", "build", "plan", "deploy", "release", "trigger", "ci"} <= found


def test_a_long_body_is_told():
    body = "".join(f"    line({number})\n" for number in range(MOST + 1))
    (function,) = _callbacks(f'@click.command("x")\ndef command():\n    """Help."""\n{body}')
    assert _length(function) == MOST + 1
