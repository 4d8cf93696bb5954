"""`pipeyard build`."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeyard.images.publisher import ImageOutcome, Prepared
    from pipeyard.images.registry import Registry
    from pipeyard.repository.project import Project

MB = 1e6


@click.command("build")
@click.argument("components", nargs=-1)
@click.option("--registry", default="", envvar="PIPEYARD_REGISTRY", metavar="HOST/PATH", help="Where images go.")
@click.option("--env", "environment", default="", metavar="NAME", help="Take the registry of this environment.")
@click.option(
    "--python-image",
    default="python:3.11-slim",
    show_default=True,
    envvar="PIPEYARD_PYTHON_IMAGE",
    help="Image with Python 3.11 that all are built on; a tag is pinned to its digest.",
)
@click.option(
    "--reference",
    type=click.Choice(["digest", "tag"]),
    default="digest",
    show_default=True,
    help="How rendered specs name images. By digest, unchanged components keep KFP's cache.",
)
@click.option(
    "--builder",
    default="",
    metavar="NAME",
    help="docker, podman or buildah, or the path of one; default: what works here.",
)
@click.option(
    "--builder-option",
    "options",
    multiple=True,
    envvar="PIPEYARD_BUILDER_OPTIONS",
    metavar="OPTION",
    help="More for `docker build`, e.g. --network=host.",
)
@click.option(
    "--jobs", "-j", type=click.IntRange(1), default=2, show_default=True, help="Images that are built at a time."
)
@click.option(
    "--builder-id",
    default="urn:pipeyard:builder:local",
    show_default=True,
    envvar="PIPEYARD_BUILDER_ID",
    metavar="URI",
    help="Who builds, for the provenance: your CI's own name.",
)
@click.option("--allow-dirty", is_flag=True, help="Build changes that aren't committed, under a marked tag.")
@click.option("--no-tests", is_flag=True, help="Leave out the unit tests that run in each image before it is pushed.")
@click.option(
    "--until",
    type=click.Choice(["build", "push", "specs"]),
    default="specs",
    show_default=True,
    help="build: push only images that others are built on, and tag nothing; push: push and tag, and render no spec.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Default: dist/ of the project.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@project_option
def command(
    components: tuple[str, ...],
    registry: str,
    environment: str,
    python_image: str,
    reference: Literal["digest", "tag"],
    builder: str,
    options: tuple[str, ...],
    jobs: int,
    builder_id: str,
    allow_dirty: bool,
    no_tests: bool,
    until: str,
    output: Path | None,
    as_json: bool,
    project_folder: Path,
) -> None:
    """Build and push the images of COMPONENTS (default: all) that the registry lacks; tag all; render their specs.

    An image is built only if the registry has none of the same content. Needs a clean work tree, or --allow-dirty;
    $COMMIT_SHA, if set, must be what is checked out.
    """
    import os

    from pipeyard.images import builders, publisher
    from pipeyard.images.registry import Registry
    from pipeyard.releases import supply_chain
    from pipeyard.repository import changes, commits

    project = find_project(project_folder)
    project.check_components(components)
    prefix = registry or _registry_of(project, environment)
    git = changes.git_of(project.root)
    commit = commits.current(git, os.environ, allow_dirty)
    console = verbosity.console(highlight=False, markup=False)
    folder = output or project.root / "dist"
    client = Registry()
    publishing = publisher.Publisher(
        project=project,
        commit=commit,
        prefix=prefix,
        python=python_image,
        registry=client,
        find_builder=builders.detected_once(builder, options, console.print),
        logs=folder / "logs",
        jobs=jobs,
        tests=not no_tests,
        tell=lambda image, phrase: console.print(f"{image:16} {phrase}"),
    )
    chosen = components or project.components
    if until == "build":
        return _tell(publishing.prepare(chosen), commit.tag, as_json)
    made, outcomes = publishing.publish(chosen)
    if until == "push":
        return _tell(outcomes, commit.tag, as_json)
    supply_chain.render(project, made, commit, folder, reference, builder_id, git)
    images = [each for each in outcomes if each.name in project.components]
    return _tell_sizes(project, images, made.commit, client, as_json)


def _registry_of(project: "Project", environment: str) -> str:
    from pipeyard import settings

    if not environment:
        raise click.UsageError("Where do images go? Give --registry HOST/PATH, or --env NAME for an environment's.")
    registry = settings.load(project.root).environment(environment).registry
    if not registry:
        raise click.UsageError(
            f"The environment {environment} has no registry. Write one, or give --registry HOST/PATH."
        )
    return registry


def _tell(images: "Iterable[ImageOutcome | Prepared]", commit: str, as_json: bool) -> None:
    import json

    if as_json:
        told = [{"name": each.name, "built": each.built, "image": str(each.reference)} for each in images]
        click.echo(json.dumps({"commit": commit, "images": told}, indent=2))
        return
    for each in images:
        click.echo(f"{each.name:16} {'built ' if each.built else 'reused'} {each.reference}")


def _tell_sizes(
    project: "Project", images: "list[ImageOutcome]", commit: str, registry: "Registry", as_json: bool
) -> None:
    """Prints images with their sizes, packed in the registry and unpacked on disk, beside what these should be."""
    import json

    from pipeyard.images import sizes

    measured = sizes.measure(registry.unpacked_bytes, images)
    wanted = sizes.goals(project)
    packed = sizes.packed(images)
    if as_json:
        done = [
            {
                "name": each.name,
                "built": each.built,
                **each.image.model_dump(),
                "disk_bytes": measured.images[each.name],
            }
            for each in images
        ]
        together = {"bytes": packed, "disk_bytes": measured.together, "disk_goals": wanted}
        click.echo(json.dumps({"commit": commit, "images": done, **together}, indent=2))
        return
    for each in images:
        goal = wanted.get(each.name, wanted.get(sizes.EACH))
        click.echo(
            f"{each.name:16} {'built ' if each.built else 'reused'} {each.image.bytes / MB:7,.0f} MB, "
            f"{_on_disk(measured.images[each.name], goal)}  {each.image.reference()}"
        )
    goal = wanted.get(sizes.TOGETHER) if set(measured.images) == set(project.components) else None
    click.echo(
        f"{'together':16}        {packed / MB:7,.0f} MB, {_on_disk(measured.together, goal)}; layers that are shared "
        f"count once; commit {commit}"
    )


def _on_disk(size: int | None, goal: int | None) -> str:
    """Returns an image's size on disk, and what it should be at most."""
    if size is None:
        return "on disk unknown"
    aim = "" if goal is None else f" ({'OVER' if size > goal else 'of'} {goal / MB:,.0f})"
    return f"{size / MB:7,.0f} MB on disk{aim}"
