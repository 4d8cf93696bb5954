"""The reference of the command line, as Markdown, from the commands themselves."""

import inspect
from collections.abc import Iterator

import click

_TITLE = """\
# The command `pipeyard`

Rendered from the commands by `pipeyard readme --fix`; don't edit it. Every command prints this with `--help`. Exit
codes are 0 for done, 1 for failed, 2 for wrong usage, 130 for stopped by the user, unless a command says otherwise.
`pipeyard --debug COMMAND` prints the traceback of an error, too. `-q` prints only results and errors (no progress,
notes and warnings), `-v` also what is done in detail, on stderr (requests with repetitions, commands that are started,
what the step cache has); both stand before the command or after it.
"""


def render(group: click.Group, name: str = "pipeyard") -> str:
    """Returns the page of all commands of a group and of the groups in it.

    Args:
        group: at the top.
        name: that it is called by.
    """
    root = click.Context(group, info_name=name)
    contents = [
        f"- [`{path}`](#{_anchor(path)}): {command.get_short_help_str(limit=120)}" for path, command in _leaves(root)
    ]
    sections = [_section(path, command) for path, command in _leaves(root)]
    return "\n".join([_TITLE, *contents, "", "\n\n".join(sections)]) + "\n"


def _leaves(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Yields each command that does something, by the words that call it, in the order of --help."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield inner.command_path, command
        if isinstance(command, click.Group):
            yield from _leaves(inner)


def _section(path: str, command: click.Command) -> str:
    words = path.split()
    context = click.Context(command, info_name=path)
    usage = " ".join([*words, *command.collect_usage_pieces(context)])
    rows = [row for parameter in command.params for row in _row(parameter, context)]
    table = ["", "| Option | |", "|---|---|", *rows] if rows else []
    return "\n".join([f"## {path}", "", "```", usage, "```", "", _text(command.help), *table])


def _row(parameter: click.Parameter, context: click.Context) -> list[str]:
    record = parameter.get_help_record(context)
    if record is None:  # arguments: the usage and the text tell of them
        return []
    names, text = record
    return [f"| `{_cell(names)}` | {_cell(text)} |"]


def _text(text: str | None) -> str:
    """Returns a help text without click's marks."""
    return inspect.cleandoc(text or "").replace("\b\n", "").partition("\f")[0].strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(heading: str) -> str:
    return heading.replace(" ", "-")
