"""`pipeyard compile`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity


@click.command("compile")
@click.argument("pipelines", nargs=-1)
@click.option("--dev", is_flag=True, help="Use the committed specs' images, which no registry has.")
@click.option("--allow-dirty", is_flag=True, help="Take images that were built of changes that aren't committed.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Folder with the build; default: dist/ of the project."
)
@project_option
def command(
    pipelines: tuple[str, ...], dev: bool, allow_dirty: bool, output: Path | None, project_folder: Path
) -> None:
    """Compile PIPELINES (default: all) with the images that `pipeyard build` made of this commit.

    Writes PIPELINE/pipeline.yaml, PIPELINE/workflow.tar.gz (for KFP) and PIPELINE/vertex.json (for Vertex AI). The same
    commit and images give the same bytes.
    """
    from pipeyard.packages import builds
    from pipeyard.system import files

    project = find_project(project_folder)
    folder = output or project.root / "dist"
    folder.mkdir(parents=True, exist_ok=True)
    with files.holding(folder):  # its specs are of one build
        build = builds.committed(project) if dev else builds.built(project, folder, allow_dirty)
        for name in pipelines or project.pipelines:
            package, warnings = builds.package(project, name, build)
            for path in builds.write(package, folder / name):
                click.echo(str(path))
            for warning in warnings:
                verbosity.note(f"warning: {name}: {warning}")
