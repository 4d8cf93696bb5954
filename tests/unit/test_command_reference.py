"""docs/commands.md is what the commands say of themselves."""

import click
import pytest
from support.checkout import ROOT

from pipeyard import cli
from pipeyard.checks import command_reference

top = cli._group


def _leaves(group: click.Group, path: str) -> list[str]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        found += _leaves(command, f"{path} {name}") if isinstance(command, click.Group) else [f"{path} {name}"]
    return found


def test_the_page_is_current():
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert page == command_reference.render(top), "run `pipeyard readme --fix`"


@pytest.mark.parametrize("path", _leaves(top, "pipeyard"))
def test_every_command_has_a_section_with_its_options(path):
    page = command_reference.render(top)
    section = page.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
    command = top
    for name in path.split()[1:]:
        command = command.get_command(click.Context(command), name)
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    assert section
    assert [each.opts[-1] for each in options if each.opts[-1] not in section] == []


def test_cells_keep_the_table_whole_and_hidden_commands_are_left_out():
    @click.group()
    def group():
        pass

    @group.command()
    @click.option("--kind", type=click.Choice(["a", "b"]), help="One | the\nother.")
    def shown(kind):
        """Does it."""

    @group.command(hidden=True)
    def former():
        """Was called otherwise."""

    page = command_reference.render(group, "tool")
    assert "| `--kind [a\\|b]` | One \\| the other. |" in page
    assert "former" not in page
