"""`pipeyard doctor`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

FOUND = 3
UNSEEN = 4


@click.command("doctor")
@click.option("--env", "environment", required=True, metavar="NAME", help="Environment of settings.yaml.")
@click.option("--fix", is_flag=True, help="Remove what is found; each is printed before.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@project_option
def command(environment: str, fix: bool, as_json: bool, project_folder: Path) -> int:
    """Find what runs on Kubeflow Pipelines, or would, without anybody seeing it.

    Workflows and ScheduledWorkflows in Kubernetes that the server has no record of; schedules of this environment's
    pipelines that there are several of, or whose experiment was removed or archived. Kubernetes is that of
    `kubernetes:` in settings.yaml, or of the pod that this runs in; with neither, the kubeconfig's, where nothing is
    removed.

    Exit code: 0 if all was looked at, and nothing is there any more; 3 if something is; 4 if nothing was found, but
    Kubernetes couldn't be looked at.
    """
    import json
    from dataclasses import asdict
    from datetime import UTC, datetime

    from pipeyard import settings
    from pipeyard.deployment.targets.interface import schedule_name
    from pipeyard.errors import PipeyardError
    from pipeyard.servers.kubeflow import connection, doctor

    project = find_project(project_folder)
    place = settings.load(project.root).environment(environment)
    if place.target != "kfp":
        raise PipeyardError(
            f"The environment {environment!r} has target {place.target}; `pipeyard doctor` looks at Kubeflow Pipelines "
            "(target kfp)."
        )
    server = connection.connect(place)
    names = {schedule_name(each, place.name) for each in {*project.pipelines, *place.pipelines}}
    found = doctor.examine(server, names, datetime.now(UTC))
    if fix:
        found = doctor.mend(server, found, verbosity.note)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        for finding in found.findings:
            click.echo(str(finding))
        for where in found.looked:
            click.echo(f"looked at: {where}")
    for line in found.unseen:
        verbosity.note(f"warning: {line}")
    if any(not each.removed for each in found.findings):
        return FOUND
    return UNSEEN if found.unseen else 0
