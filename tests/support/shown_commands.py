"""Whether the command line understands a command, without doing it."""

import click

from pipeyard import cli


def understand(words: list[str]) -> None:
    """Parses the words after `pipeyard`.

    Raises:
        click.UsageError: there is no such command, or it has no such option or argument.
    """
    command = cli._group
    context = click.Context(command)
    try:
        while isinstance(command, click.Group):
            found = command.get_command(context, words[0])
            if found is None:
                raise click.UsageError(f"no command {words[0]!r}")
            context = found.make_context(found.name, words[1:], parent=context)
            command, words = found, [*context._protected_args, *context.args]
    except click.exceptions.Exit as end:  # --help
        assert end.exit_code == 0
