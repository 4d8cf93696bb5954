"""`pipeyard affected`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity


@click.command("affected")
@click.option(
    "--since", required=True, metavar="REV", help="Commit, branch or tag that the work tree is compared with."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of {action, part, file, because}.")
@click.option("--suites", "as_suites", is_flag=True, help="Print the make targets that lint and test what is reached.")
@project_option
def command(since: str, as_json: bool, as_suites: bool, project_folder: Path) -> None:
    """Show what the changes since REV reach, and why: tests, lint, images, compiled pipelines, deployments."""
    import dataclasses
    import json

    from pipeyard.repository import changes, dependency_graph

    project = find_project(project_folder)
    reached = dependency_graph.Graph(project).reached(changes.changed_files(changes.git_of(project.root), since))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in reached], indent=2))
        return
    if as_suites:
        for suite in dependency_graph.suites(reached):
            click.echo(suite)
        return
    for each in reached:
        way = " -> ".join([each.file, *each.because])
        click.echo(f"{each.action:8} {each.part:28} {way}".rstrip())
    if not reached:
        verbosity.note(f"Nothing: no change since {since} that anything is made of.")
