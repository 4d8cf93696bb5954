"""`pipeyard sync`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity


@click.command("sync")
@click.argument("components", nargs=-1)
@project_option
def command(components: tuple[str, ...], project_folder: Path) -> None:
    """Make the locked environments of COMPONENTS, or services (default: all of both), current."""
    from pipeyard.errors import PipeyardError, near_misses
    from pipeyard.repository import venvs

    project = find_project(project_folder)
    folders = {name: each.folder for name, each in project.components.items()} | project.services
    for name in components:
        if name not in folders:
            raise PipeyardError(f"No component {name!r}. {near_misses(name, folders)}")
    console = verbosity.console()
    for name in components or folders:
        with console.status(f"environment of {name}"):
            venvs.sync(project, folders[name], lambda text: console.print(text, markup=False, highlight=False))
