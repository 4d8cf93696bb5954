"""`pipeyard runs`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("runs")
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    show_default="the environment's pipeline_root",
    help="Folder that holds a folder a run.",
)
@click.option("--env", "environment", default="local", show_default=True, help="Environment of settings.yaml.")
@project_option
@click.pass_context
def command(context: click.Context, root: Path | None, environment: str, project_folder: Path) -> None:
    """List, show, compare and open runs.

    A RUN is its id, the beginning of its id, `latest`, or the name of a pipeline for its latest run.
    """
    context.obj = lambda: root or _default_root(project_folder, environment)


@command.command("list")
@click.option("--pipeline", help="Only runs of this pipeline.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most runs, the newest.")
@_json
@click.pass_obj
def list_command(root, pipeline: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    from pipeyard.runs import stored_runs, tables

    found = stored_runs.list_runs(root(), lambda text: verbosity.note(f"warning: {text}"))
    if pipeline:
        found = [stored for stored in found if stored_runs.same_pipeline(stored.run.pipeline, pipeline)]
    found = found[:limit]
    if as_json:
        _print_json([stored.as_dict() for stored in found])
    elif found:
        _print(tables.list_table(found))
    else:
        verbosity.note(f"There are no runs{f' of {pipeline}' if pipeline else ''} in {root()}.")


@command.command("show")
@click.argument("run", default="latest")
@_json
@click.pass_obj
def show_command(root, run: str, as_json: bool) -> None:
    """Show a RUN's outcome, steps and metrics; without one, the latest's."""
    from pipeyard.runs import stored_runs, tables

    stored = stored_runs.load(stored_runs.find(root(), run))
    if as_json:
        _print_json({**stored.as_dict(), "record": stored.run.model_dump(mode="json")})
    else:
        _print(*tables.show_tables(stored))


@command.command("compare")
@click.argument("run", nargs=-1, required=True)
@_json
@click.pass_obj
def compare_command(root, run: tuple[str, ...], as_json: bool) -> None:
    """Compare RUNs: parameters that differ, metrics, steps, artifacts."""
    from pipeyard.runs import stored_runs, tables
    from pipeyard.runs.comparison import compare

    if len(run) < 2:
        raise click.UsageError("A comparison needs two runs or more.")
    comparison = compare(*(stored_runs.load(stored_runs.find(root(), reference)) for reference in run))
    if as_json:
        _print_json(comparison.as_dict())
    else:
        _print(*tables.compare_tables(comparison))


@command.command("open")
@click.argument("run", default="latest")
@click.option("--render", is_flag=True, help="Write the report anew first.")
@click.option("--print", "only_print", is_flag=True, help="Print where the report is, and open nothing.")
@click.pass_obj
def open_command(root, run: str, render: bool, only_print: bool) -> None:
    """Open a RUN's report in a browser; without one, the latest's."""
    from pipeyard.runs import report, stored_runs
    from pipeyard.runs.report import browser

    folder = stored_runs.find(root(), run)
    if render:
        report.render(folder)
    click.echo(browser.open_report(folder, lambda _: True) if only_print else browser.open_report(folder))


def _default_root(project_folder: Path, environment: str) -> Path:
    from pipeyard import settings

    return Path(settings.load(find_project(project_folder).root).environment(environment).pipeline_root)


def _print(*parts) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # off a terminal there is no width to keep to
    for part in parts:
        console.print(part)


def _print_json(value) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
