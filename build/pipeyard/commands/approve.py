"""`pipeyard approve`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option


@click.command("approve")
@click.option("--env", "environment", required=True, metavar="NAME", help="Environment of settings.yaml.")
@click.argument("pipeline")
@click.argument("digest")
@click.option("--reason", default="", help="For those who read it later.")
@project_option
def command(environment: str, pipeline: str, digest: str, reason: str, project_folder: Path) -> None:
    """Write the approval of what `pipeyard plan` showed of PIPELINE under DIGEST, to be committed.

    It counts when it is in the commit that is deployed. It covers the pipeline with its images, parameters and
    schedule, and nothing else.
    """
    from pipeyard import settings
    from pipeyard.deployment import approvals
    from pipeyard.errors import PipeyardError

    project = find_project(project_folder)
    project.pipeline(pipeline)
    place = settings.load(project.root).environment(environment)
    if place.approval != "required":
        raise PipeyardError(
            f"{environment} takes deployments without an approval. Set `approval: required` in settings.yaml to "
            "change it."
        )
    path = approvals.write(project.root, environment, pipeline, digest, reason)
    click.echo(f"{path.relative_to(project.root)}: commit it")
