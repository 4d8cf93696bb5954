"""`pipeyard release`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeyard.commands import find_project, project_option
from pipeyard.system import verbosity

if TYPE_CHECKING:
    from pipeyard.releases.publication import Ledger
    from pipeyard.releases.shipments import Shipment
    from pipeyard.repository.project import Project


@click.command("release")
@click.argument("store", envvar="PIPEYARD_STORE")
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="NAME",
    help="Make this channel (latest, staging, ...) name the release; may stand several times. Without: none moves.",
)
@click.option(
    "--existing",
    default="",
    metavar="RELEASE",
    help="Publish nothing, and move --channel to what was released of this commit, or as this channel. Also backwards.",
)
@click.option(
    "--dry-run", is_flag=True, help="Name what would be written, and write nothing. Scanners and cosign don't run."
)
@click.option(
    "--scan",
    default="",
    metavar="COMMAND",
    help="Run for each image before anything is published, e.g. 'grype sbom:{sbom} --fail-on high'; fields: {sbom}, "
    "{image}, {name}. Any exit code but 0 stops the release. Reports are kept in scans/ beside the lock.",
)
@click.option(
    "--kfp-repository",
    default="",
    metavar="URL",
    help="Upload pipelines and components, compiled, to this Artifact Registry repository of format KFP, too: "
    "https://REGION-kfp.pkg.dev/PROJECT/REPOSITORY. Tags: the commit, and channels that moved.",
)
@click.option("--sign", is_flag=True, help="Sign images with cosign, and attest their SBOM and provenance.")
@click.option(
    "--sign-option", "sign_options", multiple=True, metavar="OPTION", help="More for cosign, e.g. --key=gcpkms://..."
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Folder with the build; default: dist/ of the project."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@project_option
def command(
    store: str,
    channels: tuple[str, ...],
    existing: str,
    dry_run: bool,
    scan: str,
    kfp_repository: str,
    sign: bool,
    sign_options: tuple[str, ...],
    output: Path | None,
    as_json: bool,
    project_folder: Path,
) -> None:
    """Publish what was built and compiled of this commit to STORE: a folder, gs://, s3:// or oci://HOST/PATH.

    Components, lock, provenance, SBOMs and pipeline packages. ComponentStore loads them from there by digest, by the
    commit, and by channel. What a commit was released as never changes. A channel isn't moved away from a later commit,
    but with --existing, nor to what breaks its users while a component's version doesn't say so. Notes say what
    changes, and the store's catalog, in releases/catalog, shows all of it.
    """
    import json

    from pipeyard.releases import kfp_repository as templates
    from pipeyard.releases import publication, release_notes, shipments, writable_registry
    from pipeyard.repository import changes, commits

    if existing and not channels:
        raise click.UsageError("--existing moves channels: say which with --channel.")
    if existing and (scan or sign):
        raise click.UsageError("--existing publishes nothing, so there is nothing to --scan or --sign.")
    for channel in channels:
        publication.check_channel(channel)
    uploader = templates.Uploader.of(kfp_repository, dry_run)
    project = find_project(project_folder)
    folder = output or project.root / "dist"
    console = verbosity.console(highlight=False, markup=False)
    ledger = publication.Ledger(publication.open_store(store), rehearsal=dry_run)
    if existing:
        release = publication.find(ledger, existing)
        packages = uploader.released(ledger, release)
        moves = [publication.move(ledger, channel, release) for channel in channels]
    else:
        shipment = shipments.collect(project, folder)
        writable_registry.refuse_images(store, shipment.built)
        if not dry_run:
            vetted = scan, sign, sign_options
            _vet(project, shipment, folder, *vetted, lambda name, phrase: console.print(f"{name:16} {phrase}"))
        release = publication.of(shipment.built.commit, shipment.specs, shipment.files)
        packages = uploader.compiled(shipment.specs, shipment.files)

        def stays(other: str) -> bool:
            return commits.comes_after(changes.git_of(project.root), other, release.commit)

        release_notes.refuse_too_small(ledger, channels, shipment, stays)
        publication.publish(ledger, release, shipment.specs, shipment.files)
        moves = [publication.move(ledger, channel, release, stays) for channel in channels]
    notes, catalog = release_notes.write(ledger, release, moves), _publish_catalog(ledger, store)
    told = {**publication.summary(ledger, release, moves), "notes": notes, "catalog": catalog}
    told["templates"] = uploader.upload(packages, release, moves)
    click.echo(json.dumps(told, indent=2) if as_json else "\n".join(_lines(told, store)))


def _publish_catalog(ledger: "Ledger", store: str) -> str:
    """Publishes the store's catalog anew; returns where its search is, '' in a registry, which shows no pages."""
    from pipeyard.catalog import catalog_pages, catalog_stores, published_catalog
    from pipeyard.releases import publication

    if publication.is_registry(store):
        return ""
    for problem in published_catalog.publish(ledger, catalog_stores.place_of(store)):
        verbosity.note(f"Not in the catalog: {problem}")
    return f"{published_catalog.FOLDER}/{catalog_pages.SEARCH}"


def _lines(told: dict[str, Any], store: str) -> Iterator[str]:
    rehearsal, written, commit = told["dry_run"], told["written"], told["commit"]
    if rehearsal:
        yield from (f"would write {path}" for path in written)
    for move in told["channels"]:
        if move["now"] == commit:
            yield f"{move['channel']} {'would be' if rehearsal else 'is'} {commit} (was {move['before'] or 'new'})"
        else:
            yield f"{move['channel']} stays at {move['now']}, which comes after {commit} (or use --existing)"
    for name, address in told["templates"].items():
        yield f"{'would upload' if rehearsal else 'template'} {address or name}"
    if not rehearsal:
        yield from (f"what changes: {path}" for path in told["notes"])
        yield f"wrote {len(written)} files to {store}" if written else "everything was there already"
        yield f"catalog: {told['catalog'] or f'none in a registry; `pipeyard catalog build --store {store}` makes one'}"
    yield f"commit {commit}, release {told['digest']}"


def _vet(
    project: "Project",
    shipment: "Shipment",
    folder: Path,
    scan: str,
    sign: bool,
    sign_options: tuple[str, ...],
    tell: Callable[[str, str], None],
) -> None:
    """Scans and signs images before anything that names them is published."""
    from pipeyard.images.references import parse
    from pipeyard.packages import dist_folder
    from pipeyard.releases import scanner, signatures

    images = {name: image.reference() for name, image in shipment.built.images.items()}
    sboms = {name: folder / dist_folder.sbom_path(name) for name in images}
    if scan:
        fields = {name: {"name": name, "image": str(image), "sbom": str(sboms[name])} for name, image in images.items()}
        scanner.scan(scan, fields, folder / "scans", tell)
    if sign:
        below = {name: parse(image) for name, image in shipment.built.bases.items() if name in project.bases}
        statement = shipment.files[dist_folder.PROVENANCE].decode()
        signatures.sign({**below, **images}, sboms, statement, sign_options, tell)
    else:
        tell(
            "images",
            "aren't signed" + ("" if signatures.is_there() else ": cosign isn't on PATH") + " (--sign does it)",
        )
