"""`pipeyard lock`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option


@click.command("lock")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a lock or a base image's list isn't current.")
@project_option
def command(check: bool, project_folder: Path) -> int:
    """Lock every environment of the repository, in locks that name no package index; then what base images hold."""
    from pipeyard.images import shared
    from pipeyard.repository import uv_locks, venvs
    from pipeyard.system import files

    project = find_project(project_folder)
    uv = venvs.uv(project)
    stale = []
    for folder in uv_locks.projects(project.root):
        name = str(folder.relative_to(project.root))
        if check:
            if why := uv_locks.staleness(folder, uv):
                stale.append(f"{name}/uv.lock doesn't fit its pyproject.toml: {why}.")
        elif uv_locks.lock(folder, uv):
            click.echo(f"locked {name}")
    for path, text in shared.expected(project, uv).items():
        name = str(path.relative_to(project.root))
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            stale.append(f"{name} isn't what the locks of the components on that image agree in.")
        else:
            files.write_whole(path, text)
            click.echo(f"wrote {name}")
    for problem in stale:
        click.echo(f"{problem} Run `pipeyard lock`.", err=True)
    return 1 if stale else 0
