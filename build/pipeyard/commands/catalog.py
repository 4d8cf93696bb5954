"""`pipeyard catalog`."""

from pathlib import Path

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity


@click.group("catalog")
def command() -> None:
    """Make component stores a site to search and read, offline: see docs/catalog.md."""


@command.command("build")
@click.option(
    "--store",
    "places",
    multiple=True,
    metavar="[NAME=]URL",
    help="A folder, https://, oci://, gs:// or s3://; may be given again. Default: components/ of the repository.",
)
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder; a catalog that is there is replaced.",
)
@project_option
def build_command(places: tuple[str, ...], output: Path, project_folder: Path) -> None:
    """Write the catalog of one or more component stores to a folder: whole, or not at all.

    Open its index.html in a browser, or copy the folder to any web server.
    """
    from pipeyard.catalog import catalog_folder, catalog_pages, catalog_stores, checked_out, stored_components

    catalog_folder.check_replaceable(output.resolve())
    if places:
        stock = stored_components.read(catalog_stores.of(places))
    else:
        stock = checked_out.stock(find_project(project_folder))
    catalog_folder.write(output, catalog_pages.render(stock))
    for problem in stock.problems:
        verbosity.note(f"Not shown: {problem}")
    count = len(stock.components)
    click.echo(f"{count} component{'' if count == 1 else 's'}: {output / catalog_pages.SEARCH}")


@command.command("serve")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--port", type=click.IntRange(1, 65535), help="Of 127.0.0.1; default: 8620.")
def serve_command(folder: Path, port: int | None) -> None:
    """Serve the catalog in FOLDER on 127.0.0.1 until Ctrl-C. One that is built in its place is served from then on."""
    from pipeyard.catalog import catalog_server

    catalog_server.serve(folder, port or catalog_server.DEFAULT_PORT, lambda url: click.echo(f"Catalog: {url}"))
