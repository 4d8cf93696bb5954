"""`pipeyard readme`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity


@click.command("readme")
@click.option("--fix", is_flag=True, help="Rewrite what differs.")
@project_option
def command(fix: bool, project_folder: Path) -> int:
    """Check that what is rendered is current: tables in READMEs, components' Dockerfiles, docs/commands.md."""
    from pipeyard.checks import command_reference, dockerfile_template, readmes

    project = find_project(project_folder)
    wanted = readmes.expected(project)
    for component in project.components.values():
        wanted |= dockerfile_template.of_component(project, component)
    reference = project.root / "docs" / "commands.md"
    if reference.exists():  # other projects have no page of our commands
        top = click.get_current_context().find_root().command
        assert isinstance(top, click.Group)
        wanted[reference] = command_reference.render(top)
    stale = {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        if fix:
            path.write_text(text, encoding="utf-8")
        name = path.relative_to(project.root)
        if fix:
            verbosity.note(f"rewrote {name}")
        else:
            click.echo(f"{name} is out of date. Run `pipeyard readme --fix`.", err=True)
    return 1 if stale and not fix else 0
