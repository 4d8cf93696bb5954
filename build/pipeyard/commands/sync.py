"""`pipeyard sync`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity


@click.command("sync")
@click.argument("components", nargs=-1)
@project_option
def command(components: tuple[str, ...], project_folder: Path) -> None:
    """Make the locked environments of COMPONENTS (default: all) current."""
    from pipeyard.errors import PipeyardError, near_misses
    from pipeyard.repository import venvs

    project = find_project(project_folder)
    for name in components:
        if name not in project.components:
            raise PipeyardError(f"No component {name!r}. {near_misses(name, project.components)}")
    console = verbosity.console()
    for name in components or project.components:
        folder = project.components[name].folder
        with console.status(f"environment of {name}"):
            venvs.sync(project, folder, lambda text: console.print(text, markup=False, highlight=False))
