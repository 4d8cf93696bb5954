"""The command: `python -m benchmarks`."""

import click

NAMES = (
    "whole_pipeline",
    "wide_table",
    "statistics",
    "transform",
    "train_input",
    "trainers",
    "evaluate",
    "batch_predict",
    "model_server",
    "growth",
    "local_runs",
    "records",
    "images",
    "triggers",
    "catalog",
)


class _Tables(click.Group):
    """A command a table; modules are imported when one is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*NAMES, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _table(cmd_name) if cmd_name in NAMES else super().get_command(ctx, cmd_name)


@click.group(cls=_Tables, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure Pipeyard against its peers.

    A table's command measures it, writes benchmarks/results/TABLE.{json,md,svg}, and renders benchmarks/README.md.
    """


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a file isn't what the results say.")
def render(check: bool) -> None:
    """Write tables and README.md from the JSON results."""
    from benchmarks import publishing

    stale = publishing.stale() if check else publishing.write()
    for path in stale:
        click.echo(f"{path} {'is not what the results say: run render' if check else 'written'}", err=check)
    if check and stale:
        raise SystemExit(1)


@main.command()
def plot() -> None:
    """Draw every table's plot from the JSON results."""
    from benchmarks import places, publishing

    for name in NAMES:
        if publishing.plot(name, places.RESULTS):
            click.echo(f"drawn {name}")


@main.command()
@click.option("--peers-only", is_flag=True, help="Leave the components' environments alone.")
def install(peers_only: bool) -> None:
    """Make every environment ahead of time, and tell which can't be made."""
    from benchmarks import places

    folders = [places.HERE, *sorted(path.parent for path in places.PEERS.glob("*/pyproject.toml"))]
    if not peers_only:
        folders += [component.folder for component in places.PROJECT.components.values()]
    for folder in folders:
        try:
            places.python(folder)
            click.echo(f"{folder.name}: ready")
        except places.UnavailableError as error:
            click.echo(f"{folder.name}: can't be made: {error}")


@main.command()
def lock() -> None:
    """Lock the environments of the benchmarks and the peers anew, in locks that name no package index."""
    from benchmarks import places

    for folder in [places.HERE, *sorted(path.parent for path in places.PEERS.glob("*/pyproject.toml"))]:
        if places.lock(folder):
            click.echo(f"locked {folder.name}")


def _table(name: str) -> click.Command:
    """Returns the command of a table."""

    @click.command(name)
    @click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Rounds, for medians.")
    @click.option("--case", "cases", multiple=True, help="Only this one; may be repeated. Others keep their results.")
    @click.option("--side", "sides", multiple=True, help="Only this one; may be repeated. Nothing is published then.")
    @click.option("--quick", is_flag=True, help="Small sizes, one round, to see that all works. Nothing is published.")
    def command(repeat: int, cases: tuple[str, ...], sides: tuple[str, ...], quick: bool) -> None:
        from benchmarks import publishing

        publishing.measure(name, 1 if quick else repeat, cases, sides, quick)

    from benchmarks.tables import TABLES

    command.help = TABLES[name].about.replace("`", "")
    return command


if __name__ == "__main__":
    main()
