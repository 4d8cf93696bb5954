"""Commands that documentation shows are commands that there are, with options that they have."""

import re
import shlex
from pathlib import Path

import click
import pytest

from pipeyard import cli

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _shown() -> list[tuple[str, str]]:
    """Returns the commands of Pipeyard's in blocks of a shell, each with the file that shows it."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in _BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith(".venv/bin/pipeyard "):
                    found.append((path.name, line))
    return found


@pytest.mark.parametrize(("file", "line"), _shown(), ids=lambda each: re.sub(r"\W+", "-", each)[:60])
def test_a_shown_command_is_understood(file, line):
    words = shlex.split(line, comments=True)[1:]
    command = cli._group  # pylint: disable=protected-access
    with click.Context(command) as context:
        while isinstance(command, click.Group):
            name = words.pop(0)
            found = command.get_command(context, name)
            assert found, f"{file}: no command {name!r} in: {line}"
            command = found
        try:
            command.make_context(command.name, words, parent=context)
        except click.exceptions.Exit as end:
            assert end.exit_code == 0
        except click.UsageError as error:
            pytest.fail(f"{file}: {line}: {error.format_message()}")


def test_links_between_pages_lead_somewhere():
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"
