"""`pipeyard settings`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from pipeyard.repository.project import Project
    from pipeyard.settings import Environment, Settings


@click.command("settings")
@click.option("--env", "environment", metavar="NAME", help="Show what is in force in this environment.")
@click.option("--pipeline", metavar="NAME", help="With --env: what is in force for this pipeline, checked against it.")
@click.option(
    "--check", "check_all", is_flag=True, help="With --env: check the parameters and retries of all its pipelines."
)
@click.option("--json", "as_json", is_flag=True, help="Print what is shown as JSON.")
@click.option("--schema", "write_schema", is_flag=True, help="Write the JSON Schema by which editors help.")
@click.option("--check-schema", is_flag=True, help="Check that the JSON Schema is the model's.")
@project_option
def command(
    environment: str | None,
    pipeline: str | None,
    check_all: bool,
    as_json: bool,
    write_schema: bool,
    check_schema: bool,
    project_folder: Path,
) -> int:
    """Check settings.yaml, and show what is in force and where each value comes from.

    Without --env: which environments there are. Exit code: 0 if all is well, 1 if there is something to mend; each
    mistake is shown with file, line and what to do.
    """
    from pipeyard import settings

    if (pipeline or check_all) and not environment:
        raise click.UsageError("--pipeline and --check need --env NAME.")
    project = find_project(project_folder)
    if write_schema or check_schema:
        return _schema(project, write_schema)
    loaded = settings.load(project.root)
    loaded.check()
    if not environment:
        _list(loaded, as_json)
        return 0
    place = loaded.environment(environment)
    if check_all:
        from pipeyard.checks import parameters

        names = parameters.check(project, place)
        verbosity.note(f"{place.name}: the parameters of {', '.join(names)} fit.")
    _show(project, place, pipeline or "", as_json)
    return 0


def _schema(project: "Project", write: bool) -> int:
    from pipeyard.settings import schema
    from pipeyard.system import files

    if write:
        files.write_whole(project.root / schema.PATH, schema.text())
        verbosity.note(f"wrote {schema.PATH}")
    elif not schema.is_current(project.root):
        click.echo(f"{schema.PATH} isn't current. Run `pipeyard settings --schema`.", err=True)
        return 1
    return 0


def _list(loaded: "Settings", as_json: bool) -> None:
    import json

    rows = [
        {"name": each, "target": loaded.targets.get(each, ""), "unset": loaded.unset(each)} for each in loaded.names
    ]
    if as_json:
        click.echo(json.dumps({"environments": rows}, indent=2))
        return
    for row in rows:
        unset = f"  not set: {', '.join(row['unset'])}" if row["unset"] else ""
        click.echo(f"{row['name']:<12} {row['target']:<7}{unset}".rstrip())


def _show(project: "Project", place: "Environment", pipeline: str, as_json: bool) -> None:
    import dataclasses
    import json

    from pipeyard import settings

    inputs = None
    if pipeline:
        from pipeyard.checks import parameters
        from pipeyard.settings import fit

        compiled = parameters.compiled(project, pipeline)
        inputs = compiled.spec.root.input_definitions
        fit.check(place, pipeline, inputs)
        fit.retries(place, pipeline, compiled.text)
    found = settings.provenance(place, pipeline, inputs)
    if as_json:
        values = [dataclasses.asdict(each) for each in found]
        shown = {"environment": place.name, "pipeline": pipeline, "values": values}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    _print_table(
        [(each.key, json.dumps(each.value, ensure_ascii=False), each.source) for each in found if not each.is_empty]
    )


def _print_table(rows: list[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("Key", "Value", "From"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    if not console.is_terminal:  # there is no width to keep to
        console = Console(width=max((len("".join(row)) for row in rows), default=0) + 200)
    console.print(table)
