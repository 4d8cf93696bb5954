"""`pipeyard schema`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeyard.local.schema_review import SchemaChange, SchemaReview


def _options(function):
    for option in (
        project_option,
        click.option("--env", "environment", default="local", show_default=True, help="Environment of settings.yaml."),
        click.option("--param", "-p", "params", multiple=True, metavar="NAME=VALUE", help="Set a pipeline parameter."),
        click.option(
            "--file",
            type=click.Path(dir_okay=False, path_type=Path),
            default=None,
            show_default="schema.pbtxt of the pipeline's folder",
            help="The schema.",
        ),
    ):
        function = option(function)
    return click.argument("pipeline")(function)


@click.group("schema")
def command() -> None:
    """Write and compare what a pipeline's data must look like: its schema.pbtxt, for review.

    Of the pipeline the steps that read its data and look at them run on this machine, with its parameters; what they
    did before is taken from the step cache.
    """


@command.command("infer")
@_options
def infer_command(
    pipeline: str, file: Path | None, params: tuple[str, ...], environment: str, project_folder: Path
) -> None:
    """Write a schema for PIPELINE, inferred from its train split.

    Refuses if there is one: `update` keeps what was decided by hand.
    """
    from pipeyard.errors import PipeyardError
    from pipeyard.system import files

    path = _place(pipeline, file, project_folder)
    if path.exists():
        raise PipeyardError(
            f"{path} is there. Compare it with the data by `pipeyard schema diff {pipeline}`, bring it up to date by "
            f"`pipeyard schema update {pipeline}`, or remove it first."
        )
    files.write_whole(path, _review(pipeline, params, environment, project_folder).inferred())
    click.echo(f"Wrote {path}. Review it, and give it to data_validation: docs/data-schemas.md.")


@command.command("diff")
@click.option("--json", "as_json", is_flag=True, help="Print {file, changes} as JSON.")
@_options
def diff_command(
    pipeline: str, file: Path | None, params: tuple[str, ...], environment: str, project_folder: Path, as_json: bool
) -> int:
    """Compare the schema of PIPELINE with its data.

    Exit code: 0 if the data fit, 1 if the schema would have to change: `update` would change it so.
    """
    import dataclasses
    import json

    path = _place(pipeline, file, project_folder)
    schema = _read(path, pipeline)
    _, changes = _review(pipeline, params, environment, project_folder).updated(schema)
    if as_json:
        told = [dataclasses.asdict(each) for each in changes]
        click.echo(json.dumps({"file": str(path), "changes": told}, indent=2, ensure_ascii=False))
    else:
        _tell(changes)
        click.echo(f"{path}: {_counted(changes)}.")
    return 1 if changes else 0


@command.command("update")
@_options
def update_command(
    pipeline: str, file: Path | None, params: tuple[str, ...], environment: str, project_folder: Path
) -> None:
    """Change the schema of PIPELINE where its data don't fit it, and nowhere else.

    Columns that are new are added as they are inferred, those that are gone are taken out. Comments aren't kept.
    """
    from pipeyard.system import files

    path = _place(pipeline, file, project_folder)
    schema = _read(path, pipeline)
    updated, changes = _review(pipeline, params, environment, project_folder).updated(schema)
    _tell(changes)
    if changes:
        files.write_whole(path, updated)
    click.echo(f"{path}: {_counted(changes)}.{' Review them.' if changes else ''}")


def _place(pipeline: str, file: Path | None, project_folder: Path) -> Path:
    from pipeyard.local import schema_review

    return file or find_project(project_folder).pipeline(pipeline) / schema_review.FILE


def _read(path: Path, pipeline: str) -> str:
    from pipeyard.errors import PipeyardError

    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise PipeyardError(
            f"There is no {path}. Have one inferred by `pipeyard schema infer {pipeline}`, or name it by --file."
        ) from error
    except UnicodeDecodeError as error:
        raise PipeyardError(f"{path} isn't UTF-8 text. Write it as the text form of a schema.") from error


def _review(pipeline: str, params: tuple[str, ...], environment: str, project_folder: Path) -> "SchemaReview":
    from pipeyard import ir, settings
    from pipeyard.commands.run import parse_parameters
    from pipeyard.compiling import compiler
    from pipeyard.errors import PipeyardError
    from pipeyard.local import display, schema_review

    project = find_project(project_folder)
    folder = project.pipeline(pipeline)
    place = settings.load(project.root).environment(environment)
    if place.on_server:
        raise PipeyardError(
            f"{environment} is on {place.target}, and a schema is made on this machine. Give an environment that is "
            "local by --env."
        )
    compiled = ir.parse(compiler.compile_apart(folder).text)
    known = place.parameters_of(pipeline, compiled.spec.root.input_definitions.parameters)
    return schema_review.SchemaReview(
        project,
        compiled,
        {**known, **parse_parameters(params)},
        Path(place.pipeline_root),
        lambda: display.choose(verbosity.console()),
    )


def _tell(changes: "Sequence[SchemaChange]") -> None:
    for change in changes:
        for line in change.lines():
            click.echo(line)


def _counted(changes: "Sequence[SchemaChange]") -> str:
    if not changes:
        return "the data fit"
    return f"{len(changes)} {'column differs' if len(changes) == 1 else 'columns differ'}"
