"""`pipeyard new`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity


@click.group("new")
def command() -> None:
    """Write a pipeline for data that there is, or a component: what is written runs as it is."""


@command.command("pipeline")
@click.argument("name")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="CSV, JSON Lines, Parquet or SQLite file.")
@click.option("--label", required=True, help="The column to predict.")
@click.option("--task", default="", help="binary, multiclass or regression; default: what the label's values suggest.")
@click.option("--table", default="", help="Table of a database; default: its only one.")
@click.option(
    "--null",
    "nulls",
    multiple=True,
    metavar="TEXT",
    help="What stands for a missing value, besides the empty text, e.g. NA; may be given again.",
)
@project_option
def _pipeline(
    name: str, data: Path, label: str, task: str, table: str, nulls: tuple[str, ...], project_folder: Path
) -> None:
    """Write pipelines/NAME, its test, and its entry in settings.yaml's environment `local`.

    The schema is inferred, and the module has the columns that were found: numbers scaled, few texts embedded, words
    counted, dates on circles. Nothing is written if NAME is taken, or if nothing can be learned from the data.
    """
    from pipeyard.scaffolds import new_pipeline

    console = verbosity.console()
    plan, written = new_pipeline.write(
        find_project(project_folder),
        name,
        data,
        label,
        task,
        table,
        lambda text: console.print(text, markup=False),
        nulls=nulls,
    )
    click.echo(f"{plan.task} of {plan.label.name}, by {len(plan.columns) - 1} columns:")
    for path in written:
        click.echo(f"  {path}")
    for column, reason in plan.left_out.items():
        verbosity.note(f"{column} is no input: {reason}.")
    for warning in plan.warnings:
        verbosity.note(warning)
    click.echo(f"Run it: pipeyard run {name}")


@command.command("component")
@click.argument("name")
@click.option("--input", "inputs", multiple=True, help="NAME:TYPE or NAME:TYPE=DEFAULT; may be given again.")
@click.option("--output", "outputs", multiple=True, help="NAME:TYPE; may be given again.")
@project_option
def _component(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], project_folder: Path) -> None:
    """Write components/NAME: spec, program, tests, environment, Dockerfile and README.

    Types of values are String, Integer, Float, Boolean, JsonArray and JsonObject; all others are artifacts. Without any
    it takes a text and gives one.
    """
    from pipeyard.scaffolds import new_component

    console = verbosity.console()
    written = new_component.write(
        find_project(project_folder), name, inputs, outputs, lambda text: console.print(text, markup=False)
    )
    for path in written:
        click.echo(str(path))
    click.echo(f"Check it: pipeyard check {name}")
