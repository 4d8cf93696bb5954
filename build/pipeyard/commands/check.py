"""`pipeyard check`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity


@click.command("check")
@click.argument("components", nargs=-1)
@click.option("--fix", is_flag=True, help="Render anew: tables in READMEs, Dockerfiles, the schema of settings.")
@click.option("--no-run", is_flag=True, help="Leave the dry run out, which shows that all outputs are written.")
@click.option("--json", "as_json", is_flag=True, help="Print {components, pipelines, findings, notes} as JSON.")
@project_option
def command(components: tuple[str, ...], fix: bool, no_run: bool, as_json: bool, project_folder: Path) -> int:
    """Check that COMPONENTS (default: all) keep what their specs promise. Needs no container engine.

    Spec against program, outputs of a dry run, loading in kfp 1 and 2, READMEs, locks, wheels, base images, and what
    the edges of pipelines mean. Exit code: 0 if there is nothing to mend, 1 if there is.
    """
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


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
