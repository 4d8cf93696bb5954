"""`pipeyard deploy`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeyard.commands import find_project, project_option
from pipeyard.commands.delivery_options import delivery_options, order_of_commits
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from pipeyard.deployment.desired import Desired
    from pipeyard.deployment.planner import Plan
    from pipeyard.repository.changes import Git
    from pipeyard.settings import Environment


@click.command("deploy")
@delivery_options
@click.option("--rollback", is_flag=True, help="Deploy though a later commit is deployed.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@project_option
def command(
    pipelines: tuple[str, ...],
    environment: str,
    dist: Path | None,
    allow_dirty: bool,
    rollback: bool,
    as_json: bool,
    project_folder: Path,
) -> None:
    """Deploy PIPELINES (default: those that the environment names, or all), as compiled of this commit.

    Uploads the packages, and ensures each pipeline's version and schedule; idempotent. Everything is checked before
    anything is contacted. An environment with `approval: required` needs an approval that is committed, or asks on a
    terminal.
    """
    import json

    from pipeyard import settings
    from pipeyard.deployment import deployer, desired
    from pipeyard.deployment.targets import choice
    from pipeyard.repository import changes
    from pipeyard.system import bucket

    project = find_project(project_folder)
    place = settings.load(project.root).environment(environment)
    wanted = desired.read(project, place, pipelines, dist or project.root / "dist", allow_dirty)
    unapproved = _unapproved(place, wanted, changes.git_of(project.root), allow_dirty)
    precedes = order_of_commits(project)
    target, store = choice.connect(place), bucket.connect(place.bucket)
    plans = [deployer.look(store, target, each, precedes) for each in wanted]
    for plan in plans:
        for line in plan.lines():
            if unapproved:  # whoever is asked has to see it
                click.echo(line, err=True)
            else:
                verbosity.note(line)
    for each in wanted:
        for line in target.warnings(each):
            verbosity.note(f"warning: {each.pipeline}: {line}")
    if not rollback:
        deployer.refuse_to_go_back(plans)
    _ask(environment, [plan for plan, each in zip(plans, wanted, strict=True) if each in unapproved])
    told: list[dict[str, Any]] = []
    for each in wanted:
        deployed = deployer.deploy(store, target, each, precedes, rollback)
        told.append(deployed.as_json())
        if not as_json:
            for line in deployed.done or (f"as it was, {deployed.record.package}",):
                click.echo(f"{each.pipeline} in {environment}: {line}")
    left = [] if pipelines else deployer.left_behind(store, environment, [each.pipeline for each in wanted])
    for line in left:
        verbosity.note(f"warning: {line}")
    if as_json:
        click.echo(json.dumps(told, indent=2))


def _unapproved(place: "Environment", wanted: Sequence["Desired"], git: "Git", dirty: bool) -> list["Desired"]:
    """Returns what has to be asked for; raises PipeyardError where nobody can be asked."""
    import sys

    from pipeyard.deployment import approvals
    from pipeyard.errors import PipeyardError

    if place.approval != "required":
        return []
    if dirty:
        raise PipeyardError(f"{place.name} needs approvals, and what isn't committed has none. Commit it.")
    lacking = [each for each in wanted if approvals.find(git, each) is None]
    if lacking and not sys.stdin.isatty():
        raise PipeyardError("\n".join(approvals.missing(each) for each in lacking))
    return lacking


def _ask(environment: str, plans: Sequence["Plan"]) -> None:
    """Asks for what isn't approved, and changes something; raises Abort if it isn't granted."""
    from pipeyard.errors import PipeyardError

    names = [plan.pipeline for plan in plans if not plan.empty]
    if not names:
        return
    question = f"Deploy {', '.join(names)}? Type {environment} to approve"
    if click.prompt(question, default="", show_default=False, err=True) != environment:
        raise PipeyardError(f"Not approved: {environment} stays as it is.")
