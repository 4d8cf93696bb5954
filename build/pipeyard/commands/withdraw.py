"""`pipeyard withdraw`."""

import click


@click.command("withdraw")
@click.argument("store")
@click.argument("component", metavar="NAME[@TAG]")
@click.option("--deprecated", default="", metavar="REASON", help="Who loads it is warned.")
@click.option("--yanked", default="", metavar="REASON", help="No components.lock with it verifies, and none takes it.")
@click.option("--restore", is_flag=True, help="Nothing is wrong with it any more.")
def command(store: str, component: str, deprecated: str, yanked: str, restore: bool) -> None:
    """Say of a component's version in STORE that nobody should use it. It stays where it is.

    The version is a tag, a digest, or the newest.
    """
    from pipeyard.releases import publication, withdrawals
    from pipeyard_components.version_states import DEPRECATED, YANKED, VersionState

    if bool(deprecated) + bool(yanked) + restore != 1:
        raise click.UsageError("Give one of --deprecated REASON, --yanked REASON and --restore.")
    state = None if restore else VersionState(YANKED, yanked) if yanked else VersionState(DEPRECATED, deprecated)
    name, _, version = component.partition("@")
    ledger = publication.Ledger(publication.open_store(store))
    digest = withdrawals.withdraw(ledger, name, version or None, state)
    click.echo(f"{name} sha256:{digest} is {state.state if state else 'restored'}")
