"""`pipeyard compile`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option


@click.command("compile")
@click.argument("pipeline")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Where to; default: dist/PIPELINE/pipeline.yaml.")
@project_option
def command(pipeline: str, output: Path | None, project_folder: Path) -> None:
    """Compile PIPELINE to the YAML that KFP takes."""
    from pipeyard import compiling, files

    project = find_project(project_folder)
    compiled = compiling.compile_pipeline(project.pipeline(pipeline))
    target = output or project.root / "dist" / pipeline / "pipeline.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(target, compiled.text)
    for warning in compiled.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(str(target))
