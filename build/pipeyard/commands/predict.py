"""`pipeyard predict`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity


@click.command("predict")
@click.argument("model")
@click.option(
    "--input", "inputs", multiple=True, required=True, metavar="FILES", help="Path, glob or database; repeatable."
)
@click.option(
    "--output",
    required=True,
    metavar="FILES",
    help="Where the predictions go: FILE.parquet, a folder, or bigquery://PROJECT/DATASET/TABLE.",
)
@click.option("--columns", default="", metavar="NAMES", help="Columns to carry along: a,b or a JSON array.")
@click.option("--prefix", default="", help="What the names of the predictions' columns begin with.")
@click.option(
    "--read", "reading", multiple=True, metavar="NAME=VALUE", help="Input of extract, e.g. delimiter=; repeatable."
)
@click.option(
    "--env", "environment", default="local", show_default=True, metavar="NAME", help="Environment of settings.yaml."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of pushed models; default: the environment's serving_uri.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@project_option
def command(model: str, inputs: tuple[str, ...], environment: str, project_folder: Path, as_json: bool, **options):
    """Score files with MODEL, as the model server would answer, without a server or a pipeline.

    MODEL is a pushed model's name (its champion: the stable version), NAME@VERSION, or a folder or URI of a SavedModel.
    By extract and batch_predict, in their environments. An output that is there is refused before anything is read.
    """
    import json

    from pipeyard.serving import file_scoring, serving_folder

    project = find_project(project_folder)
    found = file_scoring.score(
        project,
        file_scoring.ScoringRequest(
            file_scoring.find_model(
                model, lambda: serving_folder.find(options["folder"], lambda: project.root, environment)
            ),
            ",".join(inputs),
            options["output"],
            _names(options["columns"]),
            options["prefix"],
            file_scoring.reading_of(project, options["reading"]),
        ),
        verbosity.note,
    )
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    names = ", ".join(column["name"] for column in found.manifest["columns"])
    click.echo(f"{found.manifest['rows']:,} rows scored with {found.request.model}: {found.request.output}")
    click.echo(f"Columns: {names}")


def _names(text: str) -> list[str]:
    """Returns what `a,b` or `["a", "b"]` names."""
    import json

    if not text.lstrip().startswith("["):
        return [name.strip() for name in text.split(",") if name.strip()]
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} isn't a JSON array: {error}.", param_hint="--columns") from error
    for name in found:
        if not isinstance(name, str):
            raise click.BadParameter(f"{name!r} isn't a column's name.", param_hint="--columns")
    return list(found)
