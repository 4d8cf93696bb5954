"""`pipeyard check`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from pipeyard.repository.project import Project


@click.command("check")
@click.argument("components", nargs=-1)
@click.option("--fix", is_flag=True, help="Render anew: tables in READMEs, Dockerfiles, the schema of settings.")
@click.option("--no-run", is_flag=True, help="Leave the dry run out, which shows that all outputs are written.")
@click.option("--advisories", is_flag=True, help="Instead, look up every locked package in OSV (takes the network).")
@click.option(
    "--against",
    default="",
    metavar="RELEASE",
    help="Instead, say what changed for users since this release: a channel, or a commit's 40 hex digits.",
)
@click.option("--store", envvar="PIPEYARD_STORE", default="", help="Where releases are, for --against.")
@click.option("--json", "as_json", is_flag=True, help="Print {components, pipelines, findings, notes} as JSON.")
@project_option
def command(
    components: tuple[str, ...],
    fix: bool,
    no_run: bool,
    advisories: bool,
    against: str,
    store: str,
    as_json: bool,
    project_folder: Path,
) -> int:
    """Check that COMPONENTS (default: all) keep what their specs promise. Needs no container engine.

    Spec against program, outputs of a dry run, loading in kfp 1 and 2, READMEs, locks, wheels, base images, and what
    the edges of pipelines mean. Exit code: 0 if there is nothing to mend, 1 if there is.

    With --advisories: whether a locked package has a known vulnerability that no exception in pyproject.toml names
    (exit code 1). If OSV can't be asked, that is said, with exit code 0 and `"looked": false` in JSON.

    With --against: every change of inputs, outputs and what they mean is breaking, behaviour or compatible. Exit code 1
    if something breaks and the component's version doesn't say so.
    """
    if against:
        if fix or no_run or advisories:
            raise click.UsageError("--against only compares: give it without --fix, --no-run and --advisories.")
        return _tell_changes(find_project(project_folder), components, store, against, as_json)
    if advisories:
        if components or fix or no_run:
            raise click.UsageError("--advisories is about all locks, and changes and runs nothing: give it alone.")
        return _tell_advisories(find_project(project_folder).root, as_json)
    import dataclasses
    import json

    from rich.console import Console

    from pipeyard.checks import checker
    from pipeyard.local import display

    console = Console(quiet=True) if as_json else verbosity.console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    # Off a terminal only findings are printed: what ran stands in the run's record.
    shown = display.choose(console) if console.is_terminal else display.Lines(Console(quiet=True))
    project = find_project(project_folder)
    report = checker.check(project, components, say, None if no_run else shown, fix)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), indent=2))
        return 1 if report.findings else 0
    part = ""
    for each in report.findings:
        if each.part != part:
            part = each.part
            click.echo(part)
        click.echo(f"  {each.check}: {each.text}")
    for note in report.notes:
        verbosity.note(note)
    looked = f"{_counted(len(report.components), 'component')}, {_counted(len(report.pipelines), 'pipeline')}"
    click.echo(f"{looked}: {_counted(len(report.findings), 'finding') if report.findings else 'nothing to mend'}.")
    return 1 if report.findings else 0


def _tell_changes(project: "Project", components: tuple[str, ...], store: str, against: str, as_json: bool) -> int:
    import json

    from pipeyard.releases import publication, upgrades

    if not store:
        raise click.UsageError("--against takes the store that the release is in: --store, or $PIPEYARD_STORE.")
    project.check_components(components)
    ledger = publication.open_to_read(store)
    release = publication.find(ledger, against)
    old, new = upgrades.released(ledger, release, components), upgrades.committed(project, components)
    found = upgrades.between(old, new, images=False)
    if as_json:
        told = {"release": {"commit": release.commit, "digest": f"sha256:{release.digest}"}, **found.as_json()}
        click.echo(json.dumps(told, indent=2))
        return 1 if found.refused else 0
    for part, each in found.compared.items():
        if each.changes:
            click.echo(part)
        for change in each.changes:
            click.echo(f"  {change}")
        if each.problem:
            click.echo(f"  {'refused' if each.refused else 'warning'}: {each.problem}.")
    for part in found.gone:
        click.echo(f"{part}\n  breaking: it is gone; versions that were released stay")
    for part in found.added:
        click.echo(f"{part}\n  compatible: it is new")
    refused = f"{_counted(len(found.refused), 'version')} too small" if found.refused else "no version is too small"
    click.echo(f"{_counted(len(found.compared), 'part')} compared with {release.commit}: {refused}.")
    return 1 if found.refused else 0


def _tell_advisories(root: Path, as_json: bool) -> int:
    import dataclasses
    import json
    import os
    from datetime import UTC, datetime

    from pipeyard.checks import advisories

    today = datetime.now(UTC).date()
    report = advisories.check(root, today, os.environ.get("PIPEYARD_OSV_URL", advisories.OSV))
    if as_json:
        told = {"looked": not report.problem, **dataclasses.asdict(report)}
        click.echo(json.dumps(told, indent=2, default=str))
        return 1 if report.findings else 0
    for each in report.findings:
        click.echo(str(each))
    for each in report.excepted:
        reason = f"{each.exception.reason}, until {each.exception.until}" if each.exception else ""
        click.echo(f"let pass: {each.package.name} {each.package.version}: {each.ids[0]}: {reason}.", err=True)
    for name in report.unused:
        click.echo(f"warning: nothing was found for the exception {name}. Remove it from pyproject.toml.", err=True)
    if report.problem:
        click.echo(f"warning: advisories weren't looked up, so this says nothing of them: {report.problem}.", err=True)
    else:
        found = _counted(len(report.findings), "advisory", "advisories") if report.findings else "no advisories"
        click.echo(f"{_counted(report.packages, 'locked package')}: {found}.")
    if report.findings:
        click.echo(
            "Lock what has a fix, or name the advisory under [tool.pipeyard.advisories] with a reason and a day."
        )
    return 1 if report.findings else 0


def _counted(number: int, noun: str, many: str = "") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {many or f'{noun}s'}"
