"""`pipeyard upload`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.commands.delivery_options import delivery_options, order_of_commits


@click.command("upload")
@delivery_options
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@project_option
def command(
    pipelines: tuple[str, ...],
    environment: str,
    dist: Path | None,
    allow_dirty: bool,
    as_json: bool,
    project_folder: Path,
) -> None:
    """Upload packages of PIPELINES (default: those that the environment names, or all) to the environment's bucket.

    As PIPELINE/COMMIT-CONTENT/workflow.tar.gz, which is never overwritten; PIPELINE/latest.json names it when it is
    there. Nothing is deployed: `pipeyard deploy` does both.
    """
    import json

    from pipeyard import settings
    from pipeyard.deployment import desired, uploads
    from pipeyard.system import bucket

    project = find_project(project_folder)
    place = settings.load(project.root).environment(environment)
    wanted = desired.read(project, place, pipelines, dist or project.root / "dist", allow_dirty)
    precedes = order_of_commits(project)
    store = bucket.connect(place.bucket)
    done = [uploads.upload(store, each.package, precedes) for each in wanted]
    if as_json:
        told = [
            {"pipeline": each.pipeline, "created": each.created, "latest": each.latest, "files": dict(each.files)}
            for each in done
        ]
        click.echo(json.dumps(told, indent=2))
        return
    for each in done:
        click.echo(f"{each.uri} {'uploaded' if each.created else 'is there'}")
