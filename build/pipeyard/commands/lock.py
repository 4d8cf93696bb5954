"""`pipeyard lock`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option


@click.command("lock")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a lock doesn't fit its pyproject.toml.")
@project_option
def command(check: bool, project_folder: Path) -> int:
    """Lock every environment of the repository, in locks that name no package index."""
    from pipeyard import environments, locks

    project = find_project(project_folder)
    uv = environments.uv(project)
    stale = []
    for folder in locks.projects(project.root):
        name = str(folder.relative_to(project.root))
        if check:
            if not locks.is_current(project.root, folder, uv):
                stale.append(name)
        elif locks.lock(folder, uv):
            click.echo(f"locked {name}")
    for name in stale:
        click.echo(f"{name}/uv.lock doesn't fit its pyproject.toml. Run `pipeyard lock`.", err=True)
    return 1 if stale else 0
