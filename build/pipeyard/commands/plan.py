"""`pipeyard plan`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeyard.commands import find_project, project_option
from pipeyard.commands.delivery_options import delivery_options, order_of_commits
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from pipeyard.deployment.approvals import Approval
    from pipeyard.deployment.desired import Desired
    from pipeyard.deployment.planner import Plan

CHANGES = 3


@click.command("plan")
@delivery_options
@click.option("--exit-code", is_flag=True, help=f"Exit with {CHANGES} if something would change.")
@click.option("--json", "as_json", is_flag=True, help="Print the plans as JSON.")
@project_option
def command(
    pipelines: tuple[str, ...],
    environment: str,
    dist: Path | None,
    allow_dirty: bool,
    exit_code: bool,
    as_json: bool,
    project_folder: Path,
) -> int:
    """Show what `pipeyard deploy` would change for PIPELINES (default: those that the environment names, or all).

    Packages, the pipeline's version, images, parameters, deadline, retries, schedule, and which steps don't find their
    results in the cache any more. Warns of what the server's version can't do. Changes nothing.
    """
    from pipeyard import settings
    from pipeyard.deployment import approvals, deployer, desired
    from pipeyard.deployment.targets import choice
    from pipeyard.repository import changes
    from pipeyard.system import bucket

    project = find_project(project_folder)
    place = settings.load(project.root).environment(environment)
    wanted = desired.read(project, place, pipelines, dist or project.root / "dist", allow_dirty)
    precedes = order_of_commits(project)
    git = changes.git_of(project.root)
    target, store = choice.connect(place), bucket.connect(place.bucket)
    plans = [deployer.look(store, target, each, precedes) for each in wanted]
    left = [] if pipelines else deployer.left_behind(store, environment, [each.pipeline for each in wanted])
    doubts = [target.warnings(each) for each in wanted]
    needed = place.approval == "required"
    approved = [approvals.find(git, each) if needed else None for each in wanted]
    _tell(wanted, plans, approved, doubts, as_json)
    left += [f"{each.pipeline}: {doubt}" for each, some in zip(wanted, doubts, strict=True) for doubt in some]
    for line in left:
        verbosity.note(f"warning: {line}")
    return CHANGES if exit_code and not all(plan.empty for plan in plans) else 0


def _tell(
    wanted: "Sequence[Desired]",
    plans: "Sequence[Plan]",
    approved: "Sequence[Approval | None]",
    doubts: "Sequence[list[str]]",
    as_json: bool,
) -> None:
    """Prints plans, with the approvals that they have or need."""
    import json

    if as_json:
        told = [
            {
                **plan.as_json(),
                "digest": each.digest,
                "approval": {
                    "required": each.environment.approval == "required",
                    "by": approval.by if approval else None,
                },
                "warnings": doubt,
            }
            for plan, each, approval, doubt in zip(plans, wanted, approved, doubts, strict=True)
        ]
        click.echo(json.dumps(told, indent=2))
    else:
        for plan, each, approval in zip(plans, wanted, approved, strict=True):
            for line in plan.lines():
                click.echo(line)
            if approval:
                click.echo(f"  approved by {approval.by} in {approval.commit[:12]}")
            elif each.environment.approval == "required" and not plan.empty:
                click.echo(
                    f"  needs approval: pipeyard approve --env {each.environment.name} {each.pipeline} {each.digest}"
                )
